"""Finished stages in MLflow: found by key, verified when they are read."""

from __future__ import annotations

import contextlib
import pickle
import sqlite3
import time
import uuid
from pathlib import Path

import pytest

from prac.errors import StoreError
from prac.tracking.store import (
    DESCRIPTIONS,
    MANIFEST,
    PIPELINES,
    STAGES,
    TICKETS,
    DamagedArtifact,
    Metric,
    Store,
    default_tracking_uri,
)


def _new() -> str:
    return uuid.uuid4().hex


def test_what_is_committed_is_found_and_read(any_store: Store, commit) -> None:
    key, data = _new(), _new()
    files = {"a.bin": b"hello", "sub/b.bin": b"world"}
    made = commit(any_store, key, data=data, files=files, values={"steps": 3, "list": [0.5]})
    (found,) = any_store.find(data, [key, "other"]).values()
    assert (found.key, found.run_id, found.name) == (key, made.run_id, f"stage:{key}")
    assert found.manifest_sha256 == made.manifest_sha256 != ""
    assert any_store.values(found) == any_store.values(made) == {"steps": 3, "list": [0.5]}
    assert any_store.read(found, "a.bin", Path.read_bytes) == b"hello"
    assert any_store.read(found, "sub/b.bin", Path.read_bytes) == b"world"
    assert any_store.read_manifest(found)["sha256"].keys() == files.keys()


def test_only_finished_runs_of_the_same_data_are_found(any_store: Store, commit) -> None:
    data, client = _new(), any_store.client
    keys = {name: _new() for name in ("finished", "running", "failed", "revoked", "elsewhere")}
    made = {name: commit(any_store, key, data=data) for name, key in keys.items()}
    client.update_run(made["running"].run_id, status="RUNNING")
    client.set_terminated(made["failed"].run_id, "FAILED")
    any_store.revoke(made["revoked"], "a test")
    client.set_tag(made["elsewhere"].run_id, "prac.data", "other data")
    assert set(any_store.find(data, keys.values())) == {keys["finished"]}
    assert any_store.find("no such data", keys.values()) == {}
    assert client.get_run(made["revoked"].run_id).data.tags["prac.revoked"] == "a test"


def test_the_newest_of_two_runs_with_one_key_is_found(store: Store, commit) -> None:
    commit(store, "k", started=time.time() - 60)
    newer = commit(store, "k")
    assert store.find("d1", ["k"])["k"].run_id == newer.run_id


def test_stages_tickets_and_pipelines_are_all_looked_up(store: Store, commit) -> None:
    for experiment in (STAGES, TICKETS, PIPELINES):
        commit(store, experiment, experiment=experiment)
    assert set(store.find("d1", [STAGES, TICKETS, PIPELINES])) == {STAGES, TICKETS, PIPELINES}


def test_a_commit_that_fails_leaves_a_failed_run(store: Store, commit) -> None:
    def fail(run_id: str, artifact_uri: str) -> None:
        # All is logged by now, and it is not finished yet.
        assert (Path(artifact_uri) / MANIFEST).is_file()
        assert store.client.get_run(run_id).info.status == "RUNNING"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        commit(store, before_finish=fail)
    (run,) = store.client.search_runs([store.experiment(STAGES)])
    assert run.info.status == "FAILED"
    assert store.find("d1", ["k1"]) == {}


def _flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize(
    ("file", "what"),
    [("a.bin", "a.bin fails its checksum"), (MANIFEST, "manifest.json fails its checksum")],
)
def test_a_changed_byte_is_found_before_it_is_read(store: Store, commit, file, what) -> None:
    made = commit(store)
    _flip(Path(made.artifact_uri) / file)
    (found,) = store.find("d1", ["k1"]).values()
    with pytest.raises(DamagedArtifact, match=what) as caught:
        store.read(found, "a.bin", lambda path: pytest.fail("read all the same"))
    assert caught.value.finished == found
    assert "\n" not in str(caught.value)
    assert found.run_id in str(caught.value)


@pytest.mark.parametrize("file", ["a.bin", MANIFEST])
def test_a_missing_file_is_found(store: Store, commit, file) -> None:
    made = commit(store)
    (Path(made.artifact_uri) / file).unlink()
    with pytest.raises(DamagedArtifact, match=f"{file} is missing"):
        store.read(made, "a.bin", Path.read_bytes)


def test_a_file_that_the_manifest_does_not_name_is_not_read(store: Store, commit) -> None:
    made = commit(store)
    (Path(made.artifact_uri) / "b.bin").write_bytes(b"slipped in")
    with pytest.raises(DamagedArtifact, match=r"b\.bin fails its checksum"):
        store.read(made, "b.bin", Path.read_bytes)


def test_values_of_a_damaged_manifest(store: Store, commit) -> None:
    _flip(Path(commit(store).artifact_uri) / MANIFEST)
    (found,) = store.find("d1", ["k1"]).values()
    with pytest.raises(DamagedArtifact, match="manifest"):
        store.values(found)


def test_a_missing_artifact_of_a_server(server: str, commit) -> None:
    store = Store(server)
    store.prepare()
    made = commit(store, _new(), data=_new())
    with pytest.raises(DamagedArtifact, match=r"nothing\.bin"):
        store.read(made, "nothing.bin", Path.read_bytes)


def test_damaged_artifacts_cross_processes(store: Store, commit) -> None:
    error = DamagedArtifact(commit(store), "a.bin is missing")
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (copy.finished, copy.what, str(copy)) == (error.finished, error.what, str(error))


def test_experiments_have_descriptions(any_store: Store) -> None:
    for name in (STAGES, PIPELINES, TICKETS):
        experiment = any_store.client.get_experiment(any_store.experiment(name))
        assert experiment.name == name
        assert experiment.tags["mlflow.note.content"] == DESCRIPTIONS[name]


def test_another_store_finds_the_same_experiments(store: Store) -> None:
    other = Store(store.tracking_uri)
    other.prepare()
    for name in (STAGES, PIPELINES, TICKETS):
        assert other.experiment(name) == store.experiment(name)


def test_metrics_parameters_tags_and_note(any_store: Store, commit) -> None:
    metrics = [Metric(name="epoch/loss", value=1 / (k + 1), step=k) for k in range(3)]
    parameters = {f"train.p{k}": k for k in range(150)}  # more than one batch takes
    made = commit(
        any_store,
        _new(),
        data=_new(),
        metrics=metrics,
        parameters=parameters,
        tags={"architecture": "conv4"},
        note="**what it is**",
    )
    history = any_store.client.get_metric_history(made.run_id, "epoch/loss")
    assert [(m.step, m.value) for m in sorted(history, key=lambda m: m.step)] == [
        (0, 1.0),
        (1, 0.5),
        (2, 1 / 3),
    ]
    run = any_store.client.get_run(made.run_id)
    assert run.data.params == {name: str(value) for name, value in parameters.items()}
    assert run.data.tags["architecture"] == "conv4"
    assert run.data.tags["mlflow.note.content"] == "**what it is**"
    assert run.info.status == "FINISHED"
    assert run.info.run_name == made.name


def test_artifacts_lie_beside_the_embedded_database(
    store: Store, commit, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir("/")
    where = Path(commit(store).artifact_uri)
    assert where.is_relative_to(tmp_path / "mlruns" / STAGES)


def test_a_store_is_pickled_as_its_address(store: Store, commit) -> None:
    made = commit(store)
    text = pickle.dumps(store)
    assert len(text) < 500
    copy = pickle.loads(text)  # noqa: S301
    assert copy.find("d1", ["k1"])["k1"].run_id == made.run_id


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:9", "sqlite:////proc/nowhere/mlflow.db", "nonsense://x"]
)
def test_a_store_that_cannot_be_reached(address: str) -> None:
    started = time.monotonic()
    with pytest.raises(StoreError, match="can't be used") as caught:
        Store(address).prepare()
    assert address in str(caught.value)
    assert "MLFLOW_TRACKING_URI" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - started < 60  # MLflow alone would try for four minutes


def test_a_store_that_is_gone_in_mid_run(store: Store, commit, tmp_path: Path) -> None:
    made = commit(store)
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
        database.execute("drop table runs")
    for use in (
        lambda: commit(store, "k2"),
        lambda: store.find("d1", ["k1"]),
        lambda: store.revoke(made, "a test"),
    ):
        with pytest.raises(StoreError, match="failed") as caught:
            use()
        assert "\n" not in str(caught.value)


def test_the_tracking_uri_is_the_environment_s_or_embedded(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert default_tracking_uri(tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.chdir(tmp_path)
    assert default_tracking_uri() == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert default_tracking_uri(tmp_path) == "http://127.0.0.1:5000"


def test_what_is_on_this_machine_alone() -> None:
    assert Store("sqlite:////x/mlflow.db").is_local
    assert not Store("http://mlflow:5000").is_local
