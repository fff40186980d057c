"""Events reduced in parts: the parts cover every epoch once, and tasks give what one pass gives."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prac.distributed import reducer
from prac.distributed.reducer import EVENTS_A_TASK, epoch_parts, reduce_in_parts
from prac.errors import EventLogError
from prac.events import EVENT_SCHEMA, EventLog, forgetting_statistics
from prac.events.file import EventFile
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


class PlayedRay:
    """Tasks run where they are handed over; what they return travels as Ray would pickle it."""

    def __init__(self, cpus: int) -> None:
        self.cpus = cpus
        self.parts: list[range] = []

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": float(self.cpus)}

    def remote(self, context: object, run: str, part: range) -> object:
        self.parts.append(part)
        return reducer._count(context, context.load_dataset(), run, part)  # type: ignore

    def get(self, count: object) -> object:
        return count


@pytest.fixture
def context(tmp_path: Path) -> SimpleNamespace:
    work = Folder(tmp_path)
    return SimpleNamespace(
        work=lambda run: work,
        load_dataset=lambda: SimpleNamespace(training_ids=IDS),
    )


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


def test_tasks_give_what_one_pass_gives(context, monkeypatch: pytest.MonkeyPatch) -> None:
    events = _write(context.work("run"), EPOCHS)
    played = PlayedRay(cpus=3)
    monkeypatch.setattr(reducer, "ray", played)
    monkeypatch.setattr(reducer, "_count_remotely", played)
    alone = reduce_in_parts(context, run="run", epochs=EPOCHS)
    assert played.parts == []
    monkeypatch.setattr(reducer, "EVENTS_A_TASK", 10)
    shared = reduce_in_parts(context, run="run", epochs=EPOCHS)
    assert [list(part) for part in played.parts] == [[0, 1], [2, 3], [4, 5, 6]]
    assert shared.equals(alone)
    assert shared.to_pylist() == forgetting_statistics(events).to_pylist()


@pytest.mark.slow
def test_tasks_of_a_real_cluster(context, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray")
    events = _write(context.work("run"), EPOCHS)
    monkeypatch.setattr(reducer, "EVENTS_A_TASK", 10)
    folder = context.work("run")
    context.work, ids = None, IDS

    class Handed:
        """What a task can be handed: plain names, no fixture."""

        def work(self, run: str) -> Folder:
            return folder

        def load_dataset(self) -> SimpleNamespace:
            return SimpleNamespace(training_ids=ids)

    ray.init(address="local", num_cpus=2)
    try:
        shared = reduce_in_parts(Handed(), run="run", epochs=EPOCHS)  # type: ignore[arg-type]
        assert shared.to_pylist() == forgetting_statistics(events).to_pylist()
        with pytest.raises(EventLogError, match=r"^epoch 7 is not complete") as caught:
            reduce_in_parts(Handed(), run="run", epochs=EPOCHS + 1)  # type: ignore[arg-type]
        assert "\n" not in str(caught.value)
    finally:
        ray.shutdown()
