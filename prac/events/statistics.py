"""Events to one row a sample: how often it was presented and forgotten, when it was learned."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from prac.errors import EventLogError

STATISTICS_SCHEMA = pa.schema(
    [
        pa.field("sample_id", pa.int32(), nullable=False),
        pa.field("presentations", pa.int32(), nullable=False),
        pa.field("forgotten", pa.int32(), nullable=False),
        pa.field("first_learned", pa.int16(), nullable=True),
        pa.field("mean_margin", pa.float32(), nullable=False),
        pa.field("mean_el2n", pa.float32(), nullable=False),
    ]
)


class ForgettingCounter:
    """Counts forgetting events (Toneva et al. 2019, arXiv:1812.05159) in one pass over the epochs.

    Memory is proportional to the samples, not to the events: 31 bytes for each id up to the
    largest one seen. Epochs must come in rising order, each sample at most once in an epoch; the
    samples of one epoch may come in several calls and in any order.
    """

    def __init__(self) -> None:
        self._epoch = -1
        self._allocate(0)

    def _allocate(self, size: int) -> None:
        self._presentations = np.zeros(size, np.int32)
        self._forgotten = np.zeros(size, np.int32)
        self._first_learned = np.full(size, np.iinfo(np.int16).max, np.int16)
        self._was_correct = np.zeros(size, np.bool_)
        self._last_epoch = np.full(size, -1, np.int16)
        self._margin = np.zeros(size, np.float64)
        self._el2n = np.zeros(size, np.float64)

    def update(
        self,
        epoch: int,
        sample_ids: NDArray[np.int32],
        correct: NDArray[np.bool_],
        margin: NDArray[np.floating],
        el2n: NDArray[np.floating],
    ) -> None:
        """Take the events of one epoch, or a part of them.

        sample_ids: (B,) int32, each at most once; correct: (B,) bool; margin, el2n: (B,) float.
        Raises EventLogError for an epoch that comes after a later one, for a sample presented twice
        in an epoch, and for a negative id.
        """
        if epoch < self._epoch:
            raise EventLogError(
                f"events of epoch {epoch} come after those of epoch {self._epoch}; "
                "epochs must come in rising order"
            )
        self._epoch = epoch
        if len(sample_ids) == 0:
            return
        ids = self._checked(epoch, sample_ids)
        self._last_epoch[ids] = epoch
        self._presentations[ids] += 1
        self._forgotten[ids] += self._was_correct[ids] & ~correct
        self._was_correct[ids] = correct
        learned = ids[correct]
        self._first_learned[learned] = np.minimum(self._first_learned[learned], epoch)
        self._margin[ids] += margin
        self._el2n[ids] += el2n

    def _checked(self, epoch: int, sample_ids: NDArray[np.int32]) -> NDArray[np.int32]:
        largest = int(sample_ids.max())
        if int(sample_ids.min()) < 0:
            raise EventLogError(f"sample id {int(sample_ids.min())} in epoch {epoch} is negative")
        if largest >= len(self._presentations):
            self._grow(largest + 1)
        twice = self._last_epoch[sample_ids] == epoch
        if not twice.any():
            # Ids that rise strictly hold no duplicate; only others need to be counted.
            if np.all(sample_ids[1:] > sample_ids[:-1]):
                return sample_ids
            unique, counts = np.unique(sample_ids, return_counts=True)
            if len(unique) == len(sample_ids):
                return sample_ids
            doubled = int(unique[counts > 1][0])
        else:
            doubled = int(sample_ids[twice][0])
        raise EventLogError(f"sample {doubled} has two events in epoch {epoch}; one is allowed")

    def _grow(self, size: int) -> None:
        old = {name: array for name, array in vars(self).items() if isinstance(array, np.ndarray)}
        count = len(self._presentations)
        self._allocate(max(size, count * 2))
        for name, array in old.items():
            getattr(self, name)[:count] = array

    def statistics(self) -> pa.Table:
        """One row a presented sample, sorted by `sample_id`; see STATISTICS_SCHEMA."""
        ids = np.flatnonzero(self._presentations).astype(np.int32)
        presentations = self._presentations[ids]
        first_learned = self._first_learned[ids]
        return pa.table(
            {
                "sample_id": ids,
                "presentations": presentations,
                "forgotten": self._forgotten[ids],
                "first_learned": pa.array(
                    first_learned, mask=first_learned == np.iinfo(np.int16).max
                ),
                "mean_margin": (self._margin[ids] / presentations).astype(np.float32),
                "mean_el2n": (self._el2n[ids] / presentations).astype(np.float32),
            },
            schema=STATISTICS_SCHEMA,
        )


def forgetting_statistics(events: pa.Table | Iterable[pa.RecordBatch]) -> pa.Table:
    """Reduce the events of one round to one row a presented sample, sorted by sample.

    events: rows of EVENT_SCHEMA. A table may be in any order; batches are read once, as a stream,
    and must come by rising epoch (within a batch any order). Columns `margin` and `el2n` may be
    absent; their means are then 0.
    Returns sample_id int32, presentations int32, forgotten int32 (right at one presentation, wrong
    at the next), first_learned int16 nullable (first epoch with a right prediction; null = never
    learned), mean_margin float32, mean_el2n float32.
    Raises EventLogError for a sample presented twice in an epoch, for epochs out of order in a
    stream, and for events of more than one round.
    """
    if isinstance(events, pa.Table):
        order = pc.sort_indices(events, sort_keys=[("epoch", "ascending")])
        events = events.take(order).combine_chunks().to_batches()
    counter = ForgettingCounter()
    rounds: set[int] = set()
    for batch in events:
        if batch.num_rows == 0:
            continue
        if "round" in batch.schema.names:
            rounds.update(pc.unique(batch.column("round")).to_pylist())
        if len(rounds) > 1:
            raise EventLogError(
                f"events of rounds {sorted(rounds)} are mixed; statistics are of one round"
            )
        _update_by_epoch(counter, batch)
    return counter.statistics()


def _update_by_epoch(counter: ForgettingCounter, batch: pa.RecordBatch) -> None:
    epochs = batch.column("epoch").to_numpy(zero_copy_only=False)
    if np.any(epochs[1:] < epochs[:-1]):
        order = np.argsort(epochs, kind="stable")
        batch, epochs = batch.take(pa.array(order)), epochs[order]
    ids = batch.column("sample_id").to_numpy()
    correct = batch.column("correct").to_numpy(zero_copy_only=False)
    margin = _float_column(batch, "margin")
    el2n = _float_column(batch, "el2n")
    starts = np.flatnonzero(np.diff(epochs, prepend=epochs[0] - 1))
    for start, stop in zip(starts, [*starts[1:], len(epochs)], strict=True):
        part = slice(start, stop)
        counter.update(int(epochs[start]), ids[part], correct[part], margin[part], el2n[part])


def _float_column(batch: pa.RecordBatch, name: str) -> NDArray[np.floating]:
    if name not in batch.schema.names:
        return np.zeros(batch.num_rows, np.float32)
    column: NDArray[np.floating] = batch.column(name).to_numpy(zero_copy_only=False)
    return column
