"""Sets of samples as files: ours with reasons, and lists of ids that somebody brings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq

from prac.errors import ConfigError
from prac.selection.prac_set import PracSet

SUFFIXES = (".parquet", ".arrow", ".feather", ".csv", ".txt")


def write_set(chosen: PracSet, file: str | Path, facts: Mapping[str, str]) -> Path:
    """Write a set as Parquet or Arrow, by the file's suffix; `facts` go into the table's metadata.

    The file appears whole or not at all. Raises ConfigError for another suffix.
    """
    path = Path(file)
    table = chosen.to_table().replace_schema_metadata(dict(facts))
    if path.suffix not in SUFFIXES[:3]:
        raise ConfigError(f"{path} has no suffix for a set; allowed: {', '.join(SUFFIXES[:3])}")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    if path.suffix == ".parquet":
        pq.write_table(table, temporary, compression="zstd")
    else:
        pyarrow.feather.write_feather(table, temporary, compression="zstd")
    temporary.replace(path)
    return path


def read_set_file(file: str | Path) -> PracSet:
    """A set from Parquet, Arrow, CSV (column `sample_id`, or the only one) or lines of ids.

    Ids are rows of the original training split. Raises ConfigError for what can't be read.
    """
    path = Path(file)
    if path.suffix not in SUFFIXES:
        raise ConfigError(f"{path} has no known suffix; known: {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise ConfigError(f"{path} is not there; give a file of sample ids")
    try:
        if path.suffix == ".txt":
            ids = [int(line) for line in path.read_text().split("\n") if line.strip()]
            table = pa.table({"sample_id": pa.array(ids, pa.int64())})
        elif path.suffix == ".csv":
            table = _named(_read_csv(path))
        elif path.suffix == ".parquet":
            table = _named(pq.read_table(path, memory_map=False))
        else:
            table = _named(pyarrow.feather.read_table(path, memory_map=False))
        return _checked(table)
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"{path} can't be read as a set of sample ids ({reason})") from error


def _checked(table: pa.Table) -> PracSet:
    doubled = {name for name in table.column_names if table.column_names.count(name) > 1}
    if doubled:
        raise ConfigError(f"column {sorted(doubled)[0]} is there more than once; allowed: once")
    if table.num_rows == 0:
        raise ConfigError("it holds no sample ids; allowed: one or more")
    ids = table["sample_id"]
    if not pa.types.is_integer(ids.type):
        raise ConfigError(f"sample_id is {ids.type}; allowed: whole numbers")
    if ids.null_count:
        raise ConfigError(f"sample_id has {ids.null_count} nulls; allowed: whole numbers")
    if len(np.unique(ids.to_numpy())) != table.num_rows:
        raise ConfigError("some samples are named more than once; allowed: each once")
    return PracSet.from_table(table)


def _read_csv(path: Path) -> pa.Table:
    first = path.read_text().partition("\n")[0].strip()
    headless = first.isdecimal()
    options = pyarrow.csv.ReadOptions(column_names=["sample_id"]) if headless else None
    return pyarrow.csv.read_csv(path, read_options=options)


def _named(table: pa.Table) -> pa.Table:
    if "sample_id" not in table.column_names and table.num_columns == 1:
        return table.rename_columns(["sample_id"])
    if "sample_id" not in table.column_names:
        names = ", ".join(table.column_names)
        raise ConfigError(f"its columns are {names}; sample_id is needed")
    return table
