"""A data set: uint8 images, labels, sample ids and their split."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Origin:
    """How the splits were found.

    test_from: `test` or `validation`, the split of the source that is tested on; `made`: rows of
    the training split were held out. places: which file or folder became which split. notes: what
    is told of the data, a sentence each; nothing of it stops a run.
    """

    test_from: str = "test"
    places: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def told(self, notes: Iterable[str]) -> Origin:
        """With more of them."""
        return replace(self, notes=(*self.notes, *notes))


@dataclass(frozen=True, kw_only=True)
class DataSummary:
    """What a plan needs to know of a data set before its images are decoded.

    image_shape: (H, W, C); None where it is known only after decoding. num_validation: how many
    rows of the training split are held out, where that is decided already; None:
    `data.validation_fraction` of them.
    """

    num_train: int
    num_test: int
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int] | None
    num_validation: int | None = None
    origin: Origin = field(default_factory=Origin)


@dataclass(frozen=True, kw_only=True)
class ImageDataset:
    """Images and labels of the original training split, and of the test split.

    train_images: (N, H, W, C) uint8; row i is the sample with `sample_id` i, everywhere, always.
    train_labels: (N,) int64. test_images, test_labels: likewise, for the test split.
    training_ids, validation_ids: sorted int32 rows of the training split; together all N rows.
    mean, std: per channel, of the training rows, on the scale [0, 1].
    fingerprint: of the content (never of the path); the same for the same images and split.
    """

    name: str
    fingerprint: str
    class_names: tuple[str, ...]
    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.int64]
    training_ids: NDArray[np.int32]
    validation_ids: NDArray[np.int32]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    origin: Origin = field(default_factory=Origin)

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return len(self.class_names)

    @property
    def splits(self) -> dict[str, int]:
        """How many samples each split has."""
        return {
            "training": len(self.training_ids),
            "validation": len(self.validation_ids),
            "test": len(self.test_labels),
        }

    @property
    def training_labels(self) -> NDArray[np.int64]:
        """(|D_0|,) labels of the training rows."""
        labels: NDArray[np.int64] = self.train_labels[self.training_ids]
        return labels

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of every image."""
        height, width, channels = self.train_images.shape[1:]
        return int(height), int(width), int(channels)


class Source(Protocol):
    """Where a data set comes from. `summary` and `fingerprint` are quick, `load` decodes."""

    @property
    def name(self) -> str:
        """A short name for tables and for the model registry: `cifar10`, not a path."""
        ...

    def summary(self) -> DataSummary:
        """Counts, classes and, where it is cheap to know, the shape of the images."""
        ...

    def fingerprint(self) -> str:
        """32 hexadecimal digits: the content and every option that changes the images or split."""
        ...

    def load(self) -> ImageDataset:
        """Decode all images. Raises ConfigError for what can't be used."""
        ...
