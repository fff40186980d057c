"""Splits that are exact, stratified and the same on every machine."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prac.config.counts import held_out_count
from prac.config.sections import DataConfig
from prac.data.dataset import DataSummary, ImageDataset, Origin
from prac.data.findings import class_notes, constant_notes, image_notes, row_digests
from prac.data.memory import refuse_larger_than_memory
from prac.errors import ConfigError

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]
LabelledImages = tuple[Images, Labels]

_T = TypeVar("_T", bound=np.generic)
_CHUNK_BYTES = 1 << 22


def training_rows(summary: DataSummary, fraction: float) -> int:
    """How many rows are trained on, once those for validation are split off."""
    held_out = summary.num_validation
    if held_out is None:
        held_out = held_out_count(summary.num_train, fraction)
    return summary.num_train - held_out


def stratified_split(
    labels: ArrayLike, fraction: float, seed: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Hold out exactly round(fraction * N) samples, of each class its share.

    labels: (N,) integers. Shares are rounded by largest remainder, the smaller label first where
    remainders are equal; every class keeps at least one.
    Returns (kept, held out): sorted int32 rows, together all N.
    Raises ConfigError where so many are held out that a class would keep none.
    """
    _, classes, sizes = np.unique(np.asarray(labels), return_inverse=True, return_counts=True)
    num_held_out = held_out_count(len(classes), fraction)
    quotas = _quotas(sizes.tolist(), num_held_out)
    priorities = np.random.Generator(np.random.PCG64(seed)).random(len(classes))
    order = np.lexsort((priorities, classes))
    place_in_class = np.arange(len(classes)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    held_out = np.zeros(len(classes), dtype=bool)
    held_out[order] = place_in_class < np.repeat(np.asarray(quotas, dtype=np.int64), sizes)
    return np.flatnonzero(~held_out).astype(np.int32), np.flatnonzero(held_out).astype(np.int32)


def channel_statistics(
    images: Images, ids: NDArray[np.int32]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and population standard deviation of each channel over some rows, on the scale [0, 1].

    images: (N, H, W, C) uint8. A standard deviation of 0 becomes 1, so that dividing is safe.
    The sums are exact integers: the result depends on no order and no chunk size.
    """
    _, height, width, channels = images.shape
    rows = max(1, _CHUNK_BYTES // (height * width * channels))
    total = np.zeros(channels, dtype=np.int64)
    squares = np.zeros(channels, dtype=np.int64)
    for start in range(0, len(ids), rows):
        chunk = images[ids[start : start + rows]].reshape(-1, width * channels)
        total += chunk.sum(axis=0, dtype=np.int64).reshape(-1, channels).sum(axis=0)
        square = np.square(chunk, dtype=np.uint16)
        squares += square.sum(axis=0, dtype=np.int64).reshape(-1, channels).sum(axis=0)
    count = len(ids) * height * width
    mean = tuple(s / (255 * count) for s in total.tolist())
    spread = (
        (count * q - s * s) ** 0.5 / (255 * count)
        for s, q in zip(total.tolist(), squares.tolist(), strict=True)
    )
    return mean, tuple(std or 1.0 for std in spread)


@dataclass(frozen=True, kw_only=True)
class Division:
    """Which rows go where. kept: those that are the training split; tested: those that a test split
    is made of, none where there is one. training_ids, validation_ids: rows of the training split.
    """

    kept: NDArray[np.int32]
    tested: NDArray[np.int32]
    training_ids: NDArray[np.int32]
    validation_ids: NDArray[np.int32]


def divide(config: DataConfig, labels: Labels, name: str, *, makes_test: bool) -> Division:
    """Hold out what is tested, where no test split is there, and what is validated.

    labels: (N,) of all rows that aren't a test split already. Raises ConfigError for splits without
    samples, and where a class would have no training row.
    """
    kept, tested = np.arange(len(labels), dtype=np.int32), np.empty(0, np.int32)
    if makes_test:
        kept, tested = _split(labels, "test", config.test_fraction, config.split_seed, name)
        labels = labels[kept]
    training_ids, validation_ids = _split(
        labels, "validation", config.validation_fraction, config.split_seed, name
    )
    return Division(
        kept=kept, tested=tested, training_ids=training_ids, validation_ids=validation_ids
    )


class Splitting(Protocol):
    """A source whose splits are made here."""

    @property
    def name(self) -> str: ...

    @property
    def config(self) -> DataConfig: ...

    def fingerprint(self) -> str: ...


def assemble(
    source: Splitting,
    *,
    class_names: tuple[str, ...],
    train: LabelledImages,
    test: LabelledImages | None,
    origin: Origin | None = None,
) -> ImageDataset:
    """Make the data set of decoded images: its splits and its statistics.

    train, test: (N, H, W, C) uint8 and (N,) int64. Without a test split of its own (None), one is
    held out of `train`; what is kept, in its order, is the training split.
    Raises ConfigError for fewer than two classes, for a split without samples, and for a channel
    that is the same in all training images.
    """
    name = source.name
    if len(class_names) < 2:
        raise ConfigError(f"data set {name} has {len(class_names)} class; allowed: 2 or more")
    division = divide(source.config, train[1], name, makes_test=test is None)
    if test is None:
        (images, labels), kept, tested = train, division.kept, division.tested
        train, test = (images[kept], labels[kept]), (images[tested], labels[tested])
    mean, std = channel_statistics(train[0], division.training_ids)
    refuse_constant(name, train[0], division.training_ids)
    origin = origin or Origin(test_from="made" if len(division.tested) else "test")
    told = (
        *class_notes(class_names, train[1], test[1]),
        *image_notes(row_digests(train[0]), row_digests(test[0])),
        *constant_notes(train[0]),
    )
    return ImageDataset(
        name=name,
        fingerprint=source.fingerprint(),
        class_names=class_names,
        train_images=_read_only(train[0]),
        train_labels=_read_only(train[1]),
        test_images=_read_only(test[0]),
        test_labels=_read_only(test[1]),
        training_ids=_read_only(division.training_ids),
        validation_ids=_read_only(division.validation_ids),
        mean=mean,
        std=std,
        origin=origin.told(told),
    )


def summarise(
    source: Splitting,
    *,
    class_names: tuple[str, ...],
    train_labels: Labels,
    test_labels: Labels | None,
    image_shape: tuple[int, int, int] | None,
    origin: Origin,
    digests: tuple[Sequence[bytes], Sequence[bytes] | None],
) -> DataSummary:
    """What `assemble` will say, before the images are decoded; the same errors for splits.

    digests: of each image as it is encoded, of the training and the test split.
    """
    name = source.name
    if len(class_names) < 2:
        raise ConfigError(f"data set {name} has {len(class_names)} class; allowed: 2 or more")
    if image_shape is not None:
        # A test split that is made of the others is a copy of them.
        count = (
            2 * len(train_labels) if test_labels is None else len(train_labels) + len(test_labels)
        )
        refuse_larger_than_memory(count, image_shape, name)
    division = divide(source.config, train_labels, name, makes_test=test_labels is None)
    train_digests, test_digests = digests
    if (test_labels is None) != (test_digests is None):
        raise ValueError("labels and digests of a test split come together")
    if test_labels is None or test_digests is None:
        rows = train_digests
        train_digests = [rows[row] for row in division.kept]
        test_digests = [rows[row] for row in division.tested]
        train_labels, test_labels = train_labels[division.kept], train_labels[division.tested]
    told = class_notes(class_names, train_labels, test_labels)
    told += image_notes(train_digests, test_digests)
    return DataSummary(
        num_train=len(train_labels),
        num_test=len(test_labels),
        class_names=class_names,
        image_shape=image_shape,
        origin=origin.told(told),
    )


def refuse_constant(name: str, images: Images, ids: Iterable[int]) -> None:
    """Raise ConfigError for a channel that is the same in all of these rows."""
    rows = list(ids)
    first = images[rows[0], 0, 0]
    for channel in range(images.shape[3]):
        # The first image that differs ends it.
        if all((images[row, :, :, channel] == first[channel]).all() for row in rows):
            raise ConfigError(
                f"data set {name}: channel {channel} of {images.shape[3]} is {first[channel]} in "
                "every pixel of every training image; allowed: images that differ (data.channels=1 "
                "makes colour grey)"
            )


def split_options(config: DataConfig, *, makes_test: bool) -> dict[str, Any]:
    """What of a configuration changes the images or the splits: part of a source's fingerprint."""
    options: dict[str, Any] = {
        "image_size": config.image_size,
        "channels": config.channels,
        "validation_fraction": config.validation_fraction,
        "split_seed": config.split_seed,
    }
    return options | ({"test_fraction": config.test_fraction} if makes_test else {})


def slug(text: str) -> str:
    """A short name of `a-z`, `0-9` and `-`; `data` where nothing of it is left."""
    return re.sub("[^a-z0-9]+", "-", text.lower()).strip("-") or "data"


def _split(
    labels: Labels, split: str, fraction: float, seed: int, name: str
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    if held_out_count(len(labels), fraction) == 0:
        raise ConfigError(
            f"data.{split}_fraction {fraction} of {len(labels)} samples of {name} is no sample; "
            "allowed: a larger fraction, or more samples"
        )
    try:
        return stratified_split(labels, fraction, seed)
    except ConfigError as error:
        raise ConfigError(f"data.{split}_fraction {fraction} of {name}: {error}") from None


def _quotas(sizes: list[int], total: int) -> list[int]:
    """How many of each class are held out; integers only, so that every machine agrees."""
    num_samples = sum(sizes)
    limits = [size - 1 for size in sizes]
    if total > sum(limits):
        single = sizes.count(1)
        named = f" ({single} of {len(sizes)} classes have one sample)" if single else ""
        raise ConfigError(
            f"holding out {total} of {num_samples} samples leaves a class without training rows"
            f"{named}; allowed: at most {sum(limits)}"
        )
    if total == 0:
        return [0] * len(sizes)
    quotas = [
        min(total * size // num_samples, limit) for size, limit in zip(sizes, limits, strict=True)
    ]
    by_remainder = sorted(range(len(sizes)), key=lambda c: (-(total * sizes[c] % num_samples), c))
    # A class at its limit passes its share on, so one round may not be enough.
    left = total - sum(quotas)
    while left:
        for c in by_remainder:
            if left and quotas[c] < limits[c]:
                quotas[c] += 1
                left -= 1
    return quotas


def _read_only(array: NDArray[_T]) -> NDArray[_T]:
    array = np.ascontiguousarray(array)
    array.flags.writeable = False
    return array
