"""The events of one round as files: who writes them, and what is read back of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from prac.events.counter import ForgettingCounter
from prac.events.file import EventFile
from prac.events.log import EventLog
from prac.events.statistics import count_events
from prac.storage import Folder
from prac.training.workers import Workers


def event_folder(work: Folder) -> Folder:
    """Where the events of the training with this work folder are."""
    return work.child("events")


def event_writer(
    work: Folder, *, run: str, round_index: int, epoch_size: int, workers: Workers, attempt: int
) -> Callable[[int, pa.Table], None]:
    """What commits one worker's events of an epoch of `epoch_size` samples as one file."""
    log = EventLog(event_folder(work), run)

    def write(epoch: int, events: pa.Table) -> None:
        file = EventFile(
            round=round_index, epoch=epoch, attempt=attempt, ranks=workers.size, rank=workers.rank
        )
        log.write(file, events, epoch_rows=epoch_size)

    return write


def keep_events(
    work: Folder, *, run: str, epoch_size: int, events: Iterable[pa.RecordBatch]
) -> None:
    """Write events of a dense run that a loop of somebody's own recorded, one batch an epoch, as
    ours are."""
    attempt = EventLog(event_folder(work), run).next_attempt()
    write = event_writer(
        work, run=run, round_index=0, epoch_size=epoch_size, workers=Workers(), attempt=attempt
    )
    for epoch, batch in enumerate(events):
        write(epoch, pa.Table.from_batches([batch]))


def recorded_events(
    work: Folder, *, run: str, round_index: int, recorded: int, sample_ids: NDArray[np.int32] | None
) -> Callable[[int | None], Iterator[pa.RecordBatch]]:
    """Reads the events of a training of `recorded` epochs from the committed files, as often as it
    is called: `events(epochs)`, of the first of them, or of all (None), one batch an epoch.

    sample_ids: that every epoch has; None where each has others. Reading raises EventLogError where
    an epoch is missing, doubled or of another set of samples.
    """

    def events(epochs: int | None) -> Iterator[pa.RecordBatch]:
        log = EventLog(event_folder(work), run)
        read = range(recorded if epochs is None else min(epochs, recorded))
        yield from log.read(round_index=round_index, epochs=read, sample_ids=sample_ids)

    return events


def count_epochs(
    work: Folder, *, run: str, epochs: range, sample_ids: NDArray[np.int32]
) -> ForgettingCounter:
    """The counts of some epochs of the dense run; those of later epochs can be merged in. Raises
    EventLogError."""
    log = EventLog(event_folder(work), run)
    return count_events(log.read(round_index=0, epochs=epochs, sample_ids=sample_ids))
