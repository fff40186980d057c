"""Files of sample ids as people have them: read, or refused in one line that names the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prac.errors import ConfigError
from prac.events.counter import STATISTICS_SCHEMA
from prac.selection.prac_set import PracSet, Reason
from prac.selection.set_file import read_set_file, write_set

CHOSEN = PracSet.from_reasons({Reason.FORGOTTEN: np.array([3, 1]), Reason.DISAGREED: np.array([3])})
STATISTICS = pa.table(
    {"sample_id": [0, 1], "presentations": [3, 3], "forgotten": [1, 0], "first_learned": [0, 1],
     "mean_margin": [0.0, 0.0], "mean_el2n": [0.0, 0.0]}, schema=STATISTICS_SCHEMA,
)  # fmt: skip


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".feather"])
def test_what_is_written_is_read(tmp_path: Path, suffix: str) -> None:
    assert read_set_file(write_set(CHOSEN, tmp_path / f"set{suffix}", {})) == CHOSEN


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.txt", "3\n1\n"), ("a.csv", "3\n1\n"), ("a.csv", "sample_id,score\n3,0.5\n1,2\n")],
)
def test_lists_of_ids_are_drawn(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert read_set_file(tmp_path / name) == PracSet.everything(np.array([1, 3]))


@pytest.mark.parametrize(
    ("name", "text", "match"),
    [
        ("a.txt", "", "it holds no sample ids; allowed: one or more"),
        ("a.csv", "sample_id\n", "it holds no sample ids|sample_id is null"),
        ("a.txt", "1\nx\n", "invalid literal"),
        ("a.txt", f"{2**70}\n", "too large|too big"),
        ("a.txt", f"{2**31}\n", "0 to 2147483647"),
        ("a.txt", "-1\n", "0 to 2147483647"),
        ("a.txt", "1\n1\n", "named more than once; allowed: each once"),
        ("a.csv", "a,b\n1,2\n", "columns are a, b; sample_id is needed"),
        ("a.csv", "sample_id,sample_id\n1,2\n", "column sample_id is there more than once"),
        ("a.csv", "sample_id,b\n,2\n1,3\n", "has 1 nulls; allowed: whole numbers"),
        ("a.csv", "sample_id,b\n1.5,2\n", "sample_id is double; allowed: whole numbers"),
        ("a.csv", "sample_id,forgotten\n1,2\n", "forgotten of the set's table is int64"),
        ("a.csv", "sample_id,drawn\n1,true\n2,false\n", "has rows of none"),
        ("a.txt", "\x80", "can't be read"),
    ],
)
def test_what_is_no_set_is_refused_in_a_line(
    tmp_path: Path, name: str, text: str, match: str
) -> None:
    (tmp_path / name).write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=match) as caught:
        read_set_file(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_statistics_are_no_set(tmp_path: Path) -> None:
    pq.write_table(STATISTICS, tmp_path / "statistics.parquet")
    with pytest.raises(ConfigError, match="column forgotten of the set's table is int32"):
        read_set_file(tmp_path / "statistics.parquet")
