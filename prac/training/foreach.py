"""Arithmetic on lists of tensors, one call for all: torch's own optimisers compute by it.

Torch has no public name for it; the underscored ones are what `torch.optim` with foreach=True
calls, and what `sgd` has to call to find the same bits. Seen in torch 2.14.
"""

from __future__ import annotations

import torch
from torch import Tensor


def added(tensors: list[Tensor], others: list[Tensor], *, alpha: float) -> list[Tensor]:
    """New tensors: each plus alpha times its other."""
    return list(torch._foreach_add(tensors, others, alpha=alpha))


def add_(tensors: list[Tensor], others: list[Tensor], *, alpha: float = 1) -> None:
    """Add alpha times the other to each, in place."""
    torch._foreach_add_(tensors, others, alpha=alpha)


def multiply_(tensors: list[Tensor], factor: float | list[Tensor]) -> None:
    """Multiply each, in place, by a number or by a tensor of its own."""
    torch._foreach_mul_(tensors, factor)
