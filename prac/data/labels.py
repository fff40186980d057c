"""From a column of labels, whatever its type, to classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pyarrow as pa

from prac.data.decode import name_some
from prac.data.splits import Labels
from prac.data.walk import same_form
from prac.errors import ConfigError, shown

_MOSTLY = 0.9
# From here on a class with one sample is no chance any more: a small set may have some.
_MANY_ROWS = 8


def is_label(kind: pa.DataType) -> bool:
    """Whether values of a type can name classes: whole numbers, text or booleans."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_integer(kind) or pa.types.is_boolean(kind) or _is_text(kind))


def is_unlabelled(column: pa.ChunkedArray) -> bool:
    """Whether all labels are absent, or -1 as the hub writes it where they are kept secret."""
    if column.null_count == len(column):
        return True
    values = _plain(column, "labels")
    return values.dtype.kind == "i" and bool((values == -1).all())


def to_classes(
    columns: Mapping[str, pa.ChunkedArray],
    *,
    name: str,
    class_names: tuple[str, ...] | None,
    where: str,
) -> tuple[tuple[str, ...], dict[str, Labels]]:
    """The names of the classes, and (N,) int64 labels of each split, 0 to the number of classes.

    columns: `train` first. name: of the column. class_names: what the schema says that 0, 1, ...
    are; without it, the values that occur are the classes, in their order. Raises ConfigError.
    """
    plain = {}
    for split, column in columns.items():
        _refuse_nulls(split, column, name, where)
        plain[split] = _plain(column, f"{where}: column '{name}'")
    if len({values.dtype.kind == "i" for values in plain.values()}) > 1:
        raise ConfigError(
            f"{where}: column '{name}' holds numbers in one split and text in the other; allowed: "
            "one of them"
        )
    train = plain["train"]
    if class_names is not None and train.dtype.kind == "i":
        for split, values in plain.items():
            _refuse_outside(split, values, class_names, name, where)
        return class_names, plain
    occurring = np.unique(train)
    if class_names is not None and set(occurring.tolist()) <= set(class_names):
        occurring = np.array(class_names, dtype=object)
    elif len(train) >= _MANY_ROWS and len(occurring) > _MOSTLY * len(train):
        raise ConfigError(
            f"{where}: column '{name}' has {len(occurring)} values in {len(train)} training rows, "
            "as row numbers and file names have; allowed: classes, or another data.label_column"
        )
    labels = {split: _positions(values, occurring) for split, values in plain.items()}
    for split, places in labels.items():
        strange = np.flatnonzero(places < 0)
        if len(strange):
            unknown = sorted({str(plain[split][row]) for row in strange})
            raise ConfigError(
                f"{where}: {len(unknown)} classes of the {split} split are not in the training "
                f"split ({shown(', '.join(unknown[:5]))}); allowed: the classes of train"
            )
    return tuple(str(value) for value in occurring), labels


def _positions(values: np.ndarray, classes: np.ndarray) -> Labels:
    position = {value: place for place, value in enumerate(classes.tolist())}
    return np.array([position.get(value, -1) for value in values.tolist()], dtype=np.int64)


def _plain(column: pa.ChunkedArray, what: str) -> np.ndarray:
    """int64, or text as objects."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.string())
    if pa.types.is_integer(column.type):
        try:
            numbers: np.ndarray = column.cast(pa.int64()).drop_null().to_numpy()
        except pa.ArrowInvalid as error:
            raise ConfigError(
                f"{what} goes beyond 63 bits; allowed: whole numbers of classes"
            ) from error
        return numbers
    try:
        texts = column.drop_null().to_pylist()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{what} holds text that is no UTF-8; allowed: UTF-8") from error
    return np.array([same_form(text) for text in texts], dtype=object)


def joined(columns: list[pa.ChunkedArray], what: str) -> pa.ChunkedArray:
    """Columns of several files as one: integers of any width, text of any kind."""
    kinds = {_common(column.type) for column in columns}
    if len(kinds) > 1:
        named = ", ".join(sorted(map(str, {column.type for column in columns})))
        raise ConfigError(f"{what} is {named} in different files; allowed: one kind of labels")
    kind = kinds.pop()
    try:
        chunks = [chunk for column in columns for chunk in column.cast(kind).chunks]
    except pa.ArrowInvalid as error:
        raise ConfigError(f"{what} can't be read: {error}; allowed: classes") from error
    return pa.chunked_array(chunks, type=kind)


def _common(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_integer(kind):
        return pa.uint64() if pa.types.is_uint64(kind) else pa.int64()
    return pa.large_string() if _is_text(kind) else kind


def _is_text(kind: pa.DataType) -> bool:
    tests: tuple[Callable[[pa.DataType], bool], ...] = (
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_string_view,
    )
    return any(test(kind) for test in tests)


def _refuse_nulls(split: str, column: pa.ChunkedArray, name: str, where: str) -> None:
    if column.null_count:
        nulls = np.flatnonzero(column.is_null().to_numpy())
        raise ConfigError(
            f"{where}: {len(nulls)} labels in column '{name}' are null "
            f"({name_some(nulls, lambda row: f'{split} row {row}')}); allowed: a label in every row"
        )


def _refuse_outside(
    split: str, labels: Labels, class_names: tuple[str, ...], name: str, where: str
) -> None:
    outside = np.flatnonzero((labels < 0) | (labels >= len(class_names)))
    if len(outside):
        rows = name_some(outside, lambda row: f"{split} row {row} is {labels[row]}")
        raise ConfigError(
            f"{where}: {len(outside)} labels in column '{name}' are outside the "
            f"{len(class_names)} classes ({rows}); allowed: 0 to {len(class_names) - 1}"
        )
