"""How many steps and samples: plans count them, so this module imports nothing heavy."""

from __future__ import annotations


def num_batches(num_samples: int, batch_size: int) -> int:
    """Steps of an epoch: every sample once, the last batch is not dropped."""
    return -(-num_samples // batch_size)


def held_out_count(num_samples: int, fraction: float) -> int:
    """How many of `num_samples` a split by `fraction` holds out."""
    return round(fraction * num_samples)
