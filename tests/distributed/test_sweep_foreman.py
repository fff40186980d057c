"""The foreman on a played cluster: stages shared, failures kept to their trials, goals answered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from support.played import Asked, PlayedTasks, Recorder, RevokingStore, plain_made, played_context

from prac.analysis.metric import Metric
from prac.analysis.trials import COSTS, SweepResults, best_trial
from prac.distributed.executor import RayExecutor
from prac.distributed.sweep.foreman import Foreman
from prac.distributed.sweep.trials import Ask, follow_trial
from prac.errors import EmptySetError, PracError
from prac.lottery.graph import Stage
from prac.lottery.outputs import Made
from prac.lottery.request import Request
from prac.lottery.room import Room
from prac.lottery.store import DamagedArtifact, Finished
from prac.sweep.space import label
from prac.sweep.union import swept_stages, trial_graph

ROUNDS = 2


class Trials:
    """The trials of a sweep, and the log of what becomes of them."""

    def __init__(self) -> None:
        self.asks: list[Ask] = []
        self.answers: dict[tuple[str, int], dict[str, Any]] = {}
        self.begun: list[tuple[int, str]] = []
        self.ended: dict[str, tuple[str, list[Metric]]] = {}

    def ask(self, ask: Ask) -> dict[str, Any]:
        raise AssertionError("only trials wait")

    def collect(self) -> list[Ask]:
        asks, self.asks = self.asks, []
        return asks

    def answer(self, name: str, goal: int, report: dict[str, Any]) -> None:
        self.answers[name, goal] = report

    def begin(
        self, number: int, label: str, values: Mapping[str, Any], tags: Mapping[str, str]
    ) -> None:
        self.begun.append((number, label))

    def end(self, label: str, state: str, values: Iterable[Metric], note: str = "") -> None:
        self.ended[label] = (state, list(values))


class DamagedStore(RevokingStore):
    """The first stage that is read is damaged."""

    def read(self, finished: Finished) -> Made:
        if not self.revoked:
            raise DamagedArtifact(finished, "manifest.json fails its checksum")
        return super().read(finished)


class Stand:
    """A foreman on a played cluster. fail: what stages raise, by their names."""

    def __init__(
        self, storage: Path, request: Request, store: RevokingStore, fail: Mapping[str, Exception]
    ) -> None:
        self.fail, self.store = fail, store
        self.tasks, self.trials, told = PlayedTasks(play=self._make), Trials(), Recorder()
        probes = [swept_stages(trial_graph(request, {"select.threshold": t})) for t in (0, 1)]
        common = {s.key for s in probes[0]} & {s.key for s in probes[1]}
        context = played_context(storage, desk=told, workers=1)
        self.foreman = Foreman(
            request=request,
            shared=[stage for stage in probes[0] if stage.key in common],
            executor=RayExecutor(context, store, told, room=Room(cpus=2), tasks=self.tasks),
            exchange=self.trials,
            log=self.trials,
            numbers={},
        )

    def _make(self, asked: Asked) -> Finished:
        stage: Stage = asked.arguments[0]
        if asked.name in self.fail:
            raise self.fail[asked.name]
        return self.store.commit(stage, plain_made(stage), data="d", started=0.0)

    @property
    def ran(self) -> list[str]:
        return self.tasks.order

    def serve(self, *asks: Ask, turns: int = 40) -> None:
        self.trials.asks += asks
        left = iter(range(turns))
        self.foreman.serve(lambda: next(left, None) is not None)


@pytest.fixture
def stand(tmp_path: Path, request_for: Callable[..., Request]) -> Callable[..., Stand]:
    def make(
        fail: Mapping[str, Exception] | None = None, store: RevokingStore | None = None, **more: Any
    ) -> Stand:
        request = request_for(architectures=("resnet8",), compare=(), rounds=ROUNDS, **more)
        return Stand(tmp_path, request, store or RevokingStore(), fail or {})

    return make


def everything(threshold: int) -> Ask:
    return Ask(values={"select.threshold": threshold}, goal=ROUNDS, reach=ROUNDS)


NAMES = [label({"select.threshold": t}) for t in (0, 1, 2)]


def test_shared_stages_run_once_and_every_trial_is_answered(stand: Any) -> None:
    played = stand()
    foreman = played.foreman
    played.serve(everything(0), everything(1), everything(0))
    assert len(played.ran) == len(set(played.ran))
    assert sum(name.startswith("dense") for name in played.ran) == 1
    assert played.trials.begun == [(1, NAMES[0]), (2, NAMES[1])]
    assert played.trials.answers[NAMES[0], ROUNDS]["steps"] == 200
    assert [(r.trial, r.state, r.test_accuracy) for r in foreman.rows] == [
        (1, "finished", 0.9),
        (2, "finished", 0.9),
    ]
    state, metrics = played.trials.ended[NAMES[0]]
    assert state == "finished"
    by_name = {m.name: m.value for m in metrics}
    assert by_name["search_steps"] == 200
    # Of 16 epochs of 21 batches in each of the two rounds.
    assert by_name["steps_saved"] == pytest.approx(1 - 200 / (2 * 16 * 21))


def test_a_gated_trial_runs_no_further_than_it_asked(stand: Any) -> None:
    played = stand()
    foreman = played.foreman
    values = {"select.threshold": 1}
    played.serve(Ask(values=values, goal=0, reach=0))
    assert not any(name.startswith("round") for name in played.ran)
    played.serve(Ask(values=values, goal=1, reach=1))
    assert "round:resnet8:prac:1:threshold=1" in played.ran
    assert "judge:resnet8:prac:2:threshold=1" not in played.ran
    assert played.trials.answers[NAMES[1], 1]["validation_accuracy"] == pytest.approx(0.6)
    foreman.close(stopped=True)
    (row,) = foreman.rows
    assert (row.state, row.rounds, row.test_accuracy) == ("stopped", 2, None)


def test_an_empty_set_ends_its_own_trial_only(stand: Any) -> None:
    played = stand({"select:resnet8:prac:1:threshold=1": EmptySetError("the set is empty")})
    foreman = played.foreman
    played.serve(everything(0), everything(1), everything(2))
    foreman.close(stopped=False)
    assert [row.state for row in foreman.rows] == ["finished", "empty", "finished"]
    assert "the set is empty" in played.trials.answers[NAMES[1], ROUNDS]["failed"]
    assert played.ran.count("select:resnet8:prac:1:threshold=1") == 1


def test_a_failed_shared_stage_fails_all_and_a_lost_trial_is_told(stand: Any) -> None:
    played = stand({"reduce:resnet8:prac": PracError("no events")})
    foreman = played.foreman
    played.serve(everything(0), everything(1))
    assert [row.state for row in foreman.rows] == ["failed", "failed"]
    lost = stand()
    foreman = lost.foreman
    lost.serve(everything(0), turns=1)
    foreman.close(stopped=False)
    assert [row.state for row in foreman.rows] == ["failed"]


def test_what_the_store_has_is_not_run(stand: Any) -> None:
    played = stand()
    played.serve(everything(0))
    again = stand(store=played.store)
    again.serve(everything(0), turns=5)
    assert again.ran == []
    assert again.trials.answers[NAMES[0], ROUNDS]["steps"] == 200


def test_a_damaged_stage_is_revoked_and_run_again(stand: Any, request_for: Any) -> None:
    store = DamagedStore()
    request = request_for(architectures=("resnet8",), compare=(), rounds=ROUNDS)
    dense = swept_stages(trial_graph(request, {"select.threshold": 0}))[0]
    store.commit(dense, plain_made(dense), data="d", started=0.0)
    played = stand(store=store)
    played.serve(everything(0))
    assert [name for name, _ in store.revoked] == ["dense:resnet8:prac"]
    assert played.ran.count("dense:resnet8:prac") == 1


def test_a_failed_trial_is_marked_and_on_no_front(stand: Any) -> None:
    """It fails in its last judgement, when all its steps and sets are known."""
    played = stand({"judge:resnet8:prac:2:threshold=1": PracError("the disk is full")})
    played.serve(everything(0), everything(1), turns=60)
    rows = tuple(played.foreman.rows)
    assert [(row.trial, row.state, row.test_accuracy) for row in rows] == [
        (1, "finished", 0.9),
        (2, "failed", None),
    ]
    assert "the disk is full" in rows[1].note
    assert rows[1].rounds == ROUNDS
    assert played.trials.ended[NAMES[1]][0] == "failed"
    results = SweepResults(
        sweep="s",
        title="t",
        num_training_samples=1294,
        rows=rows,
        dense_test_accuracy={},
        best=best_trial(rows),
    )
    for cost in COSTS:
        assert [row.trial for row in results.front("resnet8", cost)] == [1]
    assert results.best == 1


class Refusing(Trials):
    """Notes what a trial asks for, and fails it."""

    def ask(self, ask: Ask) -> dict[str, Any]:
        self.asks.append(ask)
        raise PracError("enough")


def test_a_trial_asks_for_the_values_that_were_planned() -> None:
    exchange, planned = Refusing(), {"prune.tolerance": 0.12341}
    with pytest.raises(PracError, match="enough"):
        follow_trial({"values": planned}, exchange=exchange, rounds=ROUNDS, gated=False)
    assert [ask.values for ask in exchange.asks] == [planned]
