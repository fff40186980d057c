"""A stage that another pipeline has made meanwhile is taken, not made again."""

from __future__ import annotations

import dataclasses
import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prac.config.sections import AugmentConfig
from prac.errors import EventLogError
from prac.lottery.graph import Stage
from prac.lottery.kinds import StageKind
from prac.lottery.local import LocalEnv
from prac.lottery.outputs import Cost, CountFacts, Made
from prac.lottery.round_events import event_folder
from prac.lottery.run import clean, run_stage
from prac.lottery.stage_config import ReduceConfig
from prac.lottery.store import DamagedArtifact, Finished, MemoryStore, StoreAway
from prac.storage import Folder

STAGE = Stage(
    name="reduce:conv4:prac",
    kind="reduce",
    architecture="conv4",
    method="prac",
    round_index=0,
    config=ReduceConfig(),
    inputs={},
    key="k" * 32,
)
OTHER = Finished(
    key=STAGE.key, name=STAGE.name, run_id="other", where="/nowhere", manifest_sha256=""
)


class PlayedStore(MemoryStore):
    """Answers each look-up with the next of these."""

    def __init__(self, *answers: Finished | None) -> None:
        super().__init__()
        self.answers = list(answers)
        self.committed: list[Made] = []

    def find_one(self, stage: Stage) -> Finished | None:
        assert stage is STAGE
        return self.answers.pop(0)

    def commit(self, stage: Stage, made: Made, *, data: str, started: float) -> Finished:
        assert data == "d" * 32
        assert 0 <= time.time() - started < 100
        self.committed.append(made)
        return super().commit(stage, made, data=data, started=started)


@pytest.fixture
def env(tmp_path: Path) -> LocalEnv:
    def load() -> Any:
        raise AssertionError("no images are needed")

    return LocalEnv(
        data="d" * 32, load=load, augment=AugmentConfig(), storage=Folder(tmp_path / "work")
    )


def _does(monkeypatch: pytest.MonkeyPatch, work: Callable[[], Made]) -> None:
    monkeypatch.setattr(StageKind, "step", lambda kind: lambda config, work_, **_: work())


def _fails(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def work() -> Made:
        raise error

    _does(monkeypatch, work)


def test_made_before_it_began(env: LocalEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    _fails(monkeypatch, AssertionError("it was made again"))
    assert run_stage(STAGE, {}, env, PlayedStore(OTHER)) is OTHER


def test_made_while_it_was_at_work(env: LocalEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    _does(monkeypatch, lambda: Made(facts=CountFacts(events=3)))
    store = PlayedStore(None, OTHER)
    assert run_stage(STAGE, {}, env, store) is OTHER
    assert store.committed == []


def test_made_while_its_files_were_cleaned_up(
    env: LocalEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fails(monkeypatch, EventLogError("epoch 3 is not complete"))
    assert run_stage(STAGE, {}, env, PlayedStore(None, OTHER)) is OTHER


def test_a_failure_that_is_its_own(env: LocalEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    _fails(monkeypatch, EventLogError("epoch 3 is not complete"))
    with pytest.raises(EventLogError, match="epoch 3"):
        run_stage(STAGE, {}, env, PlayedStore(None, None))


def _dense(store: MemoryStore) -> Finished:
    stage = dataclasses.replace(STAGE, kind="dense", name="dense", key="e" * 32)
    made = Made(facts=CountFacts(events=0))
    return MemoryStore.commit(store, stage, made, data="d" * 32, started=0)


def test_events_that_are_gone_are_the_dense_run_s_damage(
    env: LocalEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fails(monkeypatch, EventLogError("epoch 3 is not complete"))
    store = PlayedStore(None, None)
    dense = _dense(store)
    event_folder(env.work(dense.key)).write("epoch-2", b"events")
    with pytest.raises(DamagedArtifact, match="epoch 3 is not complete") as caught:
        run_stage(STAGE, {"dense": dense}, env, store)
    assert caught.value.finished == dense


def test_events_in_a_storage_that_is_away_are_no_damage(
    env: LocalEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fails(monkeypatch, EventLogError("epoch 0 is not complete"))
    store = PlayedStore(None, None)
    dense = _dense(store)
    with pytest.raises(StoreAway, match=f"events of stage dense are away.*{dense.run_id}") as said:
        run_stage(STAGE, {"dense": dense}, env, store)
    assert "\n" not in str(said.value)


def test_a_store_that_is_away_is_not_asked_again(
    env: LocalEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fails(monkeypatch, StoreAway("the store is away"))
    store = PlayedStore(None)
    with pytest.raises(StoreAway):
        run_stage(STAGE, {}, env, store)
    assert store.answers == []


def test_its_error_travels_between_processes() -> None:
    error = pickle.loads(pickle.dumps(StoreAway("away")))  # noqa: S301
    assert type(error) is StoreAway
    assert str(error) == "away"


# --- what a stage leaves beside its outputs ------------------------------------------------------


def test_a_stage_gains_time_and_energy(env: LocalEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    def work() -> Made:
        time.sleep(0.02)
        return Made(facts=CountFacts(events=3), cost=Cost(steps=7))

    _does(monkeypatch, work)
    store = PlayedStore(None, None)
    finished = run_stage(STAGE, {}, env, store)
    made = store.read(finished)
    assert made.facts == CountFacts(events=3)
    assert made.cost.steps == 7
    assert 0.02 <= made.cost.seconds < 5
    assert made.cost.energy_source
    assert made.cost.joules is None or made.cost.joules >= 0


def test_what_is_cleaned_up(env: LocalEnv) -> None:
    def left(kind: str) -> set[str]:
        stage = dataclasses.replace(STAGE, kind=kind)
        work = env.work(stage.key)
        work.write("checkpoint.safetensors", b"x")
        work.child("events").write("0.parquet", b"x")
        work.child("train-of-a-killed-run").write("x", b"x")
        clean(stage, env)
        found = {*work.names(), *work.folders()}
        work.delete()
        return found

    # The events of the dense run are read again by whoever scores by them.
    assert left("dense") == {"events"}
    assert left("round") == left("judge") == left("proxy") == set()
    # What has no work folder cleans nothing up.
    assert left("reduce") == {"checkpoint.safetensors", "events", "train-of-a-killed-run"}
