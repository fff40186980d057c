"""Training: the schedule, the only training loop, evaluation, checkpoints."""
