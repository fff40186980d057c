"""The schedule against a plain one that looks at every stage every time."""

from __future__ import annotations

import time
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.schedules import started

from prac.lottery.graph import Graph, Stage
from prac.lottery.kinds import KINDS
from prac.lottery.schedule import Schedule
from prac.lottery.store import Finished

RUN = [kind for kind in KINDS if KINDS[kind].run is not None]


def _stage(name: str, inputs: list[str], kind: str = "round", index: int = 0) -> Stage:
    return Stage(
        name=name,
        kind=kind,
        architecture="",
        method="",
        round_index=index,
        config=None,
        inputs={f"role_{place}": other for place, other in enumerate(inputs)},
        key=f"key of {name}",
    )


def _finished(name: str, run: int = 0) -> Finished:
    return Finished(
        key=f"key of {name}", name=name, run_id=f"{name} {run}", where="", manifest_sha256=""
    )


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, Stage]:
    """Stages, each after its inputs; an input may be read in two roles."""
    stages: dict[str, Stage] = {}
    for number in range(draw(st.integers(1, 12))):
        known = list(stages)
        inputs = draw(st.lists(st.sampled_from(known), max_size=4)) if known else []
        name = f"s{number}"
        kind, index = draw(st.sampled_from(RUN)), draw(st.integers(0, 3))
        stages[name] = _stage(name, inputs, kind, index)
    return stages


def _subset(draw: st.DrawFn, names: Mapping[str, object]) -> set[str]:
    return {name for name in names if draw(st.booleans())}


class Plain:
    """What the schedule has to do, by looking at everything."""

    def __init__(self, stages: Mapping[str, Stage], finished: set[str]) -> None:
        self.stages, self.finished = stages, set(finished)
        self.wanted: set[str] = set()
        self.started: set[str] = set()

    def want(self, names: set[str]) -> None:
        left = list(names)
        while left:
            name = left.pop()
            if name not in self.wanted and name not in self.finished:
                self.wanted.add(name)
                left.extend(self.stages[name].inputs.values())

    def next(self) -> str | None:
        order = list(self.stages)
        ready = [
            (KINDS[stage.kind].priority, stage.round_index, order.index(name), name)
            for name, stage in self.stages.items()
            if name in self.wanted - self.started and set(stage.inputs.values()) <= self.finished
        ]
        return min(ready)[-1] if ready else None

    def needing(self, name: str) -> set[str]:
        """It, and what waits for it."""
        found = {name} & self.wanted
        for other, stage in self.stages.items():  # each after its inputs
            if other in self.wanted - self.started and found & set(stage.inputs.values()):
                found.add(other)
        return found


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_it_runs_what_a_plain_one_runs(data: st.DataObject) -> None:
    stages = data.draw(graphs())
    done = _subset(data.draw, stages)
    targets = _subset(data.draw, stages) or {next(iter(stages))}
    schedule, plain = Schedule(), Plain(stages, done)
    schedule.add(stages, {name: _finished(name) for name in done})
    schedule.want(targets)
    plain.want(targets)
    graph = Graph(stages=stages, targets=tuple(targets))
    to_run = [stage.name for stage in graph.to_run(stages[name].key for name in done)]
    assert plain.wanted == set(to_run)
    assert schedule.open == len(to_run)
    ran: list[str] = []
    while (expected := plain.next()) is not None:
        stage = schedule.peek()
        assert stage is not None
        assert schedule.peek() is stage
        assert stage.name == expected
        assert started(schedule) is stage
        inputs = schedule.inputs(stage)
        assert {role: made.name for role, made in inputs.items()} == dict(stage.inputs)
        ran.append(stage.name)
        plain.wanted.discard(stage.name)
        plain.finished.add(stage.name)
        schedule.finish(stage.name, _finished(stage.name, 1))
        assert schedule.open == len(plain.wanted)
    assert schedule.peek() is None
    assert schedule.open == 0
    # Everything wanted ran, once, after its inputs.
    assert len(ran) == len(set(ran))
    assert sorted(ran) == sorted(to_run)
    for place, name in enumerate(ran):
        assert set(stages[name].inputs.values()) <= done | set(ran[:place])


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_damage_failures_and_several_at_work(data: st.DataObject) -> None:
    """Stages that run side by side finish in any order, fail, or find an input damaged."""
    stages = data.draw(graphs())
    done = _subset(data.draw, stages)
    schedule, plain = Schedule(), Plain(stages, done)
    schedule.add(stages, {name: _finished(name) for name in done})
    schedule.want(stages)
    plain.want(set(stages))
    runs = dict.fromkeys(stages, 0)
    lost: set[str] = set()
    damages = 0
    for _ in range(200):
        events = ["finish", "damage", "give up"] if plain.started else []
        stage = schedule.peek()
        expected = plain.next()
        assert (None if stage is None else stage.name) == expected
        if stage is not None:
            events.append("start")
        if not events:
            break
        event = data.draw(st.sampled_from(events))
        if event == "start":
            assert expected is not None
            started(schedule)
            plain.started.add(expected)
            continue
        name = data.draw(st.sampled_from(sorted(plain.started)))
        inputs = sorted(set(stages[name].inputs.values()))
        if event == "damage" and inputs and damages < 4:
            damages += 1
            bad = data.draw(st.sampled_from(inputs))
            # Two that read it may both tell: the second time it is no longer what was read.
            if bad in plain.finished:
                assert schedule.holds(schedule.finished[bad])
                before = schedule.finished[bad]
                schedule.again(bad)
                assert not schedule.holds(before)
                plain.finished.discard(bad)
                plain.want({bad})
            schedule.again(name)
            plain.started.discard(name)
            plain.want(set(inputs) - plain.finished)
        elif event == "give up":
            gone = plain.needing(name)
            assert schedule.give_up(name) == gone
            plain.wanted -= gone
            plain.started -= gone
            lost |= gone
        else:
            runs[name] += 1
            plain.started.discard(name)
            plain.wanted.discard(name)
            plain.finished.add(name)
            schedule.finish(name, _finished(name, runs[name]))
        assert schedule.open == len(plain.wanted)
        assert set(schedule.finished) == plain.finished
    else:
        pytest.fail("it does not end")
    assert plain.wanted == set()
    assert schedule.open == 0
    if damages == 0:
        assert all(count <= 1 for count in runs.values())
        assert {name for name, count in runs.items() if count} == set(stages) - done - lost


def test_a_finished_stage_is_not_made_again_for_its_inputs() -> None:
    """Nobody who runs has to read them."""
    stages = {"a": _stage("a", []), "b": _stage("b", ["a"]), "c": _stage("c", ["b"])}
    schedule = Schedule()
    schedule.add(stages, {"b": _finished("b")})
    schedule.want(["c"])
    assert schedule.open == 1
    assert started(schedule).name == "c"
    assert schedule.peek() is None
    # Found damaged: now it needs its input.
    schedule.again("b")
    schedule.again("c")
    assert [schedule.open, started(schedule).name] == [3, "a"]


def test_two_that_read_what_is_damaged() -> None:
    """One tells of it, the other is past reading it: it is not started a second time."""
    stages = {"bad": _stage("bad", []), "x": _stage("x", ["bad"]), "y": _stage("y", ["bad"])}
    stages["z"] = _stage("z", ["bad"])
    for late in (False, True):
        schedule = Schedule()
        schedule.add(stages, {"bad": _finished("bad")})
        schedule.want(["x", "y", "z"])
        assert [started(schedule).name, started(schedule).name] == ["x", "y"]
        schedule.again("bad")
        schedule.again("y")
        assert started(schedule).name == "bad"
        assert schedule.peek() is None
        if not late:
            schedule.finish("x", _finished("x"))
        schedule.finish("bad", _finished("bad", 1))
        assert [started(schedule).name, started(schedule).name] == ["y", "z"]
        assert schedule.peek() is None
        if late:
            # It had not read it: it starts again with what was made anew.
            schedule.again("x")
            assert schedule.inputs(started(schedule))["role_0"].run_id == "bad 1"


def test_sets_and_masks_go_first_and_tickets_last() -> None:
    kinds = ("ticket", "judge", "round", "prune", "dense", "select", "start")
    stages = {kind: _stage(kind, [], kind) for kind in kinds}
    stages["later"] = _stage("later", [], "select", 2)
    schedule = Schedule()
    schedule.add(stages, {})
    schedule.want(stages)
    order = []
    while (stage := schedule.peek()) is not None:
        order.append(stage.name)
        schedule.finish(started(schedule).name, _finished(stage.name))
    assert order == ["select", "start", "later", "prune", "dense", "round", "judge", "ticket"]


def test_stages_that_are_added_later_are_known_to_those_before() -> None:
    schedule = Schedule()
    schedule.add({"a": _stage("a", [])}, {})
    schedule.want(["a"])
    schedule.add({"b": _stage("b", ["a"]), "c": _stage("c", [])}, {"c": _finished("c")})
    schedule.want(["b", "c"])
    assert schedule.open == 2
    schedule.finish(started(schedule).name, _finished("a"))
    assert started(schedule).name == "b"


@pytest.mark.parametrize("shape", ["chains", "fan"])
def test_it_is_linear_in_the_graph(shape: str) -> None:
    """20,000 stages; one that looked at all of them every time would take minutes."""
    stages: dict[str, Stage] = {}
    if shape == "chains":
        for chain in range(200):
            for link in range(100):
                inputs = [f"{chain}:{link - 1}"] if link else []
                stages[f"{chain}:{link}"] = _stage(f"{chain}:{link}", inputs, index=link)
    else:
        stages["first"] = _stage("first", [])
        for number in range(19_998):
            stages[f"{number}"] = _stage(f"{number}", ["first"])
        stages["last"] = _stage("last", [str(n) for n in range(19_998)])
    began = time.process_time()
    schedule, ran = Schedule(), 0
    schedule.add(stages, {})
    schedule.want(["last"] if shape == "fan" else stages)
    while (stage := schedule.peek()) is not None:
        started(schedule)
        schedule.finish(stage.name, _finished(stage.name))
        ran += 1
    assert ran == len(stages)
    assert time.process_time() - began < 2  # 0.2 s on a free core
    assert len(Graph(stages=stages, targets=tuple(stages)).to_run([])) == len(stages)


def test_only_what_is_next_is_started() -> None:
    schedule = Schedule()
    stages = {name: _stage(name, []) for name in ("a", "b")}
    schedule.add(stages, {})
    schedule.want(stages)
    with pytest.raises(ValueError, match="b is not next: a is"):
        schedule.start(stages["b"])
    assert [started(schedule).name, started(schedule).name] == ["a", "b"]
