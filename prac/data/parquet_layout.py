"""Which Parquet files make which split, and which columns hold the images and labels."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from prac.errors import ConfigError

IMAGE_NAMES = ("img", "image")
LABEL_NAMES = ("label", "fine_label", "labels")

_SPLITS = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
}


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The columns of a data set.

    nested: the image column is a struct with a field `bytes`, not the bytes themselves.
    class_names: None where the schema doesn't say.
    """

    image: str
    nested: bool
    label: str
    class_names: tuple[str, ...] | None


def find_files(root: Path, where: str) -> dict[str, list[Path]]:
    """The files of `train` and, where there is one, of `test`; sorted.

    where: the data set as the user named it, for errors.
    Raises ConfigError where there is no file, or none for training.
    """
    if root.is_file():
        return {"train": [root]}
    if not root.is_dir():
        raise ConfigError(f"{where} does not exist; allowed: a Parquet file or a folder of them")
    by_split: dict[str | None, list[Path]] = {}
    for file in sorted(root.rglob("*.parquet"), key=lambda f: f.relative_to(root).as_posix()):
        parts = file.relative_to(root).parts
        if file.is_file() and not any(part.startswith((".", "_")) for part in parts):
            by_split.setdefault(_split_of(parts), []).append(file)
    if not by_split:
        raise ConfigError(f"{where} holds no *.parquet file; allowed: one or more")
    unnamed = by_split.pop(None, [])
    if unnamed and by_split:
        raise ConfigError(
            f"{where}: {unnamed[0].name} names no split while others do; allowed: "
            "train*.parquet, test*.parquet, validation*.parquet, or no split in any name"
        )
    train = unnamed or by_split.get("train", [])
    if not train:
        raise ConfigError(
            f"{where} has files for {', '.join(sorted(map(str, by_split)))} only; "
            "allowed: train*.parquet besides"
        )
    test = by_split.get("test") or by_split.get("validation")
    return {"train": train} | ({"test": test} if test else {})


def find_columns(schema: pa.Schema, *, label_column: str | None, where: str) -> Columns:
    """Find the image column by its type and the label column by its name or type.

    Raises ConfigError, with the columns there are, where that leaves none or several.
    """
    image = _choose(schema, IMAGE_NAMES, _is_image, "image", "bytes or a struct with bytes", where)
    if label_column is None:
        label = _choose(schema, LABEL_NAMES, pa.types.is_integer, "label", "integers", where)
    elif label_column in schema.names and pa.types.is_integer(schema.field(label_column).type):
        label = label_column
    else:
        raise ConfigError(
            f"{where}: data.label_column '{label_column}' is not a column of integers; "
            f"columns: {_describe(schema)}"
        )
    return Columns(
        image=image,
        nested=pa.types.is_struct(schema.field(image).type),
        label=label,
        class_names=_class_names(schema, label, where),
    )


def _split_of(parts: tuple[str, ...]) -> str | None:
    """The split that a file's name starts with, or else the nearest folder that names one."""
    word = re.match("[a-z]+", parts[-1].lower())
    if word and word[0] in _SPLITS:
        return _SPLITS[word[0]]
    return next((_SPLITS[p.lower()] for p in reversed(parts[:-1]) if p.lower() in _SPLITS), None)


def _choose(
    schema: pa.Schema,
    preferred: tuple[str, ...],
    accepts: Callable[[pa.DataType], bool],
    what: str,
    allowed: str,
    where: str,
) -> str:
    candidates = [field.name for field in schema if accepts(field.type)]
    for name in preferred:
        if name in candidates:
            return name
    if len(candidates) == 1:
        return str(candidates[0])
    count = f"{len(candidates)} columns" if candidates else "no column"
    way_out = f" named {' or '.join(preferred)}, or only one" if candidates else ""
    if what == "label":
        way_out += "; data.label_column names another"
    raise ConfigError(
        f"{where}: {count} could hold the {what}; allowed: one of {allowed}{way_out}; "
        f"columns: {_describe(schema)}"
    )


def _is_image(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        index = kind.get_field_index("bytes")
        return index >= 0 and _is_binary(kind.field(index).type)
    return _is_binary(kind)


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _class_names(schema: pa.Schema, label: str, where: str) -> tuple[str, ...] | None:
    """The names that Hugging Face's `datasets` writes into the schema's metadata."""
    text = (schema.metadata or {}).get(b"huggingface")
    if text is None:
        return None
    try:
        metadata: Any = json.loads(text)
    except ValueError:
        raise ConfigError(
            f"{where}: the schema's metadata 'huggingface' is not JSON; allowed: JSON, or none"
        ) from None
    features = metadata.get("info", metadata).get("features", {})
    names = features.get(label, {}).get("names")
    return tuple(map(str, names)) if names else None


def _describe(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name} ({field.type})" for field in schema)
