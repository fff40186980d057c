"""From columns of labels, whatever their type, to numbers or texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from prac.data.refusals import name_some
from prac.data.walk import same_form
from prac.errors import ConfigError


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


def plain_labels(
    columns: Mapping[str, pa.ChunkedArray], *, name: str, where: str
) -> dict[str, NDArray[Any]]:
    """(N,) int64, or texts as objects, of each split. Raises ConfigError for nulls among them."""
    plain = {}
    for split, column in columns.items():
        _refuse_nulls(split, column, name, where)
        plain[split] = _plain(column, f"{where}: column '{name}'")
    return plain


def _plain(column: pa.ChunkedArray, what: str) -> NDArray[Any]:
    """int64, or text as objects."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.string())
    if pa.types.is_integer(column.type):
        try:
            numbers: NDArray[Any] = column.cast(pa.int64()).drop_null().to_numpy()
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
