"""Global magnitude pruning: an exact count, ties in a fixed order, a subset of the old mask."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from prac.errors import ConfigError, TicketError
from prac.pruning.mask import Mask


@torch.no_grad()
def global_magnitude(weights: Mapping[str, Tensor], mask: Mask, fraction: float) -> Mask:
    """Remove the `fraction` of the weights alive under `mask` that are smallest in magnitude.

    weights: by name, of the mask's shapes. The number removed is round(fraction * alive), halves to
    even, as in `torch.nn.utils.prune`. Of equal magnitudes the one that comes first (weights in the
    mask's order, then row-major) is removed first. One selection, no sort.
    Raises ConfigError for a fraction outside [0, 1], TicketError for a mask of no weights and for
    weights that are missing, of another shape or not finite.
    """
    if not 0 <= fraction <= 1:
        raise ConfigError(f"fraction {fraction} is not allowed; allowed: 0 to 1")
    if not mask:
        raise TicketError("the mask has no weights, so there is nothing to prune")
    magnitudes = []
    for name, alive in mask.items():
        if name not in weights or weights[name].shape != alive.shape:
            raise TicketError(f"weight {name} of shape {tuple(alive.shape)} is missing")
        magnitudes.append(weights[name].detach().abs()[alive.to(weights[name].device)])
    magnitude = torch.cat(magnitudes)
    if not bool(torch.isfinite(magnitude).all()):
        raise TicketError("weights are not finite: the training diverged; lower the learning rate")
    keep = _keep_largest(magnitude, round(fraction * magnitude.numel()))
    alive_after, start = {}, 0
    for (name, alive), part in zip(mask.items(), magnitudes, strict=True):
        survivors = torch.zeros_like(alive)
        survivors[alive] = keep[start : start + part.numel()].to(alive.device)
        alive_after[name] = survivors
        start += part.numel()
    return Mask(alive_after)


def _keep_largest(magnitude: Tensor, num_removed: int) -> Tensor:
    """True for all but the `num_removed` smallest entries; of equal ones the first go first."""
    if num_removed == 0:
        return torch.ones_like(magnitude, dtype=torch.bool)
    threshold = _kth_smallest(magnitude, num_removed)
    keep = magnitude > threshold
    tied = torch.nonzero(magnitude == threshold).squeeze(1)
    num_tied_kept = magnitude.numel() - num_removed - int(keep.sum())
    keep[tied[tied.numel() - num_tied_kept :]] = True
    return keep


def _kth_smallest(values: Tensor, k: int) -> float:
    """The k-th smallest value, counted from 1; exact as a Python float for every float type."""
    if values.is_cuda:
        return float(values.kthvalue(k).values)
    if values.dtype != torch.float64:
        values = values.float()  # NumPy has no bfloat16
    return float(np.partition(values.numpy(), k - 1)[k - 1])
