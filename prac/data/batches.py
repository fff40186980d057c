"""Epochs of a data set on a device: order, shards, augmentation; by (seed, round, epoch) alone.

The order and the augmentation of an epoch are drawn for all its samples at once, before they are
divided among workers: one worker and several see the same augmented images.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prac.config.counts import num_batches
from prac.config.sections import AugmentConfig
from prac.data.augment import augmentation
from prac.data.dataset import ImageDataset
from prac.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One worker's share of one step.

    sample_ids: (B,) int32; images: (B, C, H, W) float32, channels last in memory; labels: (B,)
    int64; step_size: samples that this step trains on, over all workers; weights: (B,) float32 of
    the samples in the loss, None: all 1. trained: so many of these B are trained on; None: all.
    """

    sample_ids: NDArray[np.int32]
    images: Tensor
    labels: Tensor
    step_size: int
    weights: Tensor | None = None
    trained: int | None = None


class DeviceImages:
    """The images of a data set on one device, as uint8, with what turns them into batches."""

    def __init__(
        self, dataset: ImageDataset, augment: AugmentConfig, device: torch.device | str = "cpu"
    ) -> None:
        self.device = torch.device(device)
        self.fingerprint = dataset.fingerprint
        self.num_classes = dataset.num_classes
        self.image_shape = dataset.image_shape
        self.training_ids = dataset.training_ids
        self.validation_ids = dataset.validation_ids
        self._augment = augmentation(augment, dataset.image_shape)
        self._train = self._put(dataset.train_images)
        self._train_labels = torch.from_numpy(dataset.train_labels.copy()).to(self.device)
        self._test = self._put(dataset.test_images)
        self.test_labels = torch.from_numpy(dataset.test_labels.copy()).to(self.device)
        scale = torch.tensor(dataset.std, device=self.device) * 255
        self._scale = scale.reciprocal().view(1, -1, 1, 1)
        self._shift = -(torch.tensor(dataset.mean, device=self.device) * 255 / scale).view(
            1, -1, 1, 1
        )

    def _put(self, images: NDArray[np.uint8]) -> Tensor:
        with warnings.catch_warnings():
            # The array is shared read-only between processes; nothing here writes to it.
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            return torch.from_numpy(images).to(self.device)

    def rows(self, sample_ids: NDArray[np.int32]) -> Tensor:
        """(B,) int64 on the device, for `clean_rows`: moved once, however many batches follow."""
        return torch.from_numpy(sample_ids.astype(np.int64)).to(self.device)

    def labels(self, sample_ids: NDArray[np.int32]) -> Tensor:
        """(B,) int64 labels of training-split rows."""
        return self._train_labels[self.rows(sample_ids)]

    def clean(self, sample_ids: NDArray[np.int32]) -> Tensor:
        """(B, C, H, W) float32 of training-split rows, not augmented."""
        return self.clean_rows(self.rows(sample_ids))

    def clean_rows(self, rows: Tensor) -> Tensor:
        """The same for rows that are on the device."""
        return self._normalised(self._train[rows])

    def test(self, start: int, stop: int) -> Tensor:
        """(B, C, H, W) float32 of rows of the test split."""
        return self._normalised(self._test[start:stop])

    @property
    def num_test(self) -> int:
        """Images in the test split."""
        return len(self._test)

    def epoch(
        self,
        sample_ids: NDArray[np.int32],
        batch_size: int,
        generator: torch.Generator,
        *,
        rank: int = 0,
        world_size: int = 1,
        weights: NDArray[np.float32] | None = None,
        trained: int | None = None,
    ) -> Iterator[Batch]:
        """One epoch over `sample_ids`, augmented: every sample exactly once over all workers.

        Batches differ by at most one sample in size, so that the last of them is no tiny one on
        which BatchNorm could not work; nothing is padded. weights: (N,) of `sample_ids`. trained:
        so many of them are trained on; steps are as many as these need, each with its part of all.
        Raises ConfigError for no samples, and for fewer samples in a step than workers.
        """
        count = len(sample_ids)
        part_of = count if trained is None else trained
        if part_of == 0:
            raise ConfigError("an epoch of 0 samples can't be trained; allowed: 1 or more")
        steps = num_batches(part_of, batch_size)
        if part_of // steps < world_size:
            raise ConfigError(
                f"a step of {part_of // steps} samples can't be shared by {world_size} workers; "
                "use fewer workers or a larger batch"
            )
        order = torch.randperm(count, generator=generator)
        drawn = self._augment.drawn(count, generator)
        shuffled = sample_ids[order.numpy()]
        # Moved once an epoch: a copy a step would make the device wait.
        all_rows = torch.from_numpy(shuffled.astype(np.int64)).to(self.device)
        drawn = tuple(each.to(self.device) for each in drawn)
        heavy = None if weights is None else torch.from_numpy(weights)[order].to(self.device)
        bounds = [part_of * step // steps for step in range(steps + 1)]
        for first, last in pairwise(bounds):
            # As many of all as of those that are trained on, and never fewer than these.
            start, stop, size = count * first // part_of, count * last // part_of, last - first
            part = slice(start + rank, stop, world_size)
            rows = all_rows[part]
            images = self._augment(self._train[rows], *(each[part] for each in drawn))
            yield Batch(
                sample_ids=shuffled[part],
                images=self._normalised(images),
                labels=self._train_labels[rows],
                step_size=size,
                weights=None if heavy is None else heavy[part],
                trained=None if trained is None else len(range(rank, size, world_size)),
            )

    def _normalised(self, images: Tensor) -> Tensor:
        # (B, H, W, C) in memory seen as (B, C, H, W) is channels-last already: no copy for it.
        return images.permute(0, 3, 1, 2).float().mul_(self._scale).add_(self._shift)
