"""One event file: its name, its columns, and what is checked when it is read."""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from annotated_types import Len, Predicate
from numpy.typing import NDArray

from prac.errors import EventLogError, first_line, shown
from prac.events.schema import EVENT_SCHEMA
from prac.schema import Sha256, formed

_NAME = re.compile(
    r"round-(?P<round>\d+)-epoch-(?P<epoch>\d+)-rank-(?P<rank>\d+)-of-(?P<ranks>\d+)"
    r"-attempt-(?P<attempt>\d+)\.parquet"
)

_ROW_GROUP = 1 << 24
"""Rows: an epoch is one row group, which is read without putting parts together."""

_PAGE_ROWS = 1 << 17
"""Rows a page: as many bytes as a block of zstd, so that the high and the low bytes of float16 lie
in blocks of their own. One code for both takes 0.16 bytes an event more, and its reading twice as
long; shorter pages are divided by the compressor itself, at a level that looks for it."""
_DIVIDING_LEVEL = 15

_CORRECT = EVENT_SCHEMA.get_field_index("correct")
FILE_SCHEMA = EVENT_SCHEMA.set(_CORRECT, pa.field("correct", pa.uint8(), nullable=False))
"""Of a file: EVENT_SCHEMA with `correct` as 0 or 1. As dictionary entries these take a bit each, as
booleans do, and are read in a quarter of the time (pyarrow 25: 0.9 ns against 3.8 ns)."""


@dataclass(frozen=True, order=True)
class EventFile:
    """Which part of a run one event file holds, as its name says."""

    round: int
    epoch: int
    attempt: int
    ranks: int
    rank: int

    @property
    def name(self) -> str:
        return (
            f"round-{self.round:02d}-epoch-{self.epoch:04d}-rank-{self.rank}-of-{self.ranks}"
            f"-attempt-{self.attempt}.parquet"
        )

    @classmethod
    def parse(cls, name: str) -> EventFile | None:
        """The parts of a name; None for a file that is no event file."""
        match = _NAME.fullmatch(name)
        return None if match is None else cls(**{k: int(v) for k, v in match.groupdict().items()})


@dataclass(frozen=True)
class Events:
    """The events of one file, or of an epoch, by column.

    epoch_rows: how many events all ranks together have in this epoch.
    """

    sample_ids: NDArray[np.int32]
    correct: NDArray[np.uint8]
    margin: NDArray[np.float16]
    el2n: NDArray[np.float16]
    epoch_rows: int

    @property
    def columns(self) -> tuple[NDArray[np.generic], ...]:
        """All but the number of rows."""
        return self.sample_ids, self.correct, self.margin, self.el2n

    def to_batch(self, file: EventFile) -> pa.RecordBatch:
        """As rows of EVENT_SCHEMA."""
        count = len(self.sample_ids)
        bits = pa.py_buffer(np.packbits(self.correct, bitorder="little"))
        columns = [
            np.full(count, file.round, np.int16),
            np.full(count, file.epoch, np.int16),
            self.sample_ids,
            pa.BooleanArray.from_buffers(pa.bool_(), count, [None, bits]),
            self.margin,
            self.el2n,
        ]
        return pa.record_batch(columns, schema=EVENT_SCHEMA)


class KnownSamples:
    """The samples that a file is expected to hold; files that say they do are not asked again."""

    def __init__(self, ids: NDArray[np.int32]) -> None:
        self.ids = ids
        self.digest = _digest(ids)


@dataclass(frozen=True, kw_only=True)
class _Header:
    """The metadata of a file, each as text: `prac.run` and so on. samples: a digest of the ids.
    correct: a checksum of the answers."""

    run: str
    name: str
    epoch_rows: Annotated[str, Len(1, 10), Predicate(str.isdecimal)]
    samples: Sha256
    correct: Annotated[str, Len(1, 10), Predicate(str.isdecimal)]


def encode(events: pa.Table, file: EventFile, run: str, *, epoch_rows: int) -> pa.Buffer:
    """The bytes of a file. Raises EventLogError for events of another round or epoch."""
    for name, value in (("round", file.round), ("epoch", file.epoch)):
        if pc.any(pc.not_equal(events[name], value)).as_py():
            raise EventLogError(f"{file.name} can hold no events of another {name}")
    ids = events["sample_id"].to_numpy()
    metadata = {
        "prac.run": run,
        "prac.name": file.name,
        "prac.epoch_rows": str(epoch_rows),
        "prac.samples": _digest(ids),
        "prac.correct": _checksum(pc.cast(events["correct"], pa.uint8()).to_numpy()),
    }
    sink = pa.BufferOutputStream()
    # Sorted ids compress to a few bits as deltas, float16 margins as split byte streams,
    # constants as runs of a dictionary entry. Bounds of margins would take a third of the time.
    pq.write_table(
        events.cast(FILE_SCHEMA).replace_schema_metadata(metadata),
        sink,
        compression="zstd",
        compression_level=_DIVIDING_LEVEL if len(ids) < _PAGE_ROWS else None,
        max_rows_per_page=_PAGE_ROWS,
        use_dictionary=["round", "epoch", "correct"],
        write_statistics=["round", "epoch", "sample_id"],
        row_group_size=_ROW_GROUP,
        column_encoding={
            "sample_id": "DELTA_BINARY_PACKED",
            "margin": "BYTE_STREAM_SPLIT",
            "el2n": "BYTE_STREAM_SPLIT",
        },
        write_page_checksum=True,
        data_page_version="2.0",
    )
    return sink.getvalue()


def decode(data: pa.Buffer, file: EventFile, run: str, *, known: KnownSamples | None) -> Events:
    """The events of a file, in its order.

    known: where the file says that it holds just these samples, they are not decoded.
    Raises EventLogError for what is damaged, of another run, or no event file.
    """
    with _readable(file):
        parquet = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
        schema = parquet.schema_arrow
        metadata = {k.decode(): v.decode() for k, v in (schema.metadata or {}).items()}
        header = formed(_Header, {k.removeprefix("prac."): v for k, v in metadata.items()})
    # Page checksums don't cover the footer, where names and types of the columns are.
    damaged = EventLogError(f"{file.name} doesn't hold events, or its footer is damaged")
    if not schema.equals(FILE_SCHEMA):
        raise damaged
    if header.run != run:
        raise EventLogError(f"{file.name} belongs to another run")
    if header.name != file.name:
        raise EventLogError(f"{file.name} was written as {shown(header.name[:200])}")
    if known is not None and header.samples != known.digest:
        known = None
    columns = [*(["sample_id"] if known is None else []), "correct", "margin", "el2n"]
    with _readable(file):
        table = parquet.read(columns=columns, use_threads=False)
    if table.column_names != columns:
        raise damaged
    ids = table["sample_id"].to_numpy() if known is None else known.ids
    correct = table["correct"].to_numpy()
    # The footer alone says where a page of dictionary entries is.
    if header.correct != _checksum(correct):
        raise damaged
    if len(ids) != table.num_rows:
        raise EventLogError(f"{table.num_rows} events where {len(ids)} were written")
    margin, el2n = table["margin"].to_numpy(), table["el2n"].to_numpy()
    return Events(ids, correct, margin, el2n, epoch_rows=int(header.epoch_rows))


@contextmanager
def _readable(file: EventFile) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        raise EventLogError(f"{file.name} can't be read ({first_line(error)})") from error


def _checksum(correct: NDArray[np.uint8]) -> str:
    return str(zlib.crc32(np.packbits(correct, bitorder="little").data))


def _digest(sample_ids: NDArray[np.int32]) -> str:
    return hashlib.sha256(np.ascontiguousarray(sample_ids, np.int32).data).hexdigest()
