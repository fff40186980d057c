"""A sweep's trials on Ray."""
