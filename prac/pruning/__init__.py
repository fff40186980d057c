"""Pruning: masks, exact global magnitude, the early-bird stop."""

from prac.pruning.early_bird import EarlyBird
from prac.pruning.magnitude import global_magnitude
from prac.pruning.mask import Mask

__all__ = ["EarlyBird", "Mask", "global_magnitude"]
