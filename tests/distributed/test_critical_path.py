"""Stages of moments wait behind no training: on a cluster that is played, with a clock."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any

import pytest
from support.played import PlayedTasks, Recorder, RevokingStore, plain_made, played_context

from prac.distributed.executor import RayExecutor
from prac.distributed.tasks import SMALL, beside_small
from prac.lottery.compose import build_graph
from prac.lottery.graph import Graph
from prac.lottery.request import Request
from prac.lottery.room import Room

TRAINING, MOMENT = 1500.0, 0.1
TRAIN = ("dense", "round", "judge")


class Clock(PlayedTasks):
    """Starts tasks in turn as their CPUs are free, as Ray does, and ends them by the clock."""

    def __init__(self, graph: Graph, make: Callable[..., Any], cpus: int, workers: int) -> None:
        super().__init__(play=make, cpus=cpus)
        self.graph, self.now = graph, 0.0
        self.workers = workers
        self.queue: list[int] = []
        self.ends: dict[int, float] = {}
        self.started_at: dict[str, float] = {}

    def _cpus(self, handle: int) -> float:
        asked = self.asked[handle]
        if self.graph.stages[asked.name].kind == "dense":
            return self.workers * beside_small(1)
        return asked.cpus

    def submit(self, *arguments: Any, **options: Any) -> Hashable:
        handle = super().submit(*arguments, **options)
        assert isinstance(handle, int)
        self.queue.append(handle)
        self._start()
        return handle

    def _start(self) -> None:
        for handle in list(self.queue):
            if sum(map(self._cpus, self.ends)) + self._cpus(handle) <= self.cpus + 1e-9:
                self.queue.remove(handle)
                name = self.asked[handle].name
                self.started_at[name] = self.now
                trains = self.graph.stages[name].kind in TRAIN
                self.ends[handle] = self.now + (TRAINING if trains else MOMENT)

    def wait(self, handles: Sequence[Hashable]) -> Sequence[Hashable]:
        assert self.ends, "nothing can be placed"
        first = min(self.ends, key=self.ends.__getitem__)
        self.now = self.ends.pop(first)
        self._start()
        return [first]


@pytest.mark.parametrize(("cpus", "given"), [(1, 1), (2, 2), (2, None), (4, 4)])
def test_no_small_stage_waits_for_a_training(
    cpus: int, given: int | None, tmp_path: Path, request_for: Callable[..., Request]
) -> None:
    graph = build_graph(request_for(architectures=("conv4", "vgg8s"), rounds=3, judge="all"))
    store = RevokingStore()
    workers = min(2, cpus)
    tasks = Clock(
        graph,
        lambda asked: store.commit(
            asked.arguments[0], plain_made(asked.arguments[0]), data="d", started=0.0
        ),
        cpus,
        workers,
    )
    told = Recorder()
    context = played_context(tmp_path, desk=told, workers=workers)
    room = None if given is None else Room(cpus=given)
    RayExecutor(context, store, told, room=room, tasks=tasks).run(graph, {})
    ends = {
        name: start + (TRAINING if graph.stages[name].kind in TRAIN else MOMENT)
        for name, start in tasks.started_at.items()
    }
    waited = {
        name: start - max(ends[other] for other in graph.stages[name].inputs.values())
        for name, start in tasks.started_at.items()
        if graph.stages[name].kind in ("reduce", "select", "subset", "ticket")
    }
    assert len(waited) > 10
    assert max(waited.values()) < 1, waited


def test_what_small_stages_ask_for_is_left_over_by_trainings() -> None:
    assert beside_small(1) + SMALL <= 1
    assert 2 * beside_small(2) + 2 * SMALL <= 4
    assert beside_small(SMALL) == SMALL
