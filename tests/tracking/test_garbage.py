"""Clean-up: what no finished stage needs is found and goes; all else stays, others' things too."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from prac.storage import Folder
from prac.tracking.garbage import delete_garbage, find_garbage
from prac.tracking.registry import list_tickets
from prac.tracking.store import STAGES, Store

DENSE, ROUND, OPEN = "a" * 32, "b" * 32, "c" * 32


def _stage(store: Store, tmp_path: Path, key: str, kind: str) -> str:
    folder = tmp_path / f"stage-{key[0]}"
    folder.mkdir()
    (folder / "file").write_text("x" * 100)
    finished = store.commit(
        experiment=STAGES,
        key=key,
        name=kind,
        data="d",
        folder=folder,
        values={"steps": 1},
        started=time.time() - 9000,
        tags={"kind": kind},
    )
    return finished.run_id


@pytest.fixture
def store(tmp_path: Path, empty_database_file: Path) -> Store:
    shutil.copy(empty_database_file, tmp_path / "mlflow.db")
    store = Store(f"sqlite:///{tmp_path / 'mlflow.db'}")
    store.prepare()
    return store


@pytest.fixture
def storage(tmp_path: Path) -> Folder:
    storage = Folder(tmp_path / "prac-runs")
    for key in (DENSE, ROUND, OPEN):
        storage.child(key, "events").write("events.parquet", b"events")
    storage.child("reports").write("report.html", b"page")
    return storage


def test_only_what_no_finished_stage_needs_is_garbage(
    store: Store, storage: Folder, tmp_path: Path
) -> None:
    _stage(store, tmp_path, DENSE, "dense")
    _stage(store, tmp_path, ROUND, "round")
    client = store.client
    experiment = store.experiment(STAGES)
    running = client.create_run(experiment, start_time=0, run_name="killed").info
    client.log_text(running.run_id, "half", "half.txt")
    revoked = _stage(store, tmp_path, "e" * 32, "round")
    client.set_tag(revoked, "prac.revoked", "mask is missing")
    foreign = client.create_experiment("somebody else's")
    client.create_run(foreign, start_time=0)
    found = find_garbage(store, storage, min_age_seconds=-1)
    assert {(g.kind, g.where.rpartition("/")[2]) for g in found} == {
        ("run", running.run_id),
        ("run", revoked),
        ("folder", ROUND),
        ("folder", OPEN),
    }
    delete_garbage(store, found)
    assert find_garbage(store, storage, min_age_seconds=-1) == []
    assert not list(Path(running.artifact_uri.removeprefix("file://")).glob("*"))
    assert storage.folders() == [DENSE, "reports"]
    assert len(client.search_runs([foreign])) == 1


def test_what_is_young_may_be_at_work(store: Store, storage: Folder, tmp_path: Path) -> None:
    _stage(store, tmp_path, DENSE, "dense")
    store.client.create_run(store.experiment(STAGES))
    assert find_garbage(store, storage, min_age_seconds=3600) == []


def test_a_storage_of_another_store_is_left_alone(store: Store, storage: Folder) -> None:
    assert find_garbage(store, storage, min_age_seconds=-1) == []
    ours = find_garbage(store, storage, min_age_seconds=-1, storage_is_ours=True)
    assert {g.name for g in ours} == {DENSE, ROUND, OPEN}


def test_artifacts_and_versions_without_a_run_go(
    store: Store, commit_ticket: Callable[..., str], tmp_path: Path
) -> None:
    for seed in (1, 2):
        folder = tmp_path / f"ticket-{seed}"
        folder.mkdir()
        commit_ticket(store, folder, round_index=1, seed=seed)
    kept, dropped = list_tickets(store, sort="name")
    store.client.delete_run(dropped.run_id)
    root = Path(store.client.get_run(kept.run_id).info.artifact_uri.removeprefix("file://"))
    orphan = root.parent.parent / ("f" * 32)
    (orphan / "artifacts").mkdir(parents=True)
    found = find_garbage(store, None, min_age_seconds=-1)
    assert {(g.kind, g.where) for g in found} == {
        ("version", dropped.where),
        ("artifacts", str(orphan)),
    }
    delete_garbage(store, found)
    assert [t.where for t in list_tickets(store)] == [kept.where]
    assert not orphan.exists()
    assert (root / "ticket" / "ticket.json").is_file()
