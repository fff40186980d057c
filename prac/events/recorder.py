"""Gathers the events of one epoch on the device and hands them on once, at its end."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from prac.events.schema import EVENT_SCHEMA, event_columns


class EventRecorder:
    """Notes every presentation of an epoch; `flush` gives them to `sink(epoch, table)`.

    Nothing is moved off the device before the epoch ends: a copy a step would make the device wait.
    """

    def __init__(self, round_index: int, sink: Callable[[int, pa.Table], None]) -> None:
        self._round = round_index
        self._sink = sink
        self._ids: list[NDArray[np.int32]] = []
        self._columns: list[tuple[Tensor, Tensor, Tensor]] = []

    def record(self, sample_ids: NDArray[np.int32], logits: Tensor, labels: Tensor) -> None:
        """Note a batch, before its update. sample_ids: (B,) int32; logits: (B, K); labels: (B,)."""
        self._ids.append(sample_ids)
        self._columns.append(event_columns(logits, labels))

    def flush(self, epoch: int) -> None:
        """Hand the epoch's events to the sink as one table of EVENT_SCHEMA, sorted by sample."""
        ids = np.concatenate(self._ids) if self._ids else np.empty(0, np.int32)
        order = np.argsort(ids, kind="stable")
        correct, margin, el2n = (
            torch.cat([columns[i] for columns in self._columns]).cpu().numpy()[order]
            if self._columns
            else np.empty(0, dtype)
            for i, dtype in enumerate((np.bool_, np.float16, np.float16))
        )
        table = pa.table(
            {
                "round": np.full(len(ids), self._round, np.int16),
                "epoch": np.full(len(ids), epoch, np.int16),
                "sample_id": ids[order],
                "correct": correct,
                "margin": margin,
                "el2n": el2n,
            },
            schema=EVENT_SCHEMA,
        )
        self._ids.clear()
        self._columns.clear()
        self._sink(epoch, table)
