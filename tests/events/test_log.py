"""Event files: what is read is what was written, once, or it is refused."""

import dataclasses
import itertools
import random
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prac.errors import EventLogError
from prac.events.file import EventFile
from prac.events.log import EventLog
from prac.events.schema import EVENT_SCHEMA
from prac.storage import Folder

IDS = [2, 3, 5, 8, 13, 21, 34]


def row(epoch: int, sample: int, round_: int = 0) -> dict[str, object]:
    return {
        "round": round_,
        "epoch": epoch,
        "sample_id": sample,
        "correct": (epoch + sample) % 3 == 0,
        "margin": (sample - 10 * epoch) / 8,
        "el2n": sample / 64,
    }


def table_of(epoch: int, samples: list[int], round_: int = 0) -> pa.Table:
    rows = [row(epoch, sample, round_) for sample in samples]
    columns = {name: [r[name] for r in rows] for name in EVENT_SCHEMA.names}
    for name in ("margin", "el2n"):
        columns[name] = np.array(columns[name], np.float16)
    return pa.table(columns, schema=EVENT_SCHEMA)


def write(log, epoch, samples, *, attempt=0, rank=0, ranks=1, rows=7, round_=0) -> EventFile:
    file = EventFile(round_, epoch, attempt, ranks, rank)
    log.write(file, table_of(epoch, samples, round_), epoch_rows=rows)
    return file


def read(log: EventLog, epochs: int = 1, round_: int = 0) -> list[list[dict[str, object]]]:
    ids = np.array(IDS, np.int32)
    return [
        batch.to_pylist() for batch in log.read(round_index=round_, epochs=epochs, sample_ids=ids)
    ]


@pytest.fixture
def log(tmp_path) -> EventLog:
    return EventLog(Folder(tmp_path), "run-1")


@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.randoms(use_true_random=False))
@settings(max_examples=25, deadline=None)
def test_any_ranks_in_any_order_of_writing(ranks_of: list[int], rng: random.Random) -> None:
    with tempfile.TemporaryDirectory() as folder:
        log = EventLog(Folder(folder), "run-1")
        writes = []
        for epoch, ranks in enumerate(ranks_of):
            shares: list[list[int]] = [[] for _ in range(ranks)]
            for sample in rng.sample(IDS, len(IDS)):
                rng.choice(shares).append(sample)
            writes += [(epoch, share, rank, ranks) for rank, share in enumerate(shares)]
        rng.shuffle(writes)
        for epoch, share, rank, ranks in writes:
            write(log, epoch, share, rank=rank, ranks=ranks)
        expected = [[row(epoch, sample) for sample in IDS] for epoch in range(len(ranks_of))]
        assert read(log, epochs=len(ranks_of)) == expected


def test_rounds_are_kept_apart(log) -> None:
    write(log, 0, IDS)
    write(log, 0, IDS, round_=1)
    assert read(log, round_=1) == [[row(0, sample, 1) for sample in IDS]]


def test_one_complete_attempt_is_read_and_a_broken_one_skipped(log) -> None:
    assert log.next_attempt() == 0
    write(log, 0, IDS[:3], rank=0, ranks=2)  # rank 1 died
    assert log.next_attempt() == 1
    write(log, 0, IDS[::2], attempt=1, rank=0, ranks=2)
    write(log, 0, IDS[1::2], attempt=1, rank=1, ranks=2)
    write(log, 0, IDS, attempt=2)  # delivered again by another number of workers
    assert read(log) == [[row(0, sample) for sample in IDS]]
    assert log.next_attempt() == 3


def test_two_halves_of_two_attempts_are_no_epoch(log) -> None:
    write(log, 0, IDS[:3], rank=0, ranks=2, attempt=0)
    write(log, 0, IDS[3:], rank=1, ranks=2, attempt=1)
    with pytest.raises(
        EventLogError, match="attempt 0 lacks rank 1 of 2; attempt 1 lacks rank 0 of 2"
    ):
        read(log)


def test_a_missing_epoch_is_refused(log) -> None:
    write(log, 0, IDS)
    write(log, 2, IDS)
    with pytest.raises(EventLogError, match=r"epoch 1 is not complete in .*: no file"):
        read(log, epochs=3)


def test_a_missing_rank_is_refused(log) -> None:
    write(log, 0, IDS[:3], rank=0, ranks=3)
    write(log, 0, IDS[3:], rank=2, ranks=3)
    with pytest.raises(EventLogError, match="attempt 0 lacks rank 1 of 3"):
        read(log)


def test_a_sample_doubled_across_ranks_is_refused(log) -> None:
    write(log, 0, [2, 3, 5], rank=0, ranks=2)
    write(log, 0, [5, 8, 13, 21], rank=1, ranks=2)
    with pytest.raises(EventLogError, match="sample 5 is there twice"):
        read(log)


def test_lost_rows_and_other_samples_are_refused(log) -> None:
    write(log, 0, IDS[:-1])
    with pytest.raises(EventLogError, match="6 events where 7 were written"):
        read(log)
    write(log, 0, [*IDS[:-1], 35], round_=1)
    with pytest.raises(EventLogError, match="not those of the set"):
        read(log, round_=1)


def test_without_a_set_only_counts_are_checked(log) -> None:
    write(log, 0, [*IDS[:-1], 35])
    (batch,) = log.read(round_index=0, epochs=1)
    assert batch.column("sample_id").to_pylist() == [2, 3, 5, 8, 13, 21, 35]


def test_unsorted_rows_of_one_rank_are_sorted(log) -> None:
    write(log, 0, IDS[::-1])
    assert read(log) == [[row(0, sample) for sample in IDS]]


def test_a_half_written_file_is_not_seen(log, tmp_path) -> None:
    file = write(log, 0, IDS)
    (tmp_path / f".{file.name}.tmp").write_bytes(b"PAR1half")
    assert log.files() == [file]
    assert len(read(log)) == 1


def test_a_renamed_file_is_refused(log, tmp_path) -> None:
    file = write(log, 0, IDS)
    moved = EventFile(0, 1, 0, 1, 0)
    shutil.copy(tmp_path / file.name, tmp_path / moved.name)
    with pytest.raises(EventLogError, match=f"{moved.name} was written as {file.name}"):
        read(log, epochs=2)


@pytest.mark.parametrize("name", ["copy of {}", "{}.bak", "notes.txt"])
def test_a_file_that_is_none_of_ours_is_refused(log, tmp_path, name: str) -> None:
    file = write(log, 0, IDS)
    shutil.copy(tmp_path / file.name, tmp_path / name.format(file.name))
    with pytest.raises(EventLogError, match="is no event file of this log"):
        read(log)


def test_another_runs_file_is_refused(log, tmp_path) -> None:
    write(EventLog(Folder(tmp_path), "run-2"), 0, IDS)
    with pytest.raises(EventLogError, match="belongs to another run"):
        read(log)


def test_another_complete_attempt_stands_in_for_a_damaged_one(log, tmp_path) -> None:
    file = write(log, 0, IDS)
    write(log, 0, IDS, attempt=1)
    (tmp_path / file.name).write_bytes(b"")
    assert read(log) == [[row(0, sample) for sample in IDS]]


def test_of_whole_attempts_the_newest_is_read(log) -> None:
    """Begun again on a device that finds other bits, the kept weights are of the last one."""
    file = write(log, 0, IDS)
    told = table_of(0, IDS)
    others = pa.array([not right for right in told["correct"].to_pylist()])
    place = told.schema.get_field_index("correct")
    other = told.set_column(place, EVENT_SCHEMA.field("correct"), others)
    log.write(dataclasses.replace(file, attempt=1), other, epoch_rows=7)
    assert read(log) == [other.to_pylist()]


def test_a_file_cut_short_anywhere_is_refused(log, tmp_path) -> None:
    path = tmp_path / write(log, 0, IDS).name
    whole = path.read_bytes()
    for length in [*range(0, len(whole), 97), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(EventLogError, match="can't be read") as caught:
            read(log)
        assert "\n" not in str(caught.value)


def test_a_flipped_byte_is_refused_or_changes_nothing(log, tmp_path) -> None:
    path = tmp_path / write(log, 0, IDS).name
    whole = path.read_bytes()
    right = read(log)
    refused = []
    # Data pages have checksums, the footer has none: names and types are there. Bit 1 makes other
    # letters and digits of them, all eight bits no text at all.
    for position, flip in itertools.product(range(0, len(whole), 5), (0x01, 0xFF)):
        damaged = bytearray(whole)
        damaged[position] ^= flip
        path.write_bytes(damaged)
        try:
            assert read(log) == right
        except EventLogError as error:
            refused.append(str(error))
    assert not any("\n" in message for message in refused)
    # Of twice as many: half of so small a file is statistics that no reader needs.
    assert len(refused) > len(whole) / 5


@given(*[st.integers(0, 99_999)] * 5)
@settings(max_examples=50)
def test_a_name_says_what_is_in_the_file(round_, epoch, attempt, ranks, rank) -> None:
    file = EventFile(round_, epoch, attempt, ranks, rank)
    assert EventFile.parse(file.name) == file


def test_events_of_another_epoch_or_round_are_not_written(log) -> None:
    for file, what in ((EventFile(0, 1, 0, 1, 0), "epoch"), (EventFile(1, 0, 0, 1, 0), "round")):
        with pytest.raises(EventLogError, match=f"can hold no events of another {what}"):
            log.write(file, table_of(0, IDS), epoch_rows=len(IDS))
    assert log.files() == []


@pytest.mark.parametrize(("scores", "limit"), [("random", 5), ("margin", 2.0), ("none", 0.3)])
def test_bytes_an_event(log, tmp_path, scores: str, limit: float) -> None:
    rng = np.random.default_rng(0)
    count = 45_000
    margin = rng.normal(3, 2, count) if scores != "none" else np.zeros(count)
    el2n = rng.beta(0.5, 2, count) if scores == "random" else np.zeros(count)
    events = pa.table(
        {
            "round": np.full(count, 3, np.int16),
            "epoch": np.full(count, 17, np.int16),
            "sample_id": np.sort(rng.choice(50_000, count, replace=False)).astype(np.int32),
            "correct": rng.random(count) < 0.8,
            "margin": margin.astype(np.float16),
            "el2n": el2n.astype(np.float16),
        },
        schema=EVENT_SCHEMA,
    )
    file = EventFile(3, 17, 0, 1, 0)
    log.write(file, events, epoch_rows=count)
    assert Path(tmp_path / file.name).stat().st_size / count < limit


def test_columns_that_tell_nothing_new_are_not_decoded(log, monkeypatch) -> None:
    write(log, 0, IDS)
    write(log, 1, IDS[:3], rank=0, ranks=2)
    write(log, 1, IDS[3:], rank=1, ranks=2)
    asked = []
    whole = pq.ParquetFile.read

    def seen(self, columns, **options):
        asked.append(columns)
        return whole(self, columns=columns, **options)

    monkeypatch.setattr(pq.ParquetFile, "read", seen)
    assert read(log, epochs=2) == [[row(e, sample) for sample in IDS] for e in range(2)]
    rest = ["correct", "margin", "el2n"]
    assert asked == [rest, ["sample_id", *rest], ["sample_id", *rest]]
