"""Masks as packed bits: how alike two are is counted quickly, of large networks too."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prac.pruning.mask import Mask


@dataclass(frozen=True)
class Bits:
    """A mask as packed bits: eight weights a byte, in the mask's order. size: weights."""

    packed: NDArray[np.uint8]
    size: int
    alive: int


def pack(mask: Mask) -> Bits:
    """A mask as packed bits, so that many of a large network are compared quickly."""
    flat = np.concatenate([tensor.cpu().numpy().ravel() for tensor in mask.values()])
    return Bits(packed=np.packbits(flat), size=flat.size, alive=int(flat.sum()))


def dice(one: Bits, other: Bits) -> tuple[float, float]:
    """Twice the weights alive in both over those alive in each, and what chance would give."""
    both = int(np.bitwise_count(one.packed & other.packed).sum())
    total = one.alive + other.alive
    if total == 0:
        return 1.0, 1.0
    return 2 * both / total, 2 * one.alive * other.alive / one.size / total
