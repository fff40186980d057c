"""What finished stages tell: results, bills, samples, statistics."""
