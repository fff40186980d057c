"""A stage that another pipeline has made meanwhile is taken, not made again."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from prac.config.sections import AugmentConfig
from prac.distributed import stages
from prac.distributed.context import Context, Resources
from prac.distributed.executor import run_stage
from prac.errors import EventLogError
from prac.lottery.graph import Stage
from prac.tracking.store import Finished, StoreAway

STAGE = Stage(
    name="reduce:conv4:prac",
    kind="reduce",
    architecture="conv4",
    method="prac",
    round_index=0,
    config={},
    inputs={},
    key="k" * 32,
)
OTHER = Finished(
    key=STAGE.key, name=STAGE.name, run_id="other", artifact_uri="/nowhere", manifest_sha256=""
)


class PlayedStore:
    """Answers each look-up with the next of these."""

    def __init__(self, *answers: Finished | None) -> None:
        self.answers = list(answers)

    def find_one(self, experiment: str, key: str) -> Finished | None:
        assert (experiment, key) == ("prac-stages", STAGE.key)
        return self.answers.pop(0)

    def values(self, finished: Finished) -> dict[str, Any]:
        return {"made": "elsewhere"}


def _run(store: PlayedStore, folder: Path) -> Finished:
    context = Context(
        store=store,  # type: ignore[arg-type]
        data="d" * 32,
        augment=AugmentConfig(),
        dataset=[],
        desk=None,
        resources=Resources(storage=str(folder), workers=1),
    )
    return run_stage(STAGE, {}, context)


def _fails(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def work(running: Any) -> None:
        raise error

    monkeypatch.setattr(stages, "RUN", {"reduce": work})


def test_made_before_it_began(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _fails(monkeypatch, AssertionError("it was made again"))
    finished = _run(PlayedStore(OTHER), tmp_path)
    assert finished.run_id == "other"
    assert finished.values == {"made": "elsewhere"}


def test_made_while_its_files_were_cleaned_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fails(monkeypatch, EventLogError("epoch 3 is not complete"))
    assert _run(PlayedStore(None, OTHER), tmp_path).run_id == "other"


def test_a_failure_that_is_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _fails(monkeypatch, EventLogError("epoch 3 is not complete"))
    with pytest.raises(EventLogError, match="epoch 3"):
        _run(PlayedStore(None, None), tmp_path)


def test_a_store_that_is_away_is_not_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fails(monkeypatch, StoreAway("the MLflow store is away"))
    store = PlayedStore(None)
    with pytest.raises(StoreAway):
        _run(store, tmp_path)
    assert store.answers == []


def test_its_error_travels_between_processes() -> None:
    error = pickle.loads(pickle.dumps(StoreAway("away")))  # noqa: S301
    assert type(error) is StoreAway
    assert str(error) == "away"
