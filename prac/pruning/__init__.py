"""Pruning: masks, exact global magnitude, tentative masks and their stop, the masked step."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prac.pruning.early_bird import EarlyBird
    from prac.pruning.magnitude import global_magnitude
    from prac.pruning.mask import Mask
    from prac.pruning.masked_step import MaskedStep
    from prac.pruning.tentative import TentativeMask

__all__ = ["EarlyBird", "Mask", "MaskedStep", "TentativeMask", "global_magnitude"]
_HOME_OF = {
    "EarlyBird": "early_bird",
    "Mask": "mask",
    "MaskedStep": "masked_step",
    "TentativeMask": "tentative",
    "global_magnitude": "magnitude",
}


def __getattr__(name: str) -> Any:
    # A plan reads what criteria need (`prac.pruning.criteria`) and does without torch.
    if name in _HOME_OF:
        return getattr(import_module(f"prac.pruning.{_HOME_OF[name]}"), name)
    raise AttributeError(f"module 'prac.pruning' has no attribute {name!r}")
