"""Clean-up: what no finished stage needs is found and goes; all else stays, others' things too."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.stored import MASK_FACTS, commit_small

from prac.lottery.kinds import KINDS
from prac.lottery.outputs import Facts, TrainedFacts
from prac.lottery.store import Finished, StoreAway
from prac.storage import Folder
from prac.tracking.connection import STAGES
from prac.tracking.garbage import delete_garbage, find_garbage
from prac.tracking.registry import list_tickets
from prac.tracking.store import MlflowStore

DENSE, ROUND, OPEN = "a" * 32, "b" * 32, "c" * 32


def _stage(store: MlflowStore, key: str, kind: str) -> str:
    """A finished stage of long ago; the id of its run."""
    files = {"file": b"x" * 100}
    started = time.time() - 9000
    return commit_small(store, key, kind=kind, files=files, started=started).run_id


def _empty_bin(store: MlflowStore, run_id: str) -> None:
    """As `mlflow gc` does with its row."""
    assert store.database is not None
    with contextlib.closing(sqlite3.connect(store.database)) as database:
        database.execute("PRAGMA foreign_keys = off")
        database.execute("delete from runs where run_uuid = ?", (run_id,))
        database.commit()


@pytest.fixture
def storage(tmp_path: Path) -> Folder:
    storage = Folder(tmp_path / "prac-runs")
    for key in (DENSE, ROUND, OPEN):
        storage.child(key, "events").write("events.parquet", b"events")
    storage.child("reports").write("report.html", b"page")
    return storage


def test_only_what_no_finished_stage_needs_is_garbage(
    store: MlflowStore, storage: Folder, tmp_path: Path
) -> None:
    _stage(store, DENSE, "dense")
    _stage(store, ROUND, "round")
    client = store.client
    experiment = store.experiment(STAGES)
    running = client.create_run(experiment, start_time=0, run_name="killed").info
    client.log_text(running.run_id, "half", "half.txt")
    revoked = _stage(store, "e" * 32, "round")
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


@pytest.mark.parametrize(
    ("kind", "facts"),
    [
        ("proxy", TrainedFacts(epochs=1, budget_epochs=1, best_epoch=1, best_accuracy=0.5)),
        ("round", MASK_FACTS),
        ("judge", Facts()),
    ],
)
def test_a_finished_training_but_the_dense_one_keeps_nothing_in_the_storage(
    store: MlflowStore, storage: Folder, kind: str, facts: Facts
) -> None:
    commit_small(store, DENSE, kind="dense")
    commit_small(store, ROUND, kind=kind, facts=facts)
    found = {g.name: g.why for g in find_garbage(store, storage, min_age_seconds=-1)}
    assert found.keys() == {ROUND, OPEN}
    assert found[ROUND] == "its stage is finished and keeps nothing here"


def test_every_kind_that_has_a_folder_while_it_runs_is_tried_above() -> None:
    works = {kind.name for kind in KINDS.values() if kind.works}
    assert works == {"dense", "proxy", "round", "judge"}


def test_what_is_young_may_be_at_work(store: MlflowStore, storage: Folder) -> None:
    _stage(store, DENSE, "dense")
    store.client.create_run(store.experiment(STAGES))
    assert find_garbage(store, storage, min_age_seconds=3600) == []


def test_a_storage_of_another_store_is_left_alone(store: MlflowStore, storage: Folder) -> None:
    assert find_garbage(store, storage, min_age_seconds=-1) == []
    ours = find_garbage(store, storage, min_age_seconds=-1, storage_is_ours=True)
    assert {g.name for g in ours} == {DENSE, ROUND, OPEN}


def test_artifacts_and_versions_without_a_run_go(
    store: MlflowStore, commit_ticket: Callable[..., Finished], tmp_path: Path
) -> None:
    for seed in (1, 2):
        commit_ticket(store, round_index=1, seed=seed)
    kept, dropped = list_tickets(store, sort="name")
    store.client.delete_run(dropped.run_id)
    # In MLflow's bin it can be restored; a version can't.
    assert find_garbage(store, None, min_age_seconds=-1) == []
    _empty_bin(store, dropped.run_id)
    binned = tmp_path / "mlruns" / "prac-tickets" / dropped.run_id
    root = Path(store.client.get_run(kept.run_id).info.artifact_uri.removeprefix("file://"))
    orphan = root.parent.parent / ("f" * 32)
    (orphan / "artifacts").mkdir(parents=True)
    found = find_garbage(store, None, min_age_seconds=-1)
    assert {(g.kind, g.where) for g in found} == {
        ("version", dropped.where),
        ("artifacts", str(orphan)),
        ("artifacts", str(binned)),
    }
    delete_garbage(store, found)
    assert [t.where for t in list_tickets(store)] == [kept.where]
    assert not orphan.exists()
    assert (root / "ticket" / "ticket.json").is_file()


def test_events_of_runs_without_a_cluster_are_theirs(store: MlflowStore, storage: Folder) -> None:
    _stage(store, DENSE, "dense")
    storage.child("stages", ROUND).write("run.json", b"{}")
    assert {g.name for g in find_garbage(store, storage, min_age_seconds=-1)} == {OPEN}


def test_what_can_be_restored_keeps_its_events(store: MlflowStore, storage: Folder) -> None:
    _stage(store, ROUND, "round")
    store.client.delete_run(_stage(store, DENSE, "dense"))
    found = find_garbage(store, storage, min_age_seconds=-1)
    assert {g.name for g in found} == {ROUND, OPEN}


def test_a_store_that_can_not_say_has_no_garbage(
    store: MlflowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.exceptions import MlflowException

    _stage(store, DENSE, "dense")

    def locked(run_id: str) -> None:
        raise MlflowException("database is locked")

    monkeypatch.setattr(store.client, "get_run", locked)
    with pytest.raises(StoreAway, match="database is locked"):
        find_garbage(store, None, min_age_seconds=-1)


def test_a_copied_store_leaves_the_original_s_artifacts(store: MlflowStore, tmp_path: Path) -> None:
    _stage(store, DENSE, "dense")
    revoked = _stage(store, "e" * 32, "round")
    store.client.set_tag(revoked, "prac.revoked", "mask is missing")
    later = tmp_path / "copy"
    later.mkdir()
    shutil.copy(tmp_path / "mlflow.db", later)
    shutil.copytree(tmp_path / "mlruns", later / "mlruns")
    # The copy doesn't know of this run of the original's.
    _stage(store, ROUND, "round")
    before = sorted((tmp_path / "mlruns").rglob("*"))
    copy = MlflowStore(f"sqlite:///{later / 'mlflow.db'}")
    found = find_garbage(copy, None, min_age_seconds=-1)
    assert [g.where for g in found] == [revoked]
    delete_garbage(copy, found)
    assert sorted((tmp_path / "mlruns").rglob("*")) == before
