"""Event files of a run: one a (round, epoch, rank, attempt), committed whole or not at all.

Delivery is at least once: a worker that dies and comes back writes its epoch again under the next
attempt. Readers keep one complete attempt of every epoch and refuse gaps and duplicates.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from prac.errors import EventLogError, StoreError, first_line
from prac.events.file import EventFile, Events, KnownSamples, decode, encode
from prac.storage import Folder


class EventLog:
    """The event files of one run in one folder.

    run: the key of what is trained; files of another run in the same folder are refused.
    """

    def __init__(self, folder: Folder, run: str) -> None:
        self.folder = folder
        self.run = run

    def files(self) -> list[EventFile]:
        """What is committed. Raises EventLogError for any other file."""
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
        self.folder.write(file.name, encode(events, file, self.run, epoch_rows=epoch_rows))

    def read(
        self,
        *,
        round_index: int,
        epochs: int | range,
        sample_ids: NDArray[np.integer] | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Stream epochs 0 to epochs - 1 (or those of a range) in order, each once, sorted by
        sample.

        sample_ids: the sorted ids that every epoch must cover exactly; None checks only counts.
        Raises EventLogError for an epoch that no attempt holds complete, and for files of another
        run; StoreError where a file that is there can't be read. Memory is that of one epoch.
        """
        by_attempt: dict[int, dict[tuple[int, int], list[EventFile]]] = defaultdict(
            lambda: defaultdict(list)
        )
        for file in self.files():
            if file.round == round_index:
                by_attempt[file.epoch][(file.attempt, file.ranks)].append(file)
        expected = None if sample_ids is None else _Expected(sample_ids)
        for epoch in range(epochs) if isinstance(epochs, int) else epochs:
            yield self._complete_epoch(epoch, by_attempt[epoch], expected)

    def _complete_epoch(
        self,
        epoch: int,
        attempts: dict[tuple[int, int], list[EventFile]],
        expected: _Expected | None,
    ) -> pa.RecordBatch:
        problems = []
        # The newest: the weights that were kept come from the attempt that went on.
        for (attempt, ranks), files in sorted(attempts.items(), reverse=True):
            present = {file.rank for file in files}
            # A name may speak of any number of ranks.
            missing = next((rank for rank in range(ranks) if rank not in present), None)
            if missing is not None or len(present) != ranks:
                problems.append(f"attempt {attempt} lacks rank {missing or 0} of {ranks}")
                continue
            try:
                parts = [self._read(file, expected) for file in files]
                return _merged(parts, expected).to_batch(files[0])
            except EventLogError as error:
                problems.append(str(error))
        said = "; ".join(reversed(problems)) or "no file"
        raise EventLogError(
            f"epoch {epoch} is not complete in {self.folder.describe()}: {said}; "
            "every epoch needs one whole attempt"
        )

    def _read(self, file: EventFile, expected: _Expected | None) -> Events:
        try:
            data = self.folder.read(file.name)
        except OSError as error:
            # It was listed a moment ago: the storage fails, the events are not damaged.
            raise StoreError(
                f"{self.folder.describe(file.name)} can't be read ({first_line(error)})"
            ) from error
        known = None if expected is None else expected.known
        return decode(data, file, self.run, known=known)


class _Expected:
    """The samples that every epoch has to cover, sorted."""

    def __init__(self, sample_ids: NDArray[np.integer]) -> None:
        self.ids = np.ascontiguousarray(sample_ids, np.int32)
        self.known = KnownSamples(self.ids)

    @cached_property
    def _place(self) -> NDArray[np.intp]:
        """By sample id: its row; len(ids) for a sample that is none of them."""
        # Of the type that NumPy indexes with: any other is converted for every column.
        place = np.full(int(self.ids.max(initial=-1)) + 1, len(self.ids), np.intp)
        place[self.ids] = np.arange(len(self.ids))
        return place

    def gathered(self, parts: Sequence[Events]) -> Events | None:
        """All rows of the ranks in the samples' order; None where a sample is absent, doubled or
        not expected."""
        count, first = len(self.ids), parts[0]
        if sum(len(part.sample_ids) for part in parts) != count:
            return None
        columns = [np.empty(count, column.dtype) for column in first.columns[1:]]
        filled = np.zeros(count + 1, np.bool_)
        for part in parts:
            ids = part.sample_ids
            if len(ids) == 0:
                continue
            if ids.min() < 0 or ids.max() >= len(self._place):
                return None
            rows = self._place[ids]
            filled[rows] = True
            if filled[count]:
                return None
            for column, values in zip(columns, part.columns[1:], strict=True):
                column[rows] = values
        if not filled[:count].all():
            return None
        return Events(self.ids, columns[0], columns[1], columns[2], first.epoch_rows)


def _merged(parts: list[Events], expected: _Expected | None) -> Events:
    """One epoch of all its ranks, sorted by sample. Raises EventLogError where it isn't whole."""
    rows, written = sum(len(part.sample_ids) for part in parts), parts[0].epoch_rows
    if rows != written or any(part.epoch_rows != written for part in parts):
        raise EventLogError(f"{rows} events where {written} were written")
    if expected is not None:
        if len(parts) == 1 and parts[0].sample_ids is expected.ids:
            return parts[0]
        gathered = expected.gathered(parts)
        if gathered is not None:
            return gathered
    columns = [np.concatenate(column) for column in zip(*(p.columns for p in parts), strict=True)]
    order = np.argsort(columns[0], kind="stable")
    ids, correct, margin, el2n = (column[order] for column in columns)
    if np.any(doubled := ids[1:] == ids[:-1]):
        raise EventLogError(f"sample {int(ids[1:][doubled][0])} is there twice")
    if expected is not None:
        raise EventLogError("its samples are not those of the set it was trained on")
    return Events(ids, correct, margin, el2n, written)
