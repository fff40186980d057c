"""Gathers the events of one epoch on the device and counts them, or hands them on, at its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from prac.errors import EventLogError
from prac.events.counter import LAST_EPOCH, ForgettingCounter
from prac.events.schema import EVENT_SCHEMA, event_columns

SampleIds: TypeAlias = "NDArray[np.integer] | Tensor"
Sink = Callable[[int, pa.Table], None]
_Columns: TypeAlias = "tuple[NDArray[np.bool_], NDArray[np.float16], NDArray[np.float16]]"


class EventRecorder:
    """Notes every presentation of a training sample: for any training loop.

        recorder = prac.EventRecorder()
        for epoch in range(epochs):
            for ids, images, labels in loader:
                logits = model(images)
                recorder.record(ids, logits, labels)
                ...  # the update
            recorder.end_epoch()
        critical = prac.critical_for_training(recorder.statistics())

    An epoch may leave samples out (a round trains on a subset); none may come twice in it. A round
    has a recorder of its own. round_index: its number, for a sink. sink: takes the events of every
    epoch in place of the counting here: `sink(epoch, table)`, rows of EVENT_SCHEMA sorted by
    sample. Nothing is moved off the device before the epoch ends: a copy a step would make the
    device wait.
    """

    def __init__(self, round_index: int = 0, sink: Sink | None = None) -> None:
        self._round = round_index
        self._sink = sink
        self._counter = ForgettingCounter()
        self._epoch = 0
        self._ids: list[NDArray[np.integer] | Tensor] = []
        self._columns: list[tuple[Tensor, Tensor, Tensor]] = []

    def record(self, ids: SampleIds, logits: Tensor, labels: Tensor) -> None:
        """Note a batch: its predictions in training mode, before the update that they lead to.

        ids: (B,) whole numbers, a sample's the same in every epoch; logits: (B, K) of any float
        type; labels: (B,) whole numbers from 0 to K - 1; on any devices. Raises EventLogError for
        other shapes and types, and for labels that are no classes where they are on the CPU.
        """
        known = _known_ids(ids)
        _check_batch(known, logits, labels)
        columns = event_columns(logits, labels.to(logits.device, torch.int64))
        self._ids.append(known)
        self._columns.append(columns)

    def end_epoch(self, epoch: int | None = None) -> None:
        """Take in what was recorded since the last call as the events of one epoch.

        epoch: its number, 0 to 32767 and above the last one's; None: the next. Raises EventLogError
        for another number, a sample that came twice, and an id outside 0 to 2147483647; the events
        of this epoch are then dropped.
        """
        epoch = self._epoch if epoch is None else epoch
        ids, columns = self._take()
        if not self._epoch <= epoch <= LAST_EPOCH:
            raise EventLogError(
                f"epoch {epoch} is not allowed; allowed: {self._epoch} to {LAST_EPOCH}"
            )
        _check_ids(ids, epoch)
        self._epoch = epoch + 1
        sample_ids = ids.astype(np.int32)
        if self._sink is None:
            self._counter.update(epoch, sample_ids, *columns)
            return
        correct, margin, el2n = columns
        table = pa.table(
            {
                "round": np.full(len(ids), self._round, np.int16),
                "epoch": np.full(len(ids), epoch, np.int16),
                "sample_id": sample_ids,
                "correct": correct,
                "margin": margin,
                "el2n": el2n,
            },
            schema=EVENT_SCHEMA,
        )
        self._sink(epoch, table)

    def statistics(self) -> pa.Table:
        """What `forgetting_statistics` makes of the events of all epochs so far.

        Raises EventLogError where a sink has them, where an epoch has not ended, and before the
        first has.
        """
        if self._sink is not None:
            raise EventLogError("the events went to the recorder's sink, which has to count them")
        if self._ids:
            raise EventLogError("an epoch's events are recorded and not counted; call end_epoch()")
        if self._epoch == 0:
            raise EventLogError("no epoch was recorded; call record() and end_epoch() first")
        return self._counter.statistics()

    def _take(self) -> tuple[NDArray[np.int64], _Columns]:
        """The epoch's ids and columns, sorted by sample; they are no longer here."""
        parts = [i.cpu().numpy() if isinstance(i, Tensor) else i for i in self._ids]
        ids = np.concatenate(parts).astype(np.int64) if parts else np.empty(0, np.int64)
        order = np.argsort(ids, kind="stable")
        correct, margin, el2n = (
            torch.cat([columns[i] for columns in self._columns]).cpu().numpy()[order]
            if self._columns
            else np.empty(0, dtype)
            for i, dtype in enumerate((np.bool_, np.float16, np.float16))
        )
        self._ids.clear()
        self._columns.clear()
        return ids[order], (correct, margin, el2n)


def _known_ids(ids: SampleIds) -> NDArray[np.integer] | Tensor:
    """A copy where it is: the caller may use the memory again."""
    return ids.detach().clone() if isinstance(ids, Tensor) else np.array(ids)


def _check_batch(ids: NDArray[np.integer] | Tensor, logits: Tensor, labels: Tensor) -> None:
    shapes = tuple(ids.shape), tuple(logits.shape), tuple(labels.shape)
    size = shapes[0]
    if len(size) != 1 or shapes[1][:-1] != size or shapes[2] != size or logits.shape[-1] < 2:
        raise EventLogError(
            f"a batch of ids {shapes[0]}, logits {shapes[1]} and labels {shapes[2]} is not allowed;"
            " allowed: (B,), (B, K) and (B,), K 2 or more"
        )
    for name, values in (("ids", ids), ("labels", labels)):
        if not _are_whole(values):
            raise EventLogError(f"{name} of {values.dtype} are not allowed; allowed: whole numbers")
    if labels.device.type == "cpu" and len(labels):
        lowest, highest = (int(bound) for bound in torch.aminmax(labels))
        if lowest < 0 or highest >= logits.shape[1]:
            wrong = lowest if lowest < 0 else highest
            raise EventLogError(
                f"label {wrong} is not allowed; allowed: 0 to {logits.shape[1] - 1}, a logit each"
            )


def _are_whole(values: NDArray[np.integer] | Tensor) -> bool:
    if isinstance(values, Tensor):
        dtype = values.dtype
        return not (dtype.is_floating_point or dtype.is_complex or dtype == torch.bool)
    return values.dtype.kind in "iu"


def _check_ids(ids: NDArray[np.int64], epoch: int) -> None:
    """ids: sorted."""
    if len(ids) and not (ids[0] >= 0 and ids[-1] < 2**31):
        wrong = ids[0] if ids[0] < 0 else ids[-1]
        raise EventLogError(f"sample id {wrong} is not allowed; allowed: 0 to 2147483647")
    twice = ids[1:][ids[1:] == ids[:-1]]
    if len(twice):
        raise EventLogError(
            f"sample {twice[0]} has two events in epoch {epoch}; one is allowed (is end_epoch() "
            "called after every epoch, and does the loader give each sample once?)"
        )
