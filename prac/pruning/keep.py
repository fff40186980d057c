"""From scores of weights to the next mask: an exact count, ties in a fixed order."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from prac.errors import ConfigError
from prac.pruning.mask import Mask


@torch.no_grad()
def keep_highest(scores: Mapping[str, Tensor], mask: Mask, num_kept: int) -> Mask:
    """The `num_kept` weights alive under `mask` with the highest scores.

    Of equal scores the one that comes first (weights in the mask's order, then row-major) goes
    first, as in `global_magnitude`. Raises ConfigError for scores that are missing, of another
    shape or not finite where a weight is alive.
    """
    parts = []
    for name, alive in mask.items():
        given = scores.get(name) if isinstance(scores, Mapping) else None
        if not isinstance(given, Tensor) or given.shape != alive.shape:
            raise ConfigError(
                f"prune.criterion gave no tensor of shape {tuple(alive.shape)} for {name}; "
                "allowed: a mapping of names to scores"
            )
        parts.append(given.detach().double().cpu()[alive.cpu()])
    row = torch.cat(parts)
    if not bool(torch.isfinite(row).all()):
        raise ConfigError("prune.criterion gave scores that are not finite")
    keep = torch.zeros(len(row), dtype=torch.bool)
    keep[torch.sort(row, stable=True).indices[len(row) - num_kept :]] = True
    made, start = {}, 0
    for name, alive in mask.items():
        inside = alive.cpu().clone()
        count = int(inside.sum())
        inside[alive.cpu()] = keep[start : start + count]
        made[name] = inside.to(alive.device)
        start += count
    return Mask(made)
