"""Columns that a table's folders hold, as Hive and Spark write them: `label=3/part-0.parquet`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa

from prac.data.columns import LABEL_NAMES, OTHER_LABEL_NAMES
from prac.data.words import split_of

_NULL = "__HIVE_DEFAULT_PARTITION__"
_YES, _NO = ("true", "1", "yes", "y", "t"), ("false", "0", "no", "n", "f")
_WHOLE = re.compile("0|-?[1-9][0-9]{0,17}")


class Partitions:
    """The columns of the folders of a data set's files; whole numbers where all values are."""

    def __init__(self, root: Path, files: Iterable[Path]) -> None:
        self._values = {file: _values(file, root) for file in files}
        found: dict[str, set[str]] = {}
        for values in self._values.values():
            for name, value in values.items():
                found.setdefault(name, set()).update(() if value is None else (value,))
        self._kinds = {
            name: pa.int64() if values and all(map(_WHOLE.fullmatch, values)) else pa.string()
            for name, values in found.items()
        }

    def __contains__(self, name: object) -> bool:
        return name in self._kinds

    def of(self, file: Path, schema: pa.Schema) -> Mapping[str, pa.DataType]:
        """Those of a file that it doesn't hold itself."""
        return {name: self._kinds[name] for name in self._values[file] if name not in schema.names}

    def column(self, file: Path, name: str, num_rows: int) -> pa.ChunkedArray:
        """The value of a file's folder, for each of its rows."""
        kind, value = self._kinds[name], self._values[file][name]
        return pa.chunked_array([pa.repeat(pa.scalar(value, pa.string()).cast(kind), num_rows)])

    def told(self, files: Iterable[Path], name: str) -> list[str | None]:
        """The value for each file, as it is written."""
        return [self._values[file].get(name) for file in files]


def names_split(folder: str) -> str | None:
    """The split that a folder's name says: not by what is a label (`label=train`). Of `is_test`
    and `is_train` either value says one."""
    if _is_labels(folder):
        return None
    name, _, value = folder.partition("=")
    asked, word = split_of(name), value.lower()
    if asked is None or word not in (*_YES, *_NO):
        return split_of(folder)
    if word in _YES:
        return asked
    return "train" if asked == "test" else "test" if asked == "train" else None


def _is_labels(folder: str) -> bool:
    name, mark, _ = folder.partition("=")
    return bool(mark) and name.lower() in (*LABEL_NAMES, *OTHER_LABEL_NAMES)


def _values(file: Path, root: Path) -> dict[str, str | None]:
    folders = (file.relative_to(root) if file.is_relative_to(root) else file).parts[:-1]
    pairs = [folder.partition("=") for folder in folders if names_split(folder) is None]
    return {name: None if value == _NULL else unquote(value) for name, mark, value in pairs if mark}
