"""The columns of Hugging Face data sets that are handed over: rows are mappings."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from prac.config.sections import DataConfig
from prac.data.words import words_of
from prac.errors import ConfigError, shown

IMAGE_NAMES = ("img", "image")
LABEL_NAMES = ("label", "fine_label", "labels")
"""The first of these is the label where several are there; of the next, one alone."""

OTHER_LABEL_NAMES = ("class", "class_label", "target", "targets", "category", "y")
_WORDS_OF_LABELS = frozenset({*LABEL_NAMES, *OTHER_LABEL_NAMES} - {"y"})
_IN_WORDS = ("_text", "_name", "_names", "_str", "_string")
"""Endings of a column that says the labels of another again: `label_text`."""


def has_columns(split: Any) -> bool:
    """Whether a data set tells its columns and their types, as Hugging Face's do; `features` of
    others are numbers."""
    return isinstance(getattr(split, "features", None), Mapping)


def row_columns(split: Any, config: DataConfig) -> tuple[str, str]:
    """The columns of the image and of the label. Raises ConfigError, with those there are."""
    features = split.features
    images = [name for name, kind in features.items() if type(kind).__name__ == "Image"]
    names = list(features)
    return (
        _one(config.image_column, "image", names, IMAGE_NAMES, images),
        _one(config.label_column, "label", names, LABEL_NAMES, _class_labels(split)),
    )


def row_notes(split: Any, config: DataConfig) -> list[str]:
    """What is told of its columns."""
    if not has_columns(split) or config.label_column is not None:
        return []
    label = row_columns(split, config)[1]
    return label_notes(label, list(split.features), _class_labels(split))


def label_notes(label: str, names: Collection[str], typed: Collection[str]) -> list[str]:
    """Says which column the label was found in where others could be meant: CIFAR-100 has fine and
    coarse labels. names: what can hold labels. typed: what is told to hold classes."""
    others = [
        name
        for name in names
        if name not in (label, *(label + ending for ending in _IN_WORDS))
        and (name in typed or not _WORDS_OF_LABELS.isdisjoint(words_of(name)))
    ]
    if not others:
        return []
    return [
        f"labels are those of column '{shown(label)}'; data.label_column names another "
        f"({shown(', '.join(others[:5]))})"
    ]


def _class_labels(split: Any) -> list[str]:
    return [name for name, kind in split.features.items() if type(kind).__name__ == "ClassLabel"]


def item_columns(item: Mapping[str, Any], config: DataConfig) -> tuple[str, str]:
    """The same of an item that a Dataset gives, which says no types."""
    names = list(map(str, item))
    return (
        _one(config.image_column, "image", names, (*IMAGE_NAMES, "images", "pixel_values"), []),
        _one(config.label_column, "label", names, LABEL_NAMES, []),
    )


def feature_names(split: Any, config: DataConfig) -> Sequence[str] | None:
    """The names of the classes, where the label's feature says them."""
    if not has_columns(split):
        return None
    label = split.features[row_columns(split, config)[1]]
    names: Sequence[str] | None = getattr(label, "names", None)
    return names


def _one(
    named: str | None, what: str, names: list[str], preferred: Sequence[str], typed: list[str]
) -> str:
    if named is not None and named in names:
        return named
    if named is None:
        known = [name for name in preferred if name in names][:1] or typed
        if len(known) == 1:
            return known[0]
    raise ConfigError(
        f"the data set has no column for the {what}, or several; data.{what}_column names one of "
        f"its columns: {', '.join(names)}"
    )
