"""The executor's decisions, on a cluster that is played: order, damage, errors."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from ray.exceptions import WorkerCrashedError
from support.played import Asked, PlayedTasks, Recorder, RevokingStore, plain_made, played_context

from prac.distributed.executor import RayExecutor
from prac.distributed.tasks import SMALL
from prac.errors import ConfigError, EmptySetError, PracError
from prac.lottery.compose import build_graph
from prac.lottery.graph import Graph, Stage
from prac.lottery.progress import EpochNews
from prac.lottery.request import Request
from prac.lottery.room import Room
from prac.lottery.run import run_stage
from prac.lottery.store import DamagedArtifact, Finished

Inputs = Mapping[str, Finished]
Behaviour = Callable[[Stage, Inputs, int], None]
"""What happens before a stage is made: it may raise."""


def _nothing(stage: Stage, inputs: Inputs, attempt: int) -> None:
    pass


class Play:
    """An executor on a played cluster."""

    def __init__(
        self,
        storage: Path,
        graph: Graph,
        behave: Behaviour = _nothing,
        *,
        done: tuple[str, ...] = (),
        cpus: int | None = 2,
        gpus: float = 0,
        together: bool = False,
        **resources: Any,
    ) -> None:
        self.graph, self.behave = graph, behave
        self.tasks = PlayedTasks(play=self._make, together=together)
        self.store, self.told = RevokingStore(), Recorder()
        context = played_context(storage, desk=self.told, **resources)
        room = None if cpus is None else Room(cpus=cpus, gpus=gpus)
        self.executor = RayExecutor(context, self.store, self.told, room=room, tasks=self.tasks)
        self.done = {name: self._commit(graph.stages[name], 0) for name in done}

    def _commit(self, stage: Stage, attempt: int) -> Finished:
        kept = self.store.commit(stage, plain_made(stage), data="d", started=0.0)
        return dataclasses.replace(kept, run_id=f"{stage.name}#{attempt}")

    def _make(self, asked: Asked) -> Finished:
        assert asked.function is run_stage
        stage, inputs, context, store = asked.arguments
        assert (asked.name, context, store) == (stage.name, self.executor.context, self.store)
        self.behave(stage, inputs, asked.attempt)
        return self._commit(stage, asked.attempt + (stage.name in self.done))

    def run(self) -> Play:
        self.ran = self.executor.run(self.graph, self.done)
        return self

    @property
    def order(self) -> list[str]:
        return self.tasks.order


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., Play]:
    return lambda *args, **kwargs: Play(tmp_path, *args, **kwargs)


@pytest.fixture
def graph(request_for: Callable[..., Request]) -> Graph:
    """One architecture, two rounds, no comparison."""
    return build_graph(request_for(architectures=("conv4",), rounds=2, compare=()))


def test_every_stage_runs_once_after_its_inputs(play, request_for) -> None:
    graph = build_graph(request_for(judge="all"))
    played = play(graph).run()
    wanted = {name for name, stage in graph.stages.items() if stage.kind != "report"}
    assert sorted(played.order) == sorted(wanted)
    assert played.ran.ran == wanted == set(played.ran.finished)
    seen: set[str] = set()
    for name in played.order:
        assert set(graph.stages[name].inputs.values()) <= seen, name
        seen.add(name)


def test_inputs_are_handed_over_by_role(play, graph) -> None:
    def check(stage: Stage, inputs: Inputs, attempt: int) -> None:
        assert {role: f.name for role, f in inputs.items()} == stage.inputs

    play(graph, check).run()


def test_finished_stages_do_not_run(play, graph) -> None:
    done = tuple(name for name in graph.stages if name not in ("report", "ticket:conv4:prac:2"))
    played = play(graph, done=done).run()
    assert played.order == ["ticket:conv4:prac:2"]
    assert played.ran.ran == {"ticket:conv4:prac:2"}
    assert set(played.ran.finished) == {*done, "ticket:conv4:prac:2"}


def test_what_others_wait_for_goes_first(play, request_for) -> None:
    graph = build_graph(request_for(compare=()))

    def ready(*done_kinds: str) -> list[str]:
        done = tuple(
            name
            for name, stage in graph.stages.items()
            if f"{stage.kind}-{stage.round_index}" in done_kinds
        )
        names = play(graph, done=done, cpus=None).run().tasks.at_work[0]
        return [f"{graph.stages[n].kind}-{graph.stages[n].round_index}" for n in names]

    assert ready("dense-0") == ["reduce-0"] * 2 + ["judge-0"] * 2
    done = ("dense-0", "reduce-0", "select-1")
    tickets, judges = ["ticket-1"] * 2, ["judge-0"] * 2
    assert ready(*done) == [*tickets, *["round-1"] * 2, *judges]
    assert ready(*done, "round-1") == [*["select-2"] * 2, *tickets, *judges]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_local_cluster_is_not_overfilled(play, request_for, workers) -> None:
    graph = build_graph(request_for(compare=("vanilla",)))
    tasks = play(graph, cpus=2, workers=workers).run().tasks
    at_work = [[graph.stages[name].kind for name in names] for names in tasks.at_work]
    # One dense run more may prepare; selections and the like take no time.
    most = 2 // workers + 1
    assert max(kinds.count("dense") for kinds in at_work) == most
    for kinds in at_work:
        dense = workers * min(kinds.count("dense"), most - 1)
        assert dense + sum(k in ("round", "judge") for k in kinds) <= 2, kinds


@pytest.mark.parametrize(
    ("gpus", "per_round", "side_by_side"),
    [(1, 1, 1), (2, 1, 2), (1, 0.5, 2), (2, 0.4, 4), (1, 0.6, 1), (2, 0.6, 2), (1, 0.2, 5)],
)
def test_devices_are_counted_like_cpus(play, request_for, gpus, per_round, side_by_side) -> None:
    graph = build_graph(request_for(judge="all"))
    options = {"cpus": 64, "gpus": gpus, "gpus_per_round": per_round}
    tasks = play(graph, **options, gpus_per_worker=per_round, workers=1, together=True).run().tasks
    rounds = [
        sum(graph.stages[n].kind in ("round", "judge") for n in names) for names in tasks.at_work
    ]
    assert max(rounds) == side_by_side


def test_who_waits_for_a_device_is_not_overtaken(play, request_for) -> None:
    """With one device and CPUs to spare, what others wait for gets it first."""
    graph = build_graph(request_for(compare=(), judge="all"))
    options = {"cpus": 64, "gpus": 1, "gpus_per_round": 1, "gpus_per_worker": 1, "workers": 1}
    known = {"dense", "reduce", "select-1"}
    done = [n for n, s in graph.stages.items() if {s.kind, f"{s.kind}-{s.round_index}"} & known]
    tasks = play(graph, **options, done=tuple(done)).run().tasks
    kinds = [graph.stages[name].kind for name in tasks.at_work[0]]
    # Judgements are ready as well, as many as rounds.
    assert kinds == ["round"]
    for names in tasks.at_work:
        assert sum(graph.stages[n].kind in ("round", "judge") for n in names) <= 1


def test_a_cluster_that_grows_gets_all_that_is_ready(play, request_for) -> None:
    graph = build_graph(request_for())
    tasks = play(graph, cpus=None).run().tasks
    assert tasks.at_work[0] == [n for n, s in graph.stages.items() if s.kind == "dense"]


def test_what_tasks_ask_ray_for(play, graph) -> None:
    tasks = play(graph, cpus=None, cpus_per_round=3, gpus_per_round=0.5).run().tasks
    asked = {graph.stages[a.name].kind: (a.cpus, a.gpus) for a in tasks.asked}
    # The dense task only waits for workers, which ask for their own.
    assert asked["dense"] == (0, 0)
    # Whoever trains leaves a little for those that take moments.
    assert asked["round"] == asked["judge"] == (3 - SMALL, 0.5)
    assert asked["reduce"] == asked["select"] == asked["ticket"] == (SMALL, 0)


def _damaged_once(reader: str, role: str, what: str = "mask fails its checksum") -> Behaviour:
    """The first attempt of `reader` finds an input damaged."""

    def behave(stage: Stage, inputs: Inputs, attempt: int) -> None:
        if stage.name == reader and attempt == 0:
            raise DamagedArtifact(inputs[role], what)

    return behave


def test_a_damaged_input_is_made_again(play, graph) -> None:
    everything = tuple(n for n in graph.stages if n not in ("report", "ticket:conv4:prac:2"))
    played = play(graph, _damaged_once("ticket:conv4:prac:2", "training_1"), done=everything).run()
    assert played.order == ["ticket:conv4:prac:2", "round:conv4:prac:1", "ticket:conv4:prac:2"]
    assert played.store.revoked == [("round:conv4:prac:1", "mask fails its checksum")]
    (line,) = played.told.lines
    assert "mask fails its checksum of stage round:conv4:prac:1" in line
    assert "made again" in line
    assert "\n" not in line


def test_a_damaged_dense_run_starts_afresh(play, graph, tmp_path) -> None:
    key = graph.stages["dense:conv4:prac"].key
    events = tmp_path / key / "events"
    events.mkdir(parents=True)
    (events / "cut-short.parquet").write_bytes(b"")

    def behave(stage: Stage, inputs: Inputs, attempt: int) -> None:
        if stage.kind == "dense":
            assert not events.exists()
        _damaged_once("reduce:conv4:prac", "dense")(stage, inputs, attempt)

    played = play(graph, behave, done=("dense:conv4:prac",)).run()
    order = played.order
    assert order.count("dense:conv4:prac") == 1
    assert order.count("reduce:conv4:prac") == 2
    # It was at work when the damage was found, and had read what it needed.
    assert order.count("judge:conv4:prac:0") == 1


def test_one_damage_that_many_stages_find_is_one_damage(play, request_for) -> None:
    # Ten tickets' judgements read the dense run's rewind weights at the same time.
    graph = build_graph(request_for(architectures=("conv4",), rounds=10, compare=(), judge="all"))
    done = tuple(n for n, s in graph.stages.items() if s.kind in ("dense", "reduce", "select"))
    done += tuple(n for n, s in graph.stages.items() if s.kind == "round")
    bad = "dense:conv4:prac#0"

    def behave(stage: Stage, inputs: Inputs, attempt: int) -> None:
        for finished in inputs.values():
            if finished.run_id == bad:
                raise DamagedArtifact(finished, "rewind_weights fails its checksum")

    played = play(graph, behave, done=done, cpus=None, together=True).run()
    assert played.store.revoked == [("dense:conv4:prac", "rewind_weights fails its checksum")]
    assert len(played.told.lines) == 1
    assert played.order.count("dense:conv4:prac") == 1


def test_damage_again_and_again_ends(play, graph) -> None:
    def behave(stage: Stage, inputs: Inputs, attempt: int) -> None:
        if stage.kind == "reduce":
            raise DamagedArtifact(inputs["dense"], "an event file is cut short")

    with pytest.raises(PracError, match="check the storage") as caught:
        play(graph, behave).run()
    assert "\n" not in str(caught.value)


def _raises(error: Exception, kind: str) -> Behaviour:
    def behave(stage: Stage, inputs: Inputs, attempt: int) -> None:
        if stage.kind == kind:
            raise error

    return behave


@pytest.mark.parametrize(
    ("error", "said", "status"),
    [
        (EmptySetError("the PrAC set is empty"), "stage select:conv4:prac:1: the PrAC set is", 1),
        (ConfigError("no such thing"), "stage select:conv4:prac:1: no such thing", 2),
        (ZeroDivisionError("1/0"), "stage select:conv4:prac:1 failed: ZeroDivisionError", 1),
        (WorkerCrashedError(), "stage select:conv4:prac:1 failed: The worker died", 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_stage_s_error_is_one_line_with_its_status(play, graph, error, said, status) -> None:
    played = play(graph, _raises(error, "select"))
    with pytest.raises(PracError, match=said) as caught:
        played.run()
    assert "\n" not in str(caught.value)
    assert caught.value.exit_status == status


def test_what_is_at_work_is_cancelled_when_a_stage_fails(play, request_for) -> None:
    graph = build_graph(request_for())
    played = play(graph, _raises(ConfigError("no"), "dense"), cpus=None)
    with pytest.raises(PracError):
        played.run()
    first, *others = [n for n, s in graph.stages.items() if s.kind == "dense"]
    assert played.tasks.cancelled == others
    assert first not in played.tasks.cancelled


def test_news_of_epochs_reach_the_display(play, graph) -> None:
    def behave(stage: Stage, inputs: Inputs, attempt: int) -> None:
        if stage.kind == "round":
            news = EpochNews(
                stage=stage.name, epoch=1, epochs=9, validation_accuracy=0.5, seconds=1.0
            )
            played.told.report(news)

    played = play(graph, behave)
    played.run()
    assert [news.stage for news in played.told.heard] == ["round:conv4:prac:1"]
