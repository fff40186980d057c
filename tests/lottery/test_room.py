"""How long stages take beside each other: held against sums and longest paths."""

from __future__ import annotations

import random
from functools import cache

import pytest

from prac.lottery.compose import build_graph
from prac.lottery.graph import Graph, Stage
from prac.lottery.kinds import KINDS
from prac.lottery.room import Room, Shares, seconds_together
from prac.lottery.store import Finished


@pytest.fixture
def graph(request_for) -> Graph:
    return build_graph(request_for(rounds=3))


def _takes(graph: Graph) -> dict[str, float]:
    drawn = random.Random(3)
    return {name: drawn.randint(1, 30) for name in graph.stages}


def _longest(graph: Graph, takes: dict[str, float], done: set[str]) -> float:
    @cache
    def until(name: str) -> float:
        if name in done:
            return 0.0
        before = [until(other) for other in graph.stages[name].inputs.values()]
        return takes[name] + max(before, default=0.0)

    return max(until(name) for name in graph.targets)


def test_with_room_for_one_it_is_the_sum_and_with_room_for_all_the_longest_path(graph) -> None:
    takes = _takes(graph)

    def together(room: Room, finished: dict[str, Finished]) -> float:
        return seconds_together(
            graph, finished, lambda stage: takes[stage.name], lambda _: Room(1), room
        )

    def small(stage: Stage) -> bool:
        return KINDS[stage.kind].needs == "moments"

    assert together(Room(1000), {}) == _longest(graph, takes, set())
    two, one = together(Room(2), {}), together(Room(1), {})
    trained = sum(takes[s.name] for s in graph.stages.values() if not small(s))
    # Stages of moments wait for nobody; with one core the others are one after the other.
    assert trained <= one <= sum(takes.values())
    assert max(trained / 2, _longest(graph, takes, set())) <= two < one
    name = next(name for name, stage in graph.stages.items() if stage.kind == "dense")
    finished = Finished(
        key=graph.stages[name].key, name=name, run_id="", where="", manifest_sha256=""
    )
    assert together(Room(1000), {name: finished}) == _longest(graph, takes, {name})


def test_what_is_larger_than_the_room_runs_alone() -> None:
    room = Room(2, 1)
    assert room.holds_beside(Room(0), Room(8))
    assert not room.holds_beside(Room(1), Room(8))
    assert room.holds_beside(Room(1, 0.5), Room(1, 0.5))
    assert not room.holds_beside(Room(1, 0.5), Room(1, 0.6))


def test_two_of_more_than_half_a_device_take_one_each(graph) -> None:
    of_kind = {stage.kind: stage for stage in graph.stages.values()}
    shares = Shares(workers=3, cpus_per_round=2, gpus_per_worker=0.6, gpus_per_round=0.25)
    assert shares.used(of_kind["dense"]) == Room(6, 3)
    assert shares.used(of_kind["round"]) == Room(2, 0.25)
    assert shares.used(of_kind["select"]) == Room(0)
