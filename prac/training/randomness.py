"""Random streams that are a function of what they are for, never of the process's past."""

from __future__ import annotations

import torch

from prac.fingerprint import fingerprint


def derived_seed(seed: int, *purpose: int | str) -> int:
    """A 63-bit seed for one purpose, independent of those for others."""
    return int(fingerprint((seed, *purpose))[:16], 16) >> 1


def generator(seed: int, *purpose: int | str) -> torch.Generator:
    """A CPU generator for one purpose: the same numbers on every device."""
    return torch.Generator().manual_seed(derived_seed(seed, *purpose))
