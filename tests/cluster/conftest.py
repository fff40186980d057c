"""The tiny pipeline that clusters run, and what an undisturbed run of it finds."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from support import services as cluster_services
from support.launch import empty_database

from prac import Mask
from prac.lottery.outputs import NEXT_MASK, SET
from prac.tracking.connection import STAGES, finished_run
from prac.tracking.store import MlflowStore

# Steps enough to be disturbed in the middle; one method, nothing judged.
WORDS = [
    *("--architectures", "conv4", "--rounds", "2", "--epochs", "8", "--workers", "2"),
    *("--compare", "--judge", "none"),
    *("--set", "prune.tolerance=none", "--set", "budget.min_round_steps=150"),
]


@dataclass(frozen=True)
class Found:
    """What a store holds: the PrAC sets' ids and the masks by stage, and the stages made."""

    sets: dict[str, np.ndarray]
    masks: dict[str, Mask]
    made: dict[str, str]

    @classmethod
    def of(cls, uri: str, *, once: bool = True) -> Found:
        """Read through the store, which verifies each file."""
        store = MlflowStore(uri)
        sets, masks, made, keys = {}, {}, {}, set()
        runs = store.search(STAGES, "attributes.status = 'FINISHED'")
        for run in runs:
            if "prac.revoked" in run.data.tags:
                continue
            finished = finished_run(run)
            name = finished.name
            kind = name.partition(":")[0]
            if kind == "select":
                sets[name] = store.read(finished)[SET].sample_ids
            elif kind in ("dense", "round"):
                masks[name] = store.read(finished)[NEXT_MASK]
            assert not once or finished.key not in keys, f"{name} was made twice"
            keys.add(finished.key)
            made[name] = finished.run_id
        return cls(sets, masks, made)

    def assert_same(self, other: Found) -> None:
        """Id for id, bit for bit."""
        assert self.sets.keys() == other.sets.keys()
        assert self.masks.keys() == other.masks.keys()
        for name, ids in self.sets.items():
            np.testing.assert_array_equal(ids, other.sets[name], err_msg=name)
        for name, mask in self.masks.items():
            assert mask.distance(other.masks[name]) == 0, name


@pytest.fixture(scope="session")
def services() -> ModuleType:
    """What a cluster consists of, as processes."""
    return cluster_services


@pytest.fixture(scope="session")
def words() -> list[str]:
    """Of the tiny pipeline."""
    return WORDS


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow database; a copy saves a server's start many seconds."""
    return empty_database(tmp_path_factory.getbasetemp())


@pytest.fixture
def tracker(tmp_path: Path, database: Path) -> Any:
    """An MLflow server on SQLite, with its artifacts through its proxy."""
    folder = tmp_path / "mlflow"
    folder.mkdir()
    shutil.copy(database, folder / "mlflow.db")
    backend = f"sqlite:///{folder}/mlflow.db"
    with cluster_services.tracker(folder, backend, str(folder / "files")) as server:
        yield server


@pytest.fixture(scope="session")
def found() -> type[Found]:
    """To read what a run left in a store."""
    return Found


@pytest.fixture(scope="session")
def reference_home(tmp_path_factory: pytest.TempPathFactory, database: Path) -> Path:
    """Where the undisturbed run on one machine left its store and its events."""
    home = tmp_path_factory.mktemp("reference")
    shutil.copy(database, home / "mlflow.db")
    run = cluster_services.pipeline(home, cluster_services.environment(home), *WORDS)
    try:
        assert run.wait() == 0, run.said
    finally:
        run.end()
    return home


@pytest.fixture(scope="session")
def reference(reference_home: Path) -> Found:
    """What the undisturbed run on one machine finds."""
    found = Found.of(f"sqlite:///{reference_home}/mlflow.db")
    assert sorted(found.sets) == ["select:conv4:prac:1", "select:conv4:prac:2"]
    assert set(found.masks) == {"dense:conv4:prac", "round:conv4:prac:1"}
    return found
