"""Event files: one a (round, epoch, rank, attempt), committed whole or not at all.

Delivery is at least once: a worker that dies and comes back writes its epoch again under the next
attempt. Readers keep one complete attempt of every epoch and refuse gaps and duplicates.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from prac.errors import EventLogError
from prac.events.schema import EVENT_SCHEMA
from prac.storage import Folder

_NAME = re.compile(
    r"round-(?P<round>\d+)-epoch-(?P<epoch>\d+)-rank-(?P<rank>\d+)-of-(?P<ranks>\d+)"
    r"-attempt-(?P<attempt>\d+)\.parquet"
)

_ROW_GROUP = 1 << 24
"""Rows: an epoch is one row group, which is read without putting parts together."""


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
        """The file's name."""
        return (
            f"round-{self.round:02d}-epoch-{self.epoch:04d}-rank-{self.rank}-of-{self.ranks}"
            f"-attempt-{self.attempt}.parquet"
        )

    @classmethod
    def parse(cls, name: str) -> EventFile | None:
        """The parts of a name; None for a file that is no event file."""
        match = _NAME.fullmatch(name)
        return None if match is None else cls(**{k: int(v) for k, v in match.groupdict().items()})


class EventLog:
    """The event files of one run in one folder.

    run: the key of what is trained; files of another run in the same folder are refused.
    """

    def __init__(self, folder: Folder, run: str) -> None:
        self.folder = folder
        self.run = run

    def files(self) -> list[EventFile]:
        """What is committed. Raises EventLogError for a Parquet file that is none of ours."""
        found = []
        for name in self.folder.names():
            file = EventFile.parse(name)
            if file is None:
                raise EventLogError(
                    f"{self.folder.describe(name)} is no event file of this log; "
                    "a copied or renamed file has to be removed"
                )
            found.append(file)
        return sorted(found)

    def next_attempt(self) -> int:
        """An attempt number that no committed file has."""
        return max((file.attempt for file in self.files()), default=-1) + 1

    def write(self, file: EventFile, events: pa.Table, *, epoch_rows: int) -> None:
        """Commit the events that one rank saw in one epoch.

        epoch_rows: how many events all ranks together have in this epoch; readers check it.
        """
        metadata = {
            "prac.run": self.run,
            "prac.name": file.name,
            "prac.epoch_rows": str(epoch_rows),
        }
        sink = pa.BufferOutputStream()
        # Sorted ids compress to a few bits as deltas, float16 margins as split byte streams,
        # constants as runs of a dictionary entry. Bounds of margins would take a third of the time.
        pq.write_table(
            events.cast(EVENT_SCHEMA).replace_schema_metadata(metadata),
            sink,
            compression="zstd",
            use_dictionary=["round", "epoch"],
            write_statistics=["round", "epoch", "sample_id"],
            row_group_size=_ROW_GROUP,
            column_encoding={
                "sample_id": "DELTA_BINARY_PACKED",
                "correct": "PLAIN",
                "margin": "BYTE_STREAM_SPLIT",
                "el2n": "BYTE_STREAM_SPLIT",
            },
            write_page_checksum=True,
            data_page_version="2.0",
        )
        self.folder.write(file.name, sink.getvalue())

    def read(
        self, *, round_index: int, epochs: int, sample_ids: NDArray[np.integer] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Stream epochs 0 to epochs - 1 in order, each once, sorted by sample.

        sample_ids: the sorted ids that every epoch must cover exactly; None checks only counts.
        Raises EventLogError for an epoch that no attempt holds complete, and for files of another
        run. Memory is that of one epoch.
        """
        by_attempt: dict[int, dict[tuple[int, int], list[EventFile]]] = defaultdict(
            lambda: defaultdict(list)
        )
        for file in self.files():
            if file.round == round_index:
                by_attempt[file.epoch][(file.attempt, file.ranks)].append(file)
        for epoch in range(epochs):
            yield self._complete_epoch(epoch, by_attempt[epoch], sample_ids)

    def _complete_epoch(
        self,
        epoch: int,
        attempts: dict[tuple[int, int], list[EventFile]],
        sample_ids: NDArray[np.integer] | None,
    ) -> pa.RecordBatch:
        problems = []
        for (attempt, ranks), files in sorted(attempts.items()):
            present = {file.rank for file in files}
            if present != set(range(ranks)):
                missing = sorted(set(range(ranks)) - present)
                problems.append(f"attempt {attempt} lacks rank {missing[0]} of {ranks}")
                continue
            try:
                return self._merge([self._read_file(file) for file in files], sample_ids)
            except EventLogError as error:
                problems.append(str(error))
        said = "; ".join(problems) or "no file"
        raise EventLogError(
            f"epoch {epoch} is not complete in {self.folder.describe()}: {said}; "
            "every epoch needs one whole attempt"
        )

    def _read_file(self, file: EventFile) -> tuple[pa.Table, int]:
        try:
            source = pa.BufferReader(self.folder.read(file.name))
            table = pq.ParquetFile(source, page_checksum_verification=True).read()
            metadata = {k.decode(): v.decode() for k, v in (table.schema.metadata or {}).items()}
        except (pa.ArrowException, OSError, ValueError) as error:
            raise EventLogError(
                f"{file.name} can't be read ({str(error).splitlines()[0]})"
            ) from error
        if metadata.get("prac.run") != self.run:
            raise EventLogError(f"{file.name} belongs to another run")
        if metadata.get("prac.name") != file.name:
            raise EventLogError(f"{file.name} was written as {metadata.get('prac.name')}")
        # Page checksums don't cover the footer, where names and types of the columns are.
        rows = metadata.get("prac.epoch_rows", "")
        if not table.schema.equals(EVENT_SCHEMA) or not rows.isdecimal():
            raise EventLogError(f"{file.name} doesn't hold events, or its footer is damaged")
        return table, int(rows)

    def _merge(
        self, parts: list[tuple[pa.Table, int]], sample_ids: NDArray[np.integer] | None
    ) -> pa.RecordBatch:
        tables, expected = [table for table, _ in parts], parts[0][1]
        merged = pa.concat_tables(tables).replace_schema_metadata(None).combine_chunks()
        if merged.num_rows != expected or any(rows != expected for _, rows in parts):
            raise EventLogError(f"{merged.num_rows} events where {expected} were written")
        ids = merged["sample_id"].to_numpy()
        if np.any(ids[1:] < ids[:-1]):
            order = np.argsort(ids, kind="stable")
            merged, ids = merged.take(pa.array(order)), ids[order]
        if np.any(ids[1:] <= ids[:-1]):
            doubled = int(ids[1:][ids[1:] <= ids[:-1]][0])
            raise EventLogError(f"sample {doubled} is there twice")
        if sample_ids is not None and not np.array_equal(ids, sample_ids):
            raise EventLogError("its samples are not those of the set it was trained on")
        return merged.combine_chunks().to_batches()[0]
