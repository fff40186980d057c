"""The foreman on a played cluster: stages shared, failures kept to their trials, goals answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from ray.exceptions import RayTaskError

from prac.config.sections import AugmentConfig
from prac.distributed import executor as executor_module
from prac.distributed.context import Context, Resources
from prac.distributed.sweep.foreman import Foreman
from prac.distributed.sweep.trials import Ask
from prac.errors import EmptySetError, PracError
from prac.lottery.graph import Request, Stage
from prac.sweep.space import label
from prac.sweep.union import swept_stages, trial_graph
from prac.tracking.store import DamagedArtifact, Finished, Metric

ROUNDS = 2


def made(stage: Stage) -> Finished:
    values = {
        "steps": 100,
        "budget_steps": 200,
        "best_accuracy": 0.5 + 0.1 * stage.round_index,
        "set_size": 40,
        "next_sparsity": 0.2,
        "test_accuracy": 0.9,
    }
    return Finished(
        key=stage.key,
        name=stage.name,
        run_id=stage.name,
        artifact_uri="/nowhere",
        manifest_sha256="",
        values=values,
    )


class Remote:
    def __init__(self, call: Callable[..., Any]) -> None:
        self.remote = call


class Stand:
    """Plays Ray, the store, the tracker's log, the display and the exchange with its trials."""

    def __init__(self, request: Request, fail: Mapping[str, Exception], damaged: bool) -> None:
        self.fail, self.damaged = fail, damaged
        self.ran: list[str] = []
        self.asks: list[Ask] = []
        self.answers: dict[tuple[str, int], dict[str, Any]] = {}
        self.ended: dict[str, tuple[str, list[Metric]]] = {}
        self.begun: list[tuple[int, str]] = []
        self.stored: dict[str, Finished] = {}
        self.revoked: list[str] = []
        self.collect = Remote(list)
        self.answer = Remote(self._answer)
        self._stages: dict[str, Stage] = {}
        probes = [swept_stages(trial_graph(request, {"select.threshold": t})) for t in (0, 1)]
        common = {s.key for s in probes[0]} & {s.key for s in probes[1]}
        context = Context(
            store=self,  # type: ignore[arg-type]
            data="d",
            augment=AugmentConfig(),
            dataset=[],
            desk=self,
            resources=Resources(storage="/nowhere", workers=1),
        )
        self.make = lambda: Foreman(
            request,
            [stage for stage in probes[0] if stage.key in common],
            context,
            self,  # type: ignore[arg-type]
            cpus=2,
            exchange=type("Exchange", (), {"collect": Remote(self._asked), "answer": self.answer}),
            log=self,  # type: ignore[arg-type]
            numbers={},
        )

    # ray
    def options(self, **_: Any) -> Stand:
        return self

    def remote(self, stage: Stage, inputs: Mapping[str, Finished], context: Context) -> str:
        self._stages[stage.name] = stage
        self.ran.append(stage.name)
        return stage.name

    def wait(self, refs: list[str], **_: Any) -> tuple[list[str], list[str]]:
        return refs[:1], refs[1:]

    def get(self, ref: Any, **_: Any) -> Any:
        if not isinstance(ref, str):
            return ref
        if ref in self.fail:
            raise RayTaskError("stage", "trace", self.fail[ref]).as_instanceof_cause()
        return made(self._stages[ref])

    # exchange
    def _asked(self) -> list[Ask]:
        asks, self.asks = self.asks, []
        return asks

    def _answer(self, name: str, goal: int, report: dict[str, Any]) -> None:
        self.answers[name, goal] = report

    # store
    def find(self, data: str, keys: Any) -> dict[str, Finished]:
        return {key: self.stored[key] for key in keys if key in self.stored}

    def values(self, finished: Finished) -> Mapping[str, Any]:
        if self.damaged:
            raise DamagedArtifact(finished, "manifest.json fails its checksum")
        return finished.values

    def revoke(self, finished: Finished, reason: str) -> None:
        self.revoked.append(finished.name)

    # log and display
    def begin(self, number: int, name: str, values: Any, tags: Any) -> None:
        self.begun.append((number, name))

    def end(self, name: str, state: str, metrics: list[Metric], note: str = "") -> None:
        self.ended[name] = (state, metrics)

    def say(self, line: str) -> None: ...

    def started(self, stage: Stage) -> None: ...

    def finished(self, stage: Stage, values: dict[str, Any]) -> None: ...

    def news(self, news: object) -> None: ...


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch, request_for: Callable[..., Request]) -> Any:
    def make(fail: Mapping[str, Exception] | None = None, damaged: bool = False) -> Stand:
        request = request_for(recipe=None, rounds=ROUNDS)
        request = type(request)(
            **{
                **vars(request),
                "workers": 1,
                "recipe": request.recipe.replace(architectures=("resnet8",), compare=()),
            }
        )
        stand = Stand(request, fail or {}, damaged)
        for name in ("wait", "get"):
            monkeypatch.setattr(executor_module.ray, name, getattr(stand, name))
        monkeypatch.setattr(executor_module.ray, "cancel", lambda *_, **__: None)
        monkeypatch.setattr(executor_module, "_remote_stage", stand)
        return stand

    return make


def serve(stand: Stand, foreman: Foreman, *asks: Ask, turns: int = 40) -> None:
    stand.asks += asks
    left = iter(range(turns))
    foreman.serve(lambda: next(left, None) is not None)


def everything(threshold: int) -> Ask:
    return Ask(values={"select.threshold": threshold}, goal=ROUNDS, reach=ROUNDS)


NAMES = [label({"select.threshold": t}) for t in (0, 1, 2)]


def test_shared_stages_run_once_and_every_trial_is_answered(stand: Any) -> None:
    played = stand()
    foreman = played.make()
    serve(played, foreman, everything(0), everything(1), everything(0))
    assert len(played.ran) == len(set(played.ran))
    assert sum(name.startswith("dense") for name in played.ran) == 1
    assert played.begun == [(1, NAMES[0]), (2, NAMES[1])]
    assert played.answers[NAMES[0], ROUNDS]["steps"] == 200
    assert [(r.trial, r.state, r.test_accuracy) for r in foreman.rows] == [
        (1, "finished", 0.9),
        (2, "finished", 0.9),
    ]
    state, metrics = played.ended[NAMES[0]]
    assert state == "finished"
    by_name = {m.name: m.value for m in metrics}
    assert by_name["search_steps"] == 200
    assert by_name["steps_saved"] == pytest.approx(0.5)


def test_a_gated_trial_runs_no_further_than_it_asked(stand: Any) -> None:
    played = stand()
    foreman = played.make()
    values = {"select.threshold": 1}
    serve(played, foreman, Ask(values=values, goal=0, reach=0))
    assert not any(name.startswith("round") for name in played.ran)
    serve(played, foreman, Ask(values=values, goal=1, reach=1))
    assert "round:resnet8:prac:1:threshold=1" in played.ran
    assert "judge:resnet8:prac:2:threshold=1" not in played.ran
    assert played.answers[NAMES[1], 1]["validation_accuracy"] == pytest.approx(0.6)
    foreman.close(stopped=True)
    (row,) = foreman.rows
    assert (row.state, row.rounds, row.test_accuracy) == ("stopped", 2, None)


def test_an_empty_set_ends_its_own_trial_only(stand: Any) -> None:
    played = stand({"select:resnet8:prac:1:threshold=1": EmptySetError("the set is empty")})
    foreman = played.make()
    serve(played, foreman, everything(0), everything(1), everything(2))
    foreman.close(stopped=False)
    assert [row.state for row in foreman.rows] == ["finished", "empty", "finished"]
    assert "the set is empty" in played.answers[NAMES[1], ROUNDS]["failed"]
    assert played.ran.count("select:resnet8:prac:1:threshold=1") == 1


def test_a_failed_shared_stage_fails_all_and_a_lost_trial_is_told(stand: Any) -> None:
    played = stand({"reduce:resnet8:prac": PracError("no events")})
    foreman = played.make()
    serve(played, foreman, everything(0), everything(1))
    assert [row.state for row in foreman.rows] == ["failed", "failed"]
    lost = stand()
    foreman = lost.make()
    serve(lost, foreman, everything(0), turns=1)
    foreman.close(stopped=False)
    assert [row.state for row in foreman.rows] == ["failed"]


def test_what_the_store_has_is_not_run(stand: Any) -> None:
    played = stand()
    foreman = played.make()
    serve(played, foreman, everything(0))
    again = stand()
    again.stored = {stage.key: made(stage) for stage in foreman.stages.values()}
    serve(again, again.make(), everything(0), turns=5)
    assert again.ran == []
    assert again.answers[NAMES[0], ROUNDS]["steps"] == 200


def test_a_damaged_stage_is_revoked_and_run_again(stand: Any) -> None:
    played = stand(damaged=True)
    graph = swept_stages(trial_graph(played.make()._request, {"select.threshold": 0}))
    played.stored = {graph[0].key: made(graph[0])}
    serve(played, played.make(), everything(0))
    assert played.revoked == ["dense:resnet8:prac"]
    assert played.ran.count("dense:resnet8:prac") == 1
