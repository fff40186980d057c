"""Soft sets: samples outside the critical ones are drawn now and then, and weigh more.

Qin et al. 2024 (InfoBatch, arXiv:2303.04947) drop easy samples at random in each epoch and weigh
those that stay by one over their chance, so that the expected gradient is that of everything. Here
the critical set takes the place of their threshold on the loss.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

ANNEALED = 8
"""The last 1 / ANNEALED of the epochs take samples of everything, unweighted, as InfoBatch does."""


def soft_size(critical: int, everything: int, share: float) -> int:
    """Samples of an epoch of a soft set with so many critical ones."""
    return critical + round(share * (everything - critical))


@dataclass(frozen=True, kw_only=True)
class SoftSet:
    """A critical set whose epochs take some of the other samples too.

    critical: sorted int32 ids, in every epoch, weight 1. sample_ids: D_0, sorted int32. share: in
    (0, 1), of the samples outside `critical` that an epoch draws, each with weight 1 / share.
    """

    critical: NDArray[np.int32]
    sample_ids: NDArray[np.int32]
    share: float

    @property
    def size(self) -> int:
        """Samples of an epoch, the same in each."""
        return soft_size(len(self.critical), len(self.sample_ids), self.share)

    def epoch(
        self, epoch: int, epochs: int, generator: torch.Generator
    ) -> tuple[NDArray[np.int32], NDArray[np.float32] | None]:
        """The sorted ids of one epoch of so many, and their weights; None: all weigh 1.

        The last eighth of the epochs draws as many from everything: epochs keep their length, and
        with it the schedule its steps.
        """
        if epoch >= epochs - epochs // ANNEALED:
            places = torch.randperm(len(self.sample_ids), generator=generator)[: self.size]
            return np.sort(self.sample_ids[places.numpy()]), None
        outside = np.setdiff1d(self.sample_ids, self.critical, assume_unique=True)
        places = torch.randperm(len(outside), generator=generator)[: self.size - len(self.critical)]
        drawn = outside[places.numpy()]
        ids = np.sort(np.concatenate([self.critical, drawn]))
        heavy = len(outside) / max(1, len(drawn))
        weights = np.where(np.isin(ids, drawn, assume_unique=True), heavy, 1.0)
        return ids, weights.astype(np.float32)
