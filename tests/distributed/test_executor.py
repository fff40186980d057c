"""The executor's decisions, on a cluster that is played: order, damage, errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from ray.exceptions import RayTaskError, WorkerCrashedError

from prac.config.sections import AugmentConfig
from prac.distributed import executor as executor_module
from prac.distributed.context import Context, Resources
from prac.distributed.executor import Executor
from prac.errors import ConfigError, EmptySetError, PracError
from prac.lottery.compose import build_graph
from prac.lottery.graph import Graph, Stage
from prac.tracking.store import DamagedArtifact, Finished

Behaviour = Callable[[Stage, Mapping[str, Finished], int], Finished]


def _finished(stage: Stage, attempt: int = 0) -> Finished:
    return Finished(
        key=stage.key,
        name=stage.name,
        run_id=f"{stage.name}#{attempt}",
        artifact_uri="/nowhere",
        manifest_sha256="",
        values={"made": stage.name},
    )


class Cluster:
    """Plays Ray: a task runs when the executor waits for it, the first handed over first."""

    def __init__(self, behaviour: Behaviour, *, together: bool = False) -> None:
        self.behaviour = behaviour
        self.together = together
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.at_work: list[list[str]] = []
        self.cancelled: list[str] = []
        self._tasks: dict[str, tuple[Stage, Mapping[str, Finished], int]] = {}
        self._options: dict[str, Any] = {}

    # What the executor uses of a remote function.
    def options(self, **options: Any) -> Cluster:
        self._options = options
        return self

    def remote(self, stage: Stage, inputs: Mapping[str, Finished], context: Context) -> str:
        attempt = sum(name == stage.name for name, _ in self.asked)
        assert self._options["name"] == stage.name
        self.asked.append((stage.name, self._options))
        ref = f"{stage.name}#{attempt}"
        self._tasks[ref] = (stage, inputs, attempt)
        return ref

    # What it uses of ray itself.
    def wait(self, refs: list[str], num_returns: int, timeout: float) -> tuple[list[str], list]:
        self.at_work.append([ref.rpartition("#")[0] for ref in refs])
        return (refs, []) if self.together else (refs[:1], refs[1:])

    def get(self, ref: Any, timeout: float | None = None) -> Any:
        if ref == "news":
            return []
        stage, inputs, attempt = self._tasks[ref]
        try:
            return self.behaviour(stage, inputs, attempt)
        except (PracError, ZeroDivisionError) as error:
            trace = f"Traceback (most recent call last):\n  somewhere\n{error!r}"
            raise RayTaskError("stage", trace, error).as_instanceof_cause() from error

    def cancel(self, ref: str, force: bool) -> None:
        self.cancelled.append(ref)

    @property
    def order(self) -> list[str]:
        return [name for name, _ in self.asked]


class Desk:
    class collect:
        @staticmethod
        def remote() -> str:
            return "news"


class FakeStore:
    def __init__(self) -> None:
        self.revoked: list[tuple[str, str]] = []

    def revoke(self, finished: Finished, reason: str) -> None:
        self.revoked.append((finished.run_id, reason))


class Said:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def started(self, stage: Stage) -> None: ...

    def finished(self, stage: Stage, values: dict[str, Any]) -> None: ...

    def news(self, news: object) -> None: ...


class Play:
    """An executor on a played cluster."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Any,
        graph: Graph,
        behaviour: Behaviour | None = None,
        *,
        done: tuple[str, ...] = (),
        cpus: int | None = 2,
        together: bool = False,
        **resources: Any,
    ) -> None:
        self.graph = graph
        self.cluster = Cluster(behaviour or (lambda s, _, n: _finished(s, n)), together=together)
        for name in ("wait", "get", "cancel"):
            monkeypatch.setattr(executor_module.ray, name, getattr(self.cluster, name))
        monkeypatch.setattr(executor_module, "_remote_stage", self.cluster)
        self.store, self.said = FakeStore(), Said()
        context = Context(
            store=self.store,  # type: ignore[arg-type]
            data="d",
            augment=AugmentConfig(),
            dataset=[],
            desk=Desk,
            resources=Resources(**{"storage": str(tmp_path), "workers": 2, **resources}),
        )
        finished = {graph.stages[name].key: _finished(graph.stages[name]) for name in done}
        self.executor = Executor(
            graph,
            finished,
            context,
            self.said,  # type: ignore[arg-type]
            cpus=cpus,
        )

    def run(self) -> Play:
        self.executor.run()
        return self


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Callable[..., Play]:
    return lambda *args, **kwargs: Play(monkeypatch, tmp_path, *args, **kwargs)


@pytest.fixture
def graph(request_for) -> Graph:
    """One architecture, two rounds, no comparison."""
    return build_graph(request_for(architectures=("conv4",), rounds=2, compare=()))


def test_every_stage_runs_once_after_its_inputs(play, request_for) -> None:
    graph = build_graph(request_for(judge="all"))
    played = play(graph).run()
    wanted = {name for name, stage in graph.stages.items() if stage.kind != "report"}
    assert sorted(played.cluster.order) == sorted(wanted)
    assert played.executor.ran == wanted == set(played.executor.finished)
    seen: set[str] = set()
    for name in played.cluster.order:
        assert set(graph.stages[name].inputs.values()) <= seen, name
        seen.add(name)


def test_inputs_are_handed_over_by_role(play, graph) -> None:
    def check(stage: Stage, inputs: Mapping[str, Finished], attempt: int) -> Finished:
        assert {role: f.name for role, f in inputs.items()} == stage.inputs
        return _finished(stage, attempt)

    play(graph, check).run()


def test_finished_stages_do_not_run(play, graph) -> None:
    done = tuple(name for name in graph.stages if name not in ("report", "ticket:conv4:prac:2"))
    played = play(graph, done=done).run()
    assert played.cluster.order == ["ticket:conv4:prac:2"]
    assert played.executor.ran == {"ticket:conv4:prac:2"}
    assert set(played.executor.finished) == {*done, "ticket:conv4:prac:2"}


def test_what_others_wait_for_goes_first(play, request_for) -> None:
    graph = build_graph(request_for(compare=()))

    def ready(*done_kinds: str) -> list[str]:
        done = tuple(
            name
            for name, stage in graph.stages.items()
            if f"{stage.kind}-{stage.round_index}" in done_kinds
        )
        names = play(graph, done=done, cpus=None).run().cluster.at_work[0]
        return [f"{graph.stages[n].kind}-{graph.stages[n].round_index}" for n in names]

    assert ready("dense-0") == ["reduce-0"] * 2 + ["judge-0"] * 2
    done = ("dense-0", "reduce-0", "select-1")
    rest = ["judge-0"] * 2 + ["ticket-1"] * 2
    assert ready(*done) == ["round-1"] * 2 + rest
    assert ready(*done, "round-1") == ["select-2"] * 2 + rest


def test_a_local_cluster_is_not_overfilled(play, request_for) -> None:
    graph = build_graph(request_for())
    cluster = play(graph, cpus=2).run().cluster
    for names in cluster.at_work:
        kinds = [graph.stages[name].kind for name in names]
        # One dense run more may prepare; selections and the like take no time.
        dense = 2 if "dense" in kinds else 0
        assert kinds.count("dense") <= 2
        assert dense + sum(k in ("round", "judge", "ticket") for k in kinds) <= 2, names
    assert max(map(len, cluster.at_work)) >= 2


def test_a_cluster_that_grows_gets_all_that_is_ready(play, request_for) -> None:
    graph = build_graph(request_for())
    cluster = play(graph, cpus=None).run().cluster
    assert cluster.at_work[0] == [n for n, s in graph.stages.items() if s.kind == "dense"]


def test_what_tasks_ask_ray_for(play, graph) -> None:
    cluster = play(graph, cpus=None, cpus_per_round=3, gpus_per_round=0.5).run().cluster
    asked = {graph.stages[name].kind: options for name, options in cluster.asked}
    # The dense task only waits for workers, which ask for their own.
    assert asked["dense"]["num_cpus"] == 0
    assert asked["round"]["num_cpus"] == asked["judge"]["num_cpus"] == 3
    assert asked["round"]["num_gpus"] == 0.5
    assert asked["select"]["num_cpus"] == 1
    assert "num_gpus" not in asked["select"]
    assert all(options["max_retries"] > 0 for options in asked.values())


def _damaged_once(reader: str, role: str, what: str = "mask fails its checksum") -> Behaviour:
    """The first attempt of `reader` finds an input damaged."""

    def behave(stage: Stage, inputs: Mapping[str, Finished], attempt: int) -> Finished:
        if stage.name == reader and attempt == 0:
            raise DamagedArtifact(inputs[role], what)
        return _finished(stage, attempt)

    return behave


def test_a_damaged_input_is_made_again(play, graph) -> None:
    everything = tuple(n for n in graph.stages if n not in ("report", "ticket:conv4:prac:2"))
    played = play(graph, _damaged_once("ticket:conv4:prac:2", "round-1"), done=everything).run()
    assert played.cluster.order == [
        "ticket:conv4:prac:2",
        "round:conv4:prac:1",
        "ticket:conv4:prac:2",
    ]
    assert played.store.revoked == [("round:conv4:prac:1#0", "mask fails its checksum")]
    (line,) = played.said.lines
    assert "mask fails its checksum of stage round:conv4:prac:1" in line
    assert "made again" in line
    assert "\n" not in line


def test_a_damaged_dense_run_starts_afresh(play, graph, tmp_path) -> None:
    key = graph.stages["dense:conv4:prac"].key
    events = tmp_path / key / "events"
    events.mkdir(parents=True)
    (events / "cut-short.parquet").write_bytes(b"")

    def behave(stage: Stage, inputs: Mapping[str, Finished], attempt: int) -> Finished:
        if stage.kind == "dense":
            assert not events.exists()
        return _damaged_once("reduce:conv4:prac", "dense")(stage, inputs, attempt)

    played = play(graph, behave, done=("dense:conv4:prac",)).run()
    order = played.cluster.order
    assert order.count("dense:conv4:prac") == 1
    assert order.count("reduce:conv4:prac") == 2


def test_one_damage_that_many_stages_find_is_one_damage(play, request_for) -> None:
    # Ten tickets' judgements read the dense run's rewind weights at the same time.
    graph = build_graph(request_for(architectures=("conv4",), rounds=10, compare=(), judge="all"))
    done = tuple(n for n, s in graph.stages.items() if s.kind in ("dense", "reduce", "select"))
    done += tuple(n for n, s in graph.stages.items() if s.kind == "round")
    bad = "dense:conv4:prac#0"

    def behave(stage: Stage, inputs: Mapping[str, Finished], attempt: int) -> Finished:
        for finished in inputs.values():
            if finished.run_id == bad:
                raise DamagedArtifact(finished, "rewind_weights fails its checksum")
        made = _finished(stage, attempt)
        if stage.kind == "dense":
            made = _finished(stage, attempt + 1)
        return made

    played = play(graph, behave, done=done, cpus=None, together=True).run()
    assert played.store.revoked == [(bad, "rewind_weights fails its checksum")]
    assert len(played.said.lines) == 1
    assert played.cluster.order.count("dense:conv4:prac") == 1


def test_damage_again_and_again_ends(play, graph) -> None:
    def behave(stage: Stage, inputs: Mapping[str, Finished], attempt: int) -> Finished:
        if stage.kind == "reduce":
            raise DamagedArtifact(inputs["dense"], "an event file is cut short")
        return _finished(stage, attempt)

    with pytest.raises(PracError, match="check the storage") as caught:
        play(graph, behave).run()
    assert "\n" not in str(caught.value)


def _raises(error: Exception, kind: str) -> Behaviour:
    def behave(stage: Stage, inputs: Mapping[str, Finished], attempt: int) -> Finished:
        if stage.kind == kind:
            raise error
        return _finished(stage, attempt)

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
    assert played.cluster.cancelled == [f"{name}#0" for name in others]
    assert f"{first}#0" not in played.cluster.cancelled
