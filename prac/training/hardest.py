"""Training on the hardest part of each batch: all of it is passed forward, a part backward.

Kawaguchi and Lu 2020 (Ordered SGD, arXiv:1907.04371) take the gradient of a batch's highest losses
alone. Here the batch is larger by as much as is left out, so that a step trains on as many samples
as any other, and an epoch has fewer steps.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from prac.config.sections import Precision
from prac.models.answers import answer_of
from prac.training.precision import autocast


def part_size(count: int, share: float) -> int:
    """Samples of an epoch that are trained on, of so many that are presented."""
    return max(1, round(share * count))


def hardest(logits: Tensor, labels: Tensor, count: int) -> Tensor:
    """(count,) int64, sorted: the places with the highest cross entropies; of equal ones the first.

    logits: (B, K); labels: (B,) int64.
    """
    losses = nn.functional.cross_entropy(logits.float(), labels, reduction="none")
    return losses.argsort(descending=True, stable=True)[:count].sort().values


def hardest_part(
    model: nn.Module, images: Tensor, labels: Tensor, count: int, precision: Precision
) -> tuple[Tensor, Tensor, Tensor]:
    """Images and labels of the `count` samples of a batch that are hardest now; the logits of all.

    The model is called as training calls it, without gradients; its buffers stay as they are, so
    that BatchNorm's statistics are of what is trained on.
    """
    kept = [buffer.clone() for buffer in model.buffers()]
    with torch.no_grad():
        with autocast(images.device, precision):
            logits = answer_of(model(images))
        for buffer, before in zip(model.buffers(), kept, strict=True):
            buffer.copy_(before)
        places = hardest(logits, labels, count)
        return images[places], labels[places], logits
