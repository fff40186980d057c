"""A data set that is handed over in Python: arrays, or anything that is indexed as a torch Dataset.

No torch is needed: a Dataset is what has `__len__` and gives `(image, label)` by its number, or,
as Hugging Face's `datasets` do, a row with columns.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prac.config.sections import DataConfig
from prac.data.classes import to_classes
from prac.data.columns import feature_names, has_columns, item_columns, row_columns, row_notes
from prac.data.dataset import DataSummary, ImageDataset, Origin, Source
from prac.data.decode import convert_images, shape_after
from prac.data.findings import row_digests
from prac.data.pixels import Seen, corrupt_errors, decode_image, quiet, to_pixels, upright
from prac.data.refusals import name_some
from prac.data.splits import (
    LabelledImages,
    assemble,
    refuse_constant,
    slug,
    split_options,
    summarise,
)
from prac.data.walk import same_form
from prac.data.words import split_of
from prac.errors import ConfigError, first_line, shown
from prac.fingerprint import fingerprint

_Given = tuple[NDArray[np.uint8], NDArray[Any]]
_SPLITS = ("train", "test", "validation")
_AGAIN = 32
"""Items that are asked for twice: what is drawn for half of them is all but never missed."""


def given_source(data: Any, config: DataConfig) -> Source:
    """The same as `prac.data.sources.as_source` of anything but a name."""
    if isinstance(data, ImageDataset):
        return _Loaded(data)
    if all(hasattr(data, name) for name in ("summary", "fingerprint", "load")):
        source: Source = data
        return source
    return GivenSource(data, config)


class _Loaded:
    """An ImageDataset, as a source."""

    def __init__(self, dataset: ImageDataset) -> None:
        self._dataset = dataset
        self.name = dataset.name

    def summary(self) -> DataSummary:
        """Its counts."""
        dataset = self._dataset
        return DataSummary(
            num_train=len(dataset.train_labels),
            num_test=len(dataset.test_labels),
            class_names=dataset.class_names,
            image_shape=dataset.image_shape,
            num_validation=len(dataset.validation_ids),
            origin=dataset.origin,
        )

    def fingerprint(self) -> str:
        """Its own."""
        return self._dataset.fingerprint

    def load(self) -> ImageDataset:
        """Itself."""
        return self._dataset


class GivenSource:
    """Images in memory."""

    def __init__(self, data: Any, config: DataConfig, name: str | None = None) -> None:
        """Take the images. Raises ConfigError for what can't be used."""
        own = getattr(data, "name", None)  # of some it is a method, or a number
        self.name = name or slug(own if isinstance(own, str) and own else "given")
        self.config = config
        given = data if isinstance(data, Mapping) else {"train": data}
        splits = {split_of(str(name)) or str(name): part for name, part in given.items()}
        strange = [name for name in splits if name not in _SPLITS]
        if strange or "train" not in splits or len(splits) < len(given):
            raise ConfigError(
                f"data has the splits {shown(', '.join(map(str, given)))}; allowed: train, with "
                "test or validation"
            )
        self._notes = row_notes(splits["train"], config)
        images, labels = {}, {}
        images["train"], labels["train"] = _labelled(splits["train"], "train", config)
        self._test_from, test = self._find_test(splits)
        if test is not None:
            images["test"], labels["test"] = test
        names = _class_names(splits["train"], config)
        if test is not None and test[1].dtype.kind == "i":
            _refuse_other_names(names, _class_names(splits[self._test_from], config))
        self._classes, classes = to_classes(labels, class_names=names, where="the data set")
        self._train: LabelledImages = images["train"], classes["train"]
        self._test = None if test is None else (images["test"], classes["test"])
        if test is not None:
            shapes = [self._shape_after(split) for split in (images["train"], images["test"])]
            if shapes[0] != shapes[1]:
                raise ConfigError(
                    f"the train split's images have shape (H, W, C) {shapes[0]}, and those of the "
                    f"one that is tested on {shapes[1]}; allowed: one shape (data.image_size and "
                    "data.channels make one)"
                )

    def _shape_after(self, images: NDArray[np.uint8]) -> tuple[int, int, int]:
        height, width, channels = images.shape[1:]
        shape = (int(height), int(width), int(channels))
        return shape_after(shape, self.config.image_size, self.config.channels)

    def _find_test(self, splits: Mapping[str, Any]) -> tuple[str, _Given | None]:
        asked = self.config.test
        others = [name for name in ("test", "validation") if name in splits]
        if asked is not None and asked not in others:
            raise ConfigError(
                f"data.test '{shown(asked)}' is no split of the data set; allowed: "
                f"{', '.join(others) or 'none, it has one alone'}"
            )
        for name in others if asked is None else [asked]:
            found = _labelled(splits[name], name, self.config)
            if not (found[1] == -1).all():
                left_out = [other for other in others if other != name]
                self._notes += [
                    f"the {other} split is left out: the {name} split is used"
                    for other in left_out
                    if name == "test" or asked is not None
                ]
                return name, found
            self._notes.append(f"the {name} split has no labels, and is not used")
        return "made", None

    def summary(self) -> DataSummary:
        if self.config.channels in (None, self._train[0].shape[3]):  # others are seen converted
            refuse_constant(self.name, self._train[0], range(len(self._train[0])))
        return summarise(
            self,
            class_names=self._classes,
            train_labels=self._train[1],
            test_labels=None if self._test is None else self._test[1],
            image_shape=self._shape_after(self._train[0]),
            origin=self._origin,
            digests=(
                row_digests(self._train[0]),
                None if self._test is None else row_digests(self._test[0]),
            ),
        )

    @property
    def _origin(self) -> Origin:
        return Origin(test_from=self._test_from, notes=tuple(self._notes))

    def fingerprint(self) -> str:
        """32 hexadecimal digits: the pixels, the labels, the class names and the options."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        options = split_options(self.config, makes_test=self._test is None)
        return fingerprint(
            {
                "kind": "given",
                "train": self._train,
                "test": self._test,
                "classes": self._classes,
                "options": options,
            }
        )

    def load(self) -> ImageDataset:
        """The data set, with its splits."""
        return assemble(
            self,
            class_names=self._classes,
            train=self._converted(self._train),
            test=None if self._test is None else self._converted(self._test),
            origin=self._origin,
        )

    def _converted(self, split: LabelledImages) -> LabelledImages:
        size, channels = self.config.image_size, self.config.channels
        return convert_images(split[0], size=size, channels=channels), split[1]


def _class_names(train: Any, config: DataConfig) -> tuple[str, ...] | None:
    """The names of 0, 1, ..., where they are said."""
    names: Any = getattr(train, "classes", None)
    if hasattr(names, "tolist"):  # an array, a tensor, an index
        names = names.tolist()
    names = names or feature_names(train, config)
    if isinstance(names, Sequence) and not isinstance(names, str):
        return tuple(map(str, names))
    return None


def _refuse_other_names(train: tuple[str, ...] | None, test: tuple[str, ...] | None) -> None:
    """Two Datasets that number their classes each for itself: a label means another class."""
    for number, (name, other) in enumerate(zip(train or (), test or (), strict=False)):
        if same_form(name) != same_form(other):
            raise ConfigError(
                f"class {number} is '{shown(name)}' in the train split and '{shown(other)}' in "
                "the one that is tested on; allowed: the same numbers for the same classes"
            )


def _labelled(split: Any, name: str, config: DataConfig) -> _Given:
    if isinstance(split, tuple) and len(split) == 2:
        images, labels = (_array(part, name) for part in split)
    elif hasattr(split, "__len__") and hasattr(split, "__getitem__"):
        return _collected(split, name, config)
    else:
        raise ConfigError(
            f"the {name} split is a {type(split).__name__}; allowed: (images, labels), or a "
            "Dataset of (image, label)"
        )
    if labels.ndim != 1 or labels.dtype.kind not in "biuUO" or len(labels) != len(images):
        raise ConfigError(
            f"the {name} split has {len(images)} images and labels {labels.dtype} of shape "
            f"{labels.shape}; allowed: a whole number or a text an image"
        )
    if len(labels) == 0:
        raise ConfigError(f"the {name} split has no images; allowed: one or more")
    return _pixels(_channels_last(images, name), name), _as_labels(labels.tolist(), name)


def _as_labels(given: list[Any], name: str) -> NDArray[Any]:
    """(N,) int64 of whole numbers, -1 where there is no label; texts as objects."""
    absent = [place for place, label in enumerate(given) if label is None]
    if 0 < len(absent) < len(given):
        raise ConfigError(
            f"the {name} split has {len(absent)} items without a label "
            f"({name_some(absent, 'number {}'.format)}); allowed: a label in every item"
        )
    labels = [_label(label, place, name) for place, label in enumerate(given)]
    if {type(label) for label in labels} <= {int}:
        return np.array(labels, dtype=np.int64)
    for place, label in enumerate(labels):
        if not isinstance(label, str):
            raise ConfigError(
                f"the {name} split has texts as labels, and {label} at number {place}; allowed: a "
                "text an image"
            )
    return np.array(labels, dtype=object)


def _label(label: Any, place: int, name: str) -> int | str:
    if isinstance(label, str):
        return same_form(label)
    try:
        number = operator.index(-1 if label is None else label)
    except TypeError:
        number = -(2**63) - 1
    if isinstance(label, np.bool_):
        number = int(label)
    if abs(number) >= 2**63:
        raise ConfigError(
            f"the {name} split has the label {shown(str(label)[:50])!r} at number {place}; "
            "allowed: a whole number or a text an image"
        )
    return number


def _collected(split: Any, name: str, config: DataConfig) -> _Given:
    """A Dataset's items, as bytes one by one: floats of all would need four times the memory."""
    count = len(split)
    if count == 0:
        raise ConfigError(f"the {name} split gives no (image, label) by number: it is empty")
    columns = row_columns(split, config) if has_columns(split) else None
    items = [_item(split, place, name, config, columns) for place in range(count)]
    for place in sorted({round(k * (count - 1) / (_AGAIN - 1)) for k in range(_AGAIN)}):
        again, label = _item(split, place, name, config, columns)
        if _label(label, place, name) != _label(items[place][1], place, name):
            raise ConfigError(
                f"the {name} split gives another label each time it is asked for number {place}; "
                "allowed: always the same"
            )
        if not np.array_equal(again, items[place][0]):
            raise ConfigError(
                f"the {name} split gives another image each time it is asked for number {place}; "
                "allowed: always the same (leave out what augments: prac augments while it trains)"
            )
    shapes = sorted({image.shape for image, _ in items})
    if len(shapes) > 1:
        raise ConfigError(
            f"the {name} split has images of {len(shapes)} shapes (H, W, C), e.g. {shapes[0]} and "
            f"{shapes[-1]}; allowed: one, e.g. by a transform that resizes and crops"
        )
    return np.stack([image for image, _ in items]), _as_labels([y for _, y in items], name)


def _item(
    split: Any, place: int, name: str, config: DataConfig, columns: tuple[str, str] | None
) -> tuple[NDArray[np.uint8], Any]:
    try:
        pair = split[place]
    except Exception as error:
        raise ConfigError(
            f"the {name} split failed when it was asked for number {place}: "
            f"{type(error).__name__}: {first_line(error)}"
        ) from error
    if columns is None and isinstance(pair, Mapping):
        columns = item_columns(pair, config)
    if columns is not None:
        pair = pair[columns[0]], pair[columns[1]]
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        many = f" of {len(pair)}" if isinstance(pair, tuple | list) else ""
        raise ConfigError(
            f"the {name} split gives no (image, label) by number, but a {type(pair).__name__}"
            f"{many}; allowed: an image and its label, as a pair or by their names"
        )
    image, label = pair
    if isinstance(image, Mapping):  # a Hugging Face image that is not decoded yet
        image = image.get("bytes")
    if isinstance(image, bytes):
        return _decoded(image, place, name, config), label
    if hasattr(image, "convert") and hasattr(image, "mode"):
        return _picture(image, place, name, config), label
    return _pixels(_channels_last(_array(image, name)[None], name), name)[0], label


@quiet()
def _decoded(image: bytes, place: int, name: str, config: DataConfig) -> NDArray[np.uint8]:
    seen = Seen()
    try:
        pixels = decode_image(image, size=config.image_size, channels=config.channels, seen=seen)
    except corrupt_errors() as error:
        raise ConfigError(
            f"the {name} split has an image at number {place} that can't be decoded; allowed: "
            "whole image files"
        ) from error
    if seen.deep:
        # One by one each would be spread over 0 to 255 by a range of its own.
        raise ConfigError(
            f"the {name} split has an image of more than 8 bits at number {place}; allowed: 8 "
            "bits, or --data folder:PATH or parquet:PATH, whose range is of all their images"
        )
    return pixels


def _picture(image: Any, place: int, name: str, config: DataConfig) -> NDArray[np.uint8]:
    """A PIL image as files are read: numbers of a palette are no pixels."""
    if image.mode.startswith(("I", "F")):
        raise ConfigError(
            f"the {name} split has an image of mode {image.mode} at number {place}; allowed: 8 bits"
        )
    seen = Seen()
    try:
        turned = upright(image, seen)
        return to_pixels(turned, config.image_size, config.channels, seen=seen)
    except corrupt_errors() as error:
        raise ConfigError(
            f"the {name} split has an image at number {place} that can't be decoded "
            f"({first_line(error)}); allowed: whole images that are open"
        ) from error


def _array(part: Any, name: str) -> NDArray[Any]:
    if np.ma.is_masked(part):
        raise ConfigError(f"the {name} split has masked values; allowed: none, whole arrays")
    try:
        return np.asarray(part.detach() if hasattr(part, "detach") else part)
    except Exception as error:
        raise ConfigError(
            f"the {name} split has what is no array ({first_line(error)}); allowed: (images, "
            "labels), each of one shape; {'train': ..., 'test': ...} where there are two splits"
        ) from error


def _channels_last(images: NDArray[Any], name: str) -> NDArray[Any]:
    if 0 in images.shape[1:]:
        raise ConfigError(
            f"the {name} split's images have shape {images.shape[1:]}; allowed: one pixel or more"
        )
    if images.ndim == 3:
        return images[..., None]
    if images.ndim == 4 and images.shape[3] in (1, 3):
        return images
    if images.ndim == 4 and images.shape[1] in (1, 3):
        return images.transpose(0, 2, 3, 1)
    raise ConfigError(
        f"the {name} split's images have shape {images.shape[1:]}; "
        "allowed: (H, W), (H, W, C) or (C, H, W) with 1 or 3 channels"
    )


def _pixels(images: NDArray[Any], name: str) -> NDArray[np.uint8]:
    if images.dtype == np.uint8:
        return np.ascontiguousarray(images)
    if images.dtype.kind == "f" and np.isfinite(images).all():
        scaled = images.astype(np.float64) * 255
        whole = np.rint(scaled)
        if whole.min() >= 0 and whole.max() <= 255 and np.abs(scaled - whole).max() < 1e-2:
            return whole.astype(np.uint8)
    span = f" from {images.min()} to {images.max()}" if images.dtype.kind in "biuf" else ""
    raise ConfigError(
        f"the {name} split's pixels are {images.dtype}{span}; "
        "allowed: uint8, or floats from 0 to 1 in steps of 1/255 (leave out what normalises)"
    )
