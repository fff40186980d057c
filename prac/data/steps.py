"""How many steps an epoch has. Plans count them, so this module imports nothing heavy."""

from __future__ import annotations


def num_batches(num_samples: int, batch_size: int) -> int:
    """Steps of an epoch: every sample once, the last batch is not dropped."""
    return -(-num_samples // batch_size)
