"""Selection: which samples a round trains on, and why."""
