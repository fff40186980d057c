"""Which Parquet files make which split, and which columns hold the images and labels."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from prac.data.columns import IMAGE_NAMES, LABEL_NAMES, OTHER_LABEL_NAMES, label_notes
from prac.data.labels import is_label
from prac.data.partitions import names_split
from prac.data.walk import Walk, files_below
from prac.data.words import before_split, hides_split, split_of, words_of
from prac.errors import ConfigError, shown

_SPLITS = ("train", "test", "validation")
_SPLIT_COLUMNS = ("split", "subset", "partition", "is_test", "is_train")
_PART = re.compile(r"-\d{5}-of-(\d{5})(?!\d)")


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The columns of a data set.

    nested: the image column is a struct with a field `bytes`, not the bytes themselves.
    class_names: None where the schema doesn't say. notes: what of the schema could not be used.
    """

    image: str
    nested: bool
    label: str
    class_names: tuple[str, ...] | None
    notes: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, kw_only=True)
class Files:
    """The files of each split (`train`, `test`, `validation`), sorted; what is told of them."""

    splits: Mapping[str, list[Path]]
    notes: tuple[str, ...] = ()


def split_path(path: str) -> tuple[str, str | None]:
    """`PATH#NAME` in two; a `#` of a file that is there is a part of its path."""
    front, mark, name = path.rpartition("#")
    return (
        (front, name) if mark and front and not Path(path).expanduser().exists() else (path, None)
    )


def find_files(root: Path, where: str, *, test: str | None, subset: str | None) -> Files:
    """The files of each split that is there; `train` is.

    where: the data set as the user named it, for errors. test: what is tested on: a path, of itself
    or in `root`, or a split's word. subset: one of several configurations.
    Raises ConfigError where there is no file, none for training, or several to choose from.
    """
    walk = Walk()
    if root.is_file():
        files = [root]
    elif root.is_dir():
        found = files_below(root, (".parquet",), walk)
        files = [f for f in found if not any(p[0] == "_" for p in f.relative_to(root).parts)]
    else:
        raise ConfigError(f"{where} does not exist; allowed: a Parquet file or a folder of them")
    named = _named_test(root, test, where)
    files = [file for file in files if file not in named]
    if not files:
        raise ConfigError(f"{where} holds no *.parquet file; allowed: one or more")
    single = root.is_file()
    by_split = {"train": files} if single else _by_split(root, files, where, subset, bool(named))
    if named:
        by_split["test"] = named
    elif test is not None:
        if test not in by_split or test == "train":
            raise ConfigError(
                f"data.test '{shown(test)}' is no path and no split of {where}; allowed: a file or "
                f"folder, or one of {', '.join(s for s in by_split if s != 'train') or 'none'}"
            )
        by_split = {"train": by_split["train"], "test": by_split[test]}
    notes = [*walk.notes(root), *_missing_notes(by_split)]
    return Files(splits=by_split, notes=tuple(notes))


def _missing_notes(by_split: Mapping[str, list[Path]]) -> list[str]:
    """Splits of which files are not there, by the number that the names of the others tell."""
    notes = []
    for split, files in by_split.items():
        parts = [found for file in files if (found := _PART.search(file.stem))]
        told = max((int(part[1]) for part in parts), default=0)
        if len(parts) < told:
            notes.append(
                f"the {split} split has {len(parts)} of the {told} files that their names tell of "
                f"(e.g. {shown(files[0].name)})"
            )
    return notes


def find_columns(
    schema: pa.Schema,
    folders: Mapping[str, pa.DataType],
    *,
    label_column: str | None,
    image_column: str | None,
    where: str,
) -> Columns:
    """Find the image column by its type and the label column by its name, or else its type.

    folders: further columns, that the folders of the file hold.
    Raises ConfigError, with the columns there are, where that leaves none or several.
    """
    if len(set(schema.names)) < len(schema.names):
        raise ConfigError(f"{where}: two columns have one name; columns: {_describe(schema)}")
    features, notes = _features(schema)
    notes += [
        f"column '{shown(field.name)}' is not used: a row's split is that of its file"
        for field in schema
        if field.name.lower() in _SPLIT_COLUMNS and not pa.types.is_binary(field.type)
    ]
    image = _image_column(schema, image_column, where)
    for name, kind in folders.items():
        schema = schema.append(pa.field(name, kind))
    label = _label_column(schema, label_column, features, where, folders)
    if label_column is None:
        possible = [field.name for field in schema if is_label(field.type)]
        notes += label_notes(label, possible, _class_labels(schema, features))
    names = _class_names(features, label, notes)
    return Columns(
        image=image,
        nested=pa.types.is_struct(schema.field(image).type),
        label=label,
        class_names=names,
        notes=tuple(notes),
    )


def has_column(schema: pa.Schema, name: str) -> bool:
    """Whether a column is there, and can hold labels."""
    return name in schema.names and is_label(schema.field(name).type)


def _named_test(root: Path, test: str | None, where: str) -> list[Path]:
    if test is None:
        return []
    if not test:
        raise ConfigError("data.test '' is not allowed; allowed: a file, a folder, or none")
    inside, itself = root / test, Path(test).expanduser()
    place = next((path for path in (inside, itself) if path.exists()), None)
    if place is None or place == root:
        return []
    files = [place] if place.is_file() else files_below(place, (".parquet",), Walk())
    if not files:
        raise ConfigError(f"{where}: data.test '{shown(test)}' holds no *.parquet file")
    return files


def _by_split(
    root: Path, files: list[Path], where: str, subset: str | None, has_test: bool
) -> dict[str, list[Path]]:
    by_split: dict[str, dict[str, list[Path]]] = {}
    unnamed: list[tuple[str, Path]] = []
    for file in files:
        parts = file.relative_to(root).parts
        split, configuration = _split_of(parts), _configuration_of(parts)
        if split is None:
            unnamed.append((configuration, file))
        else:
            by_split.setdefault(split, {}).setdefault(configuration, []).append(file)
    if unnamed and by_split and not (has_test and "train" not in by_split):
        raise ConfigError(
            f"{where}: {shown(unnamed[0][1].name)} names no split while others do; allowed: "
            "train*.parquet, test*.parquet, validation*.parquet, or no split in any name"
        )
    for configuration, file in unnamed:
        by_split.setdefault("train", {}).setdefault(configuration, []).append(file)
        hidden = [part for part in file.relative_to(root).parts if hides_split(part)]
        if hidden and not has_test:
            raise ConfigError(
                f"{where}: '{shown(hidden[0])}' seems to name a split, and no file does so by a "
                "word of its own; allowed: names such as my-train.parquet, or data.test"
            )
    chosen = _one_configuration(by_split, where, subset)
    if "train" not in chosen:
        raise ConfigError(
            f"{where} has files for {', '.join(sorted(chosen))} only; "
            "allowed: train*.parquet besides"
        )
    return {split: chosen[split] for split in _SPLITS if split in chosen}


def _one_configuration(
    by_split: dict[str, dict[str, list[Path]]], where: str, subset: str | None
) -> dict[str, list[Path]]:
    known = sorted({name for groups in by_split.values() for name in groups})
    if subset is not None:
        matches = [n for n in known if subset == n or subset in n.split("/")]
        if len(matches) != 1:
            raise ConfigError(
                f"{where} has no configuration '{shown(subset)}'; known: "
                f"{shown(', '.join(name for name in known if name)) or 'none, it has one alone'}"
            )
        chosen = {split: groups.get(matches[0], []) for split, groups in by_split.items()}
        return {split: files for split, files in chosen.items() if files}
    if any(len(groups) > 1 for groups in by_split.values()):
        named = [name or "." for name in known]
        raise ConfigError(
            f"{where} holds {len(named)} configurations ({shown(', '.join(named[:5]))}"
            f"{', ...' if len(named) > 5 else ''}); allowed: one of them, as "
            f"parquet:PATH#{shown(named[-1])} or data.subset={shown(named[-1])}"
        )
    return {split: next(iter(groups.values())) for split, groups in by_split.items()}


def _split_of(parts: tuple[str, ...]) -> str | None:
    """The split that a file's name says, or else the nearest folder that says one."""
    stem = parts[-1].removesuffix(".parquet")
    folders = map(names_split, reversed(parts[:-1]))
    return split_of(stem) or next(filter(None, folders), None)


def _configuration_of(parts: tuple[str, ...]) -> str:
    """What the folders of a file, and the words before its split's, say beside the split."""
    folders = []
    for part in parts[:-1]:
        # Numbers and column=value are how one table is written in parts.
        name = before_split(part) if names_split(part) else part
        if name and not name.isdigit() and "=" not in name:
            folders.append(name)
    front = before_split(parts[-1])
    return "/".join([*folders, *([front] if front and words_of(front) else [])])


def _image_column(schema: pa.Schema, named: str | None, where: str) -> str:
    if named is not None:
        if named in schema.names and _is_image(schema.field(named).type):
            return named
        raise ConfigError(
            f"{where}: data.image_column '{shown(named)}' is not a column of images (bytes, or a "
            f"struct with bytes); columns: {_describe(schema)}"
        )
    return _choose(schema, IMAGE_NAMES, _is_image, "image", "bytes or a struct with bytes", where)


def _label_column(
    schema: pa.Schema,
    named: str | None,
    features: Mapping[str, Any],
    where: str,
    folders: Collection[str],
) -> str:
    if named is not None:
        if not has_column(schema, named):
            raise ConfigError(
                f"{where}: data.label_column '{shown(named)}' is not a column of labels (whole "
                f"numbers, text or booleans); columns: {_describe(schema)}"
            )
        return named
    by_form = {name.lower(): name for name in reversed(schema.names)}
    called = [by_form[name] for name in LABEL_NAMES if name in by_form][:1]
    typed = _class_labels(schema, features)
    called = called or (typed if len(typed) == 1 else [])
    called = called or [by_form[name] for name in OTHER_LABEL_NAMES if name in by_form]
    if len(called) == 1:
        if not has_column(schema, called[0]):
            raise ConfigError(
                f"{where}: the labels in column '{shown(called[0])}' are "
                f"{schema.field(called[0]).type}; allowed: whole numbers, text or booleans; "
                "data.label_column names another column"
            )
        return called[0]
    rest = [field for field in schema if not field.name.startswith("__index_level_")]
    rest = [field for field in rest if not called or field.name in called]
    numbers = [field for field in rest if pa.types.is_integer(field.type)]
    # Whoever wrote a table in parts may have done so by its labels.
    fields = numbers if numbers and not called and not folders else rest
    return _choose(
        pa.schema(fields),
        (),
        is_label,
        "label",
        "integers, text or booleans",
        where,
        described=schema,
    )


def _class_labels(schema: pa.Schema, features: Mapping[str, Any]) -> list[str]:
    """The columns that `datasets` calls a ClassLabel."""
    return [
        name
        for name in schema.names
        if isinstance(features.get(name), dict) and features[name].get("_type") == "ClassLabel"
    ]


def _choose(
    schema: pa.Schema,
    preferred: tuple[str, ...],
    accepts: Callable[[pa.DataType], bool],
    what: str,
    allowed: str,
    where: str,
    described: pa.Schema | None = None,
) -> str:
    candidates = [field.name for field in schema if accepts(field.type)]
    for name in preferred:
        if name in candidates:
            return name
    if len(candidates) == 1:
        return str(candidates[0])
    count = f"{len(candidates)} columns" if candidates else "no column"
    listed = preferred or LABEL_NAMES
    way_out = f" named {' or '.join(listed)}, or only one" if candidates else ""
    raise ConfigError(
        f"{where}: {count} could hold the {what}; allowed: one of {allowed}{way_out}; "
        f"data.{what}_column names another; columns: {_describe(described or schema)}"
    )


def _is_image(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        index = kind.get_field_index("bytes")
        return index >= 0 and _is_binary(kind.field(index).type)
    return _is_binary(kind)


def _is_binary(kind: pa.DataType) -> bool:
    tests = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)
    return any(test(kind) for test in tests)


def _features(schema: pa.Schema) -> tuple[Mapping[str, Any], list[str]]:
    """What Hugging Face's `datasets` writes into the schema's metadata; {} for any other shape."""
    text = (schema.metadata or {}).get(b"huggingface")
    if text is None:
        return {}, []
    try:
        metadata: Any = json.loads(text)
        features = metadata.get("info", metadata).get("features", {})
    except (ValueError, AttributeError, RecursionError):
        features = None
    if isinstance(features, dict):
        return features, []
    return {}, ["the schema's metadata 'huggingface' has an unknown form and is not used"]


def _class_names(
    features: Mapping[str, Any], label: str, notes: list[str]
) -> tuple[str, ...] | None:
    feature = features.get(label, {})
    names = feature.get("names", []) if isinstance(feature, dict) else None
    if names == []:
        return None
    fits = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if not isinstance(names, list) or not fits or len(set(names)) < len(names):
        notes.append(
            f"the schema's metadata 'huggingface' has class names of column '{shown(label)}' that "
            "are no list of different texts: they are not used"
        )
        return None
    return tuple(names)


def _describe(schema: Iterable[pa.Field]) -> str:
    fields = [f"{shown(field.name)} ({field.type})" for field in schema]
    return ", ".join(fields[:20]) + (", ..." if len(fields) > 20 else "")
