"""From labels, numbers or texts, to classes: 0 to the number of classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prac.data.refusals import NUM_NAMED, name_some
from prac.errors import ConfigError, shown

_MOSTLY = 0.9
# From here on a class with one sample is no chance any more: a small set may have some.
_MANY_ROWS = 8


def to_classes(
    labels: Mapping[str, NDArray[Any]],
    *,
    class_names: tuple[str, ...] | None,
    where: str,
    of: str = "",
) -> tuple[tuple[str, ...], dict[str, NDArray[np.int64]]]:
    """The names of the classes, and (N,) int64 labels of each split, 0 to the number of classes.

    labels: (N,) int64, or texts as objects; `train` first. class_names: what is said that 0, 1, ...
    are; without it, the values that occur are the classes, in their order. where, of: the data set
    and ` in column 'label'`, for errors. Raises ConfigError.
    """
    if len({values.dtype.kind == "i" for values in labels.values()}) > 1:
        raise ConfigError(
            f"{where}: the labels{of} are numbers in one split and text in the other; allowed: one "
            "of them"
        )
    train = labels["train"]
    if class_names is not None and train.dtype.kind == "i":
        for split, values in labels.items():
            _refuse_outside(split, values, class_names, where, of)
        return class_names, dict(labels)
    occurring = np.unique(train)
    _refuse_unlabelled(train, occurring, where, of)
    if class_names is not None and set(occurring.tolist()) <= set(class_names):
        occurring = np.array(class_names, dtype=object)
    elif len(train) >= _MANY_ROWS and len(occurring) > _MOSTLY * len(train):
        raise ConfigError(
            f"{where}: the labels{of} have {len(occurring)} values in {len(train)} training rows, "
            "as row numbers and file names have; allowed: classes, or another data.label_column"
        )
    placed = {split: _positions(values, occurring) for split, values in labels.items()}
    for split, places in placed.items():
        strange = np.flatnonzero(places < 0)
        if len(strange):
            unknown = sorted({str(labels[split][row]) for row in strange})
            raise ConfigError(
                f"{where}: {len(unknown)} classes of the {split} split are not in the training "
                f"split ({shown(', '.join(unknown[:NUM_NAMED]))}); allowed: the classes of train"
            )
    return tuple(str(value) for value in occurring), placed


def _positions(values: NDArray[Any], classes: NDArray[Any]) -> NDArray[np.int64]:
    position = {value: place for place, value in enumerate(classes.tolist())}
    return np.array([position.get(value, -1) for value in values.tolist()], dtype=np.int64)


def _refuse_unlabelled(train: NDArray[Any], occurring: NDArray[Any], where: str, of: str) -> None:
    """-1 below labels from 0 on stands for no label; -1 and 1 are the two sides of a plane."""
    blank = [] if train.dtype.kind == "i" else [v for v in occurring.tolist() if not v.strip()]
    if blank:
        rows = np.flatnonzero(np.isin(train, blank))
        raise ConfigError(
            f"{where}: {len(rows)} labels{of} are empty texts "
            f"({name_some(rows, lambda row: f'train row {row}')}); allowed: a label in every row"
        )
    if train.dtype.kind == "i" and occurring[0] == -1 and occurring.tolist() != [-1, 1]:
        rows = np.flatnonzero(train == -1)
        raise ConfigError(
            f"{where}: {len(rows)} labels{of} are -1, which stands for none "
            f"({name_some(rows, lambda row: f'train row {row}')}); allowed: a label in every row"
        )


def _refuse_outside(
    split: str, labels: NDArray[np.int64], class_names: tuple[str, ...], where: str, of: str
) -> None:
    outside = np.flatnonzero((labels < 0) | (labels >= len(class_names)))
    if len(outside):
        rows = name_some(outside, lambda row: f"{split} row {row} is {labels[row]}")
        raise ConfigError(
            f"{where}: {len(outside)} labels{of} are outside the {len(class_names)} classes "
            f"({rows}); allowed: 0 to {len(class_names) - 1}"
        )
