"""Global magnitude pruning: an exact count, ties in a fixed order, a subset of the old mask."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from prac.config.checks import require
from prac.errors import TicketError
from prac.pruning.mask import Mask


@torch.no_grad()
def global_magnitude(weights: Mapping[str, Tensor], mask: Mask, fraction: float) -> Mask:
    """Remove the `fraction` of the weights alive under `mask` that are smallest in magnitude.

    weights: by name, of the mask's shapes. The number removed is round(fraction * alive), halves to
    even, as in `torch.nn.utils.prune`. Of equal magnitudes the one that comes first (weights in the
    mask's order, then row-major) is removed first.
    Raises ConfigError for a fraction outside [0, 1], TicketError for a mask of no weights and for
    weights that are missing, of another shape or not finite.
    """
    require(0 <= fraction <= 1, "fraction", fraction, "0 to 1")
    if not mask:
        raise TicketError("the mask has no weights, so there is nothing to prune")
    for name, alive in mask.items():
        if name not in weights or weights[name].shape != alive.shape:
            raise TicketError(f"weight {name} of shape {tuple(alive.shape)} is missing")
    magnitude, parts = _magnitudes(weights, mask)
    if mask.num_alive and not math.isfinite(float(magnitude.max())):
        raise TicketError("weights are not finite: the training diverged; lower the learning rate")
    keep = _keep_largest(magnitude, mask.num_alive - round(fraction * mask.num_alive))
    return Mask(
        {
            name: keep[part].view(alive.shape).to(alive.device, copy=True)
            for (name, alive), part in zip(mask.items(), parts, strict=True)
        }
    )


def _magnitudes(weights: Mapping[str, Tensor], mask: Mask) -> tuple[Tensor, list[slice]]:
    """All magnitudes in one row, in the mask's order and row-major; -1 for a pruned weight.

    Also where in it each weight is. A gather of those alive takes ten times as long (ResNet-18).
    """
    tensors = [weights[name].detach() for name in mask]
    double = any(tensor.dtype == torch.float64 for tensor in tensors)
    # Exact for every float type; NumPy, which selects on a CPU, has no bfloat16.
    dtype = torch.float64 if double else torch.float32
    row = torch.empty(mask.size, dtype=dtype, device=tensors[0].device)
    parts, start = [], 0
    for tensor, alive in zip(tensors, mask.values(), strict=True):
        part = slice(start, start + tensor.numel())
        here = row[part].view(tensor.shape)
        here.copy_(tensor).abs_().masked_fill_(~alive.to(row.device), -1)
        parts.append(part)
        start = part.stop
    return row, parts


def _keep_largest(magnitude: Tensor, num_kept: int) -> Tensor:
    """True for the `num_kept` largest entries; of equal ones the last are kept."""
    if num_kept == 0:
        return torch.zeros_like(magnitude, dtype=torch.bool)
    threshold = _kth_smallest(magnitude, magnitude.numel() - num_kept + 1)
    keep = magnitude > threshold
    num_tied_kept = num_kept - int(torch.count_nonzero(keep))
    tied = torch.nonzero(magnitude == threshold).squeeze(1)
    keep[tied[tied.numel() - num_tied_kept :]] = True
    return keep


def _kth_smallest(values: Tensor, k: int) -> float:
    """The k-th smallest value, counted from 1: by selection, on an accelerator by a radix sort.

    On CUDA `kthvalue` has one block of threads work on a row, however long it is.
    """
    if values.device.type != "cpu":
        return float(values.sort().values[k - 1])
    return float(np.partition(values.numpy(), k - 1)[k - 1])
