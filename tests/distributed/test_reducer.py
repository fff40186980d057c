"""Events reduced in parts: the parts cover every epoch once, and tasks give what one pass gives."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import ray
from hypothesis import given
from hypothesis import strategies as st
from support.played import PlayedContext, PlayedTasks, played_context

from prac.data.dataset import ImageDataset
from prac.distributed.context import Context
from prac.distributed.reducer import EVENTS_A_TASK, epoch_parts, reduce_in_parts
from prac.distributed.tasks import SMALL
from prac.errors import EventLogError
from prac.events.file import EventFile
from prac.events.log import EventLog
from prac.events.schema import EVENT_SCHEMA
from prac.events.statistics import forgetting_statistics
from prac.lottery.round_events import event_folder
from prac.storage import Folder

EPOCHS, IDS = 7, np.array([1, 2, 5, 9, 12], np.int32)


@given(st.integers(1, 400), st.integers(1, 2_000_000), st.integers(1, 64))
def test_parts_cover_every_epoch_once_and_are_worth_a_task(
    epochs: int, samples: int, cpus: int
) -> None:
    parts = epoch_parts(epochs, samples, cpus=cpus)
    assert [epoch for part in parts for epoch in part] == list(range(epochs))
    assert 1 <= len(parts) <= cpus
    assert all(len(part) for part in parts)
    if len(parts) > 1:
        assert epochs * samples / len(parts) >= EVENTS_A_TASK


@pytest.fixture
def context(tmp_path: Path, toy_data: Callable[..., ImageDataset]) -> PlayedContext:
    dataset = dataclasses.replace(toy_data(20), training_ids=IDS)
    return played_context(tmp_path, dataset=dataset)


def _write(work: Folder, epochs: int) -> pa.Table:
    rng, tables = np.random.default_rng(0), []
    for epoch in range(epochs):
        columns = [
            np.zeros(len(IDS), np.int16),
            np.full(len(IDS), epoch, np.int16),
            IDS,
            rng.random(len(IDS)) < 0.5,
            rng.normal(size=len(IDS)).astype(np.float16),
            rng.random(len(IDS)).astype(np.float16),
        ]
        tables.append(pa.table(columns, schema=EVENT_SCHEMA))
        log = EventLog(event_folder(work), "run")
        log.write(EventFile(0, epoch, 0, 1, 0), tables[-1], epoch_rows=len(IDS))
    return pa.concat_tables(tables)


def test_tasks_give_what_one_pass_gives(context: PlayedContext) -> None:
    events, tasks = _write(context.work("run"), EPOCHS), PlayedTasks(cpus=3)
    alone = reduce_in_parts(context, run="run", epochs=EPOCHS, tasks=tasks)
    assert tasks.asked == []
    shared = reduce_in_parts(context, run="run", epochs=EPOCHS, tasks=tasks, events_a_task=10)
    parts = [asked.arguments[-1] for asked in tasks.asked]
    assert [list(part) for part in parts] == [[0, 1], [2, 3], [4, 5, 6]]
    assert [asked.cpus for asked in tasks.asked] == [SMALL] * 3
    assert shared.equals(alone)
    assert shared.to_pylist() == forgetting_statistics(events).to_pylist()


@pytest.mark.slow
def test_tasks_of_a_real_cluster(context: PlayedContext) -> None:
    events = _write(context.work("run"), EPOCHS)
    ray.init(address="local", num_cpus=2)
    try:
        shared_data = [ray.put(context.dataset())]
        plain = {"data": context.data, "augment": context.augment, "desk": None}
        handed = Context(**plain, shared=shared_data, resources=context.resources)  # type: ignore[arg-type]
        shared = reduce_in_parts(handed, run="run", epochs=EPOCHS, events_a_task=10)
        assert shared.to_pylist() == forgetting_statistics(events).to_pylist()
        with pytest.raises(EventLogError, match=r"^epoch 7 is not complete") as caught:
            reduce_in_parts(handed, run="run", epochs=EPOCHS + 1, events_a_task=10)
        assert "\n" not in str(caught.value)
    finally:
        ray.shutdown()
