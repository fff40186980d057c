"""Finished stages in MLflow: found by key, verified when they are read."""

from __future__ import annotations

import contextlib
import dataclasses
import pickle
import shutil
import sqlite3
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from support.stored import MASK_FACTS, blob, small_stage
from support.stored import commit_small as commit

from prac.analysis.metric import Metric
from prac.data.dataset import ImageDataset
from prac.errors import StoreError
from prac.lottery.outputs import (
    NEXT_MASK,
    Cost,
    Facts,
    File,
    JudgeFacts,
    Made,
    RoundFacts,
    SetFacts,
)
from prac.lottery.store import MANIFEST, DamagedArtifact, StoreAway, seal
from prac.tracking.address import default_tracking_uri
from prac.tracking.connection import DESCRIPTIONS, PIPELINES, STAGES, TICKETS
from prac.tracking.mlflow_internals import delete_artifacts
from prac.tracking.shown import Shown
from prac.tracking.store import MlflowStore


def _new() -> str:
    return uuid.uuid4().hex


def test_what_is_committed_is_found_and_read(any_store: MlflowStore) -> None:
    key, data = _new(), _new()
    files = {"a.bin": b"hello", "sub/b.bin": b"world"}
    finished = commit(any_store, key, data=data, files=files)
    (found,) = any_store.find(data, [key, "other"]).values()
    assert found == finished == any_store.find_one(small_stage(key))
    assert (found.key, found.name) == (key, f"prune:conv4:prac:{key}")
    assert found.manifest_sha256 != ""
    made = any_store.read(found)
    assert (made.facts, made.cost) == (MASK_FACTS, Cost(steps=3))
    assert made[blob("a.bin")] == b"hello"
    assert made[blob("sub/b.bin")] == b"world"
    assert blob("sub/b.bin") in made.files
    assert blob("c.bin") not in made.files
    assert any_store.manifest(found).sha256.keys() == {*files, NEXT_MASK.name}


def test_only_finished_runs_of_the_same_data_are_found(any_store: MlflowStore) -> None:
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


def test_the_newest_of_two_runs_with_one_key_is_found(store: MlflowStore) -> None:
    commit(store, "k", started=time.time() - 60)
    newer = commit(store, "k")
    assert store.find("d1", ["k"])["k"].run_id == newer.run_id


def test_stages_tickets_and_pipelines_are_all_looked_up(
    store: MlflowStore, commit_ticket, digits_data: ImageDataset
) -> None:
    data = digits_data.fingerprint
    finished = [commit_ticket(store, round_index=1)]
    finished += [
        commit(store, kind, data=data, kind=kind, facts=facts)
        for kind, facts in (("prune", MASK_FACTS), ("report", Facts()))
    ]
    assert list(store.find(data, [f.key for f in finished]).values()) == [
        finished[1],
        finished[0],
        finished[2],
    ]
    homes = [store.client.get_run(f.run_id).info.experiment_id for f in finished]
    assert homes == [store.experiment(name) for name in (TICKETS, STAGES, PIPELINES)]


def test_a_commit_that_fails_leaves_a_failed_run(store: MlflowStore, tmp_path: Path) -> None:
    def fail(run_id: str, artifact_uri: str) -> None:
        # All is logged by now, and it is not finished yet.
        assert (Path(artifact_uri) / MANIFEST).is_file()
        assert store.client.get_run(run_id).info.status == "RUNNING"
        raise KeyboardInterrupt

    stage, folder = small_stage(), tmp_path / "made"
    folder.mkdir()
    seal(folder, stage, Made(facts=MASK_FACTS))
    with pytest.raises(KeyboardInterrupt):
        store.log(stage, folder, Shown(title="x"), data="d1", started=0, before_finish=fail)
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
def test_a_changed_byte_is_found_before_it_is_read(store: MlflowStore, file, what) -> None:
    made = commit(store)
    _flip(Path(made.where) / file)
    (found,) = store.find("d1", ["k1"]).values()
    unread = File("a.bin", blob("a.bin").write, lambda path: pytest.fail("read all the same"))
    with pytest.raises(DamagedArtifact, match=what) as caught:
        store.read(found)[unread]
    assert caught.value.finished == found
    assert "\n" not in str(caught.value)
    assert found.run_id in str(caught.value)


@pytest.mark.parametrize("file", ["a.bin", MANIFEST])
def test_a_missing_file_is_found(store: MlflowStore, file) -> None:
    made = dataclasses.replace(commit(store), manifest=None)
    (Path(made.where) / file).unlink()
    with pytest.raises(DamagedArtifact, match=f"{file} is missing"):
        store.read(made)[blob("a.bin")]


def test_a_file_that_the_manifest_does_not_name_is_not_read(store: MlflowStore) -> None:
    made = commit(store)
    (Path(made.where) / "b.bin").write_bytes(b"slipped in")
    with pytest.raises(DamagedArtifact, match=r"b\.bin is missing"):
        store.read(made)[blob("b.bin")]


def test_facts_of_a_damaged_manifest(store: MlflowStore) -> None:
    _flip(Path(commit(store).where) / MANIFEST)
    (found,) = store.find("d1", ["k1"]).values()
    for look in (store.read, store.manifest):
        with pytest.raises(DamagedArtifact, match="manifest"):
            look(found)


def test_missing_artifacts_of_a_server(server: str) -> None:
    store = MlflowStore(server)
    store.prepare()
    finished = dataclasses.replace(
        commit(store, _new(), data=_new(), files={"a.bin": b"a", "b.bin": b"b"}), manifest=None
    )
    made = store.read(finished)
    uri = store.client.get_run(finished.run_id).info.artifact_uri
    get_artifact_repository(uri, tracking_uri=server).delete_artifacts("a.bin")
    with pytest.raises(DamagedArtifact, match=r"a\.bin is missing"):
        made[blob("a.bin")]
    # A server whose artifact folder is away answers just so.
    delete_artifacts(uri, server)
    for read in (lambda: made[blob("b.bin")], lambda: store.read(finished)):
        with pytest.raises(StoreAway, match=f"lists none.*--run-id {finished.run_id}") as caught:
            read()
        assert "\n" not in str(caught.value)


def test_damaged_artifacts_cross_processes(store: MlflowStore) -> None:
    error = DamagedArtifact(commit(store), "a.bin is missing")
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (copy.finished, copy.what, str(copy)) == (error.finished, error.what, str(error))


def test_experiments_have_descriptions(any_store: MlflowStore) -> None:
    for name in (STAGES, PIPELINES, TICKETS):
        experiment = any_store.client.get_experiment(any_store.experiment(name))
        assert experiment.name == name
        assert experiment.tags["mlflow.note.content"] == DESCRIPTIONS[name]


def test_another_store_finds_the_same_experiments(store: MlflowStore) -> None:
    other = MlflowStore(store.tracking_uri)
    other.prepare()
    for name in (STAGES, PIPELINES, TICKETS):
        assert other.experiment(name) == store.experiment(name)


def test_metrics_parameters_tags_and_note(any_store: MlflowStore, tmp_path: Path) -> None:
    stage, folder = small_stage(_new()), tmp_path / "made"
    told = Shown(
        title="a title",
        note="**what it is**",
        metrics=[Metric(name="epoch/loss", value=1 / (k + 1), step=k) for k in range(3)],
        parameters={f"train.p{k}": k for k in range(150)},  # more than one batch takes
        tags={"architecture": "conv4"},
    )
    folder.mkdir()
    seal(folder, stage, Made(facts=MASK_FACTS))
    finished = any_store.log(stage, folder, told, data=_new(), started=time.time())
    history = any_store.client.get_metric_history(finished.run_id, "epoch/loss")
    assert [(m.step, m.value) for m in sorted(history, key=lambda m: m.step)] == [
        (0, 1.0),
        (1, 0.5),
        (2, 1 / 3),
    ]
    run = any_store.client.get_run(finished.run_id)
    assert run.data.params == {name: str(value) for name, value in told.parameters.items()}
    assert run.data.tags["architecture"] == "conv4"
    assert run.data.tags["mlflow.note.content"] == "**what it is**"
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "a title"


def test_what_a_stage_shows(store: MlflowStore) -> None:
    facts = RoundFacts(
        epochs=3,
        budget_epochs=4,
        best_epoch=2,
        best_accuracy=0.75,
        curves={"loss": (1.0, 0.5, 0.25)},
        next_sparsity=0.25,
        next_weights_alive=3,
        weights=4,
        set_size=100,
        stopped_early=True,
        distances=(0.5, 0.0625),
    )
    run = store.client.get_run(commit(store, kind="round", facts=facts).run_id)
    assert run.data.tags["kind"] == "round"
    assert (run.data.tags["architecture"], run.data.tags["method"]) == ("conv4", "prac")
    assert run.data.params["fraction"] == "0.2"
    assert run.data.params["criterion"] == "magnitude"  # not its source, which is in the key
    assert run.data.params["scoring_samples"] == ""
    assert run.data.metrics["best_accuracy"] == 0.75
    assert run.data.metrics["steps"] == 3
    assert "stopped_early" not in run.data.metrics
    by_epoch = {
        name: [(m.step, m.value) for m in store.client.get_metric_history(run.info.run_id, name)]
        for name in ("epoch/loss", "epoch/mask_distance")
    }
    assert by_epoch == {
        "epoch/loss": [(1, 1.0), (2, 0.5), (3, 0.25)],
        "epoch/mask_distance": [(2, 0.5), (3, 0.0625)],
    }


def test_sets_and_judgements_have_their_round_as_the_step(store: MlflowStore) -> None:
    chosen = SetFacts(set_size=9, cet_size=7, cep_size=4, overlap=2, digest="5" * 32)
    judged = JudgeFacts(
        epochs=3, budget_epochs=4, best_epoch=2, best_accuracy=0.75, test_accuracy=0.5
    )
    for kind, facts, metric in (
        ("select", chosen, "set_size"),
        ("judge", judged, "test_accuracy"),
        ("judge", judged, "steps"),
    ):
        run = commit(store, _new(), kind=kind, facts=facts).run_id
        (value,) = store.client.get_metric_history(run, metric)
        assert value.step == 2
        assert ("round" in store.client.get_run(run).data.tags) == (kind == "select")


def test_artifacts_lie_beside_the_embedded_database(
    store: MlflowStore, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir("/")
    where = Path(commit(store).where)
    assert where.is_relative_to(tmp_path / "mlruns" / STAGES)


def test_a_store_is_pickled_as_its_address(store: MlflowStore) -> None:
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
        MlflowStore(address).prepare()
    assert address in str(caught.value)
    assert "MLFLOW_TRACKING_URI" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - started < 60  # MLflow alone would try for four minutes


def test_a_store_that_is_gone_in_mid_run(store: MlflowStore, tmp_path: Path) -> None:
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
    assert MlflowStore("sqlite:////x/mlflow.db").is_local
    assert not MlflowStore("http://mlflow:5000").is_local


def _gone(root: Path) -> None:
    """The folder of all artifacts is not there."""


def _empty(root: Path) -> None:
    root.mkdir()


def _of_another_store(root: Path) -> None:
    other = root / STAGES / _new() / "artifacts"
    other.mkdir(parents=True)
    (other / MANIFEST).write_text("{}")


@pytest.mark.parametrize("instead", [_gone, _empty, _of_another_store])
def test_artifacts_that_are_not_mounted_are_no_damage(
    store: MlflowStore, instead: Callable[[Path], None]
) -> None:
    found = dataclasses.replace(commit(store), manifest=None)
    root = Path(found.where).parents[2]
    away = root.rename(root.with_name("away"))
    instead(root)
    with pytest.raises(StoreAway, match=f"are away: .*--run-id {found.run_id}") as caught:
        store.read(found)
    assert "\n" not in str(caught.value)
    shutil.rmtree(root, ignore_errors=True)
    away.rename(root)
    assert store.read(found)[blob("a.bin")] == b"hello"


def test_a_run_that_is_lost_for_good_is_given_up_as_the_error_says(store: MlflowStore) -> None:
    found = dataclasses.replace(commit(store), manifest=None)
    shutil.rmtree(Path(found.where).parent)
    with pytest.raises(StoreAway):
        store.read(found)
    store.client.delete_run(found.run_id)  # as `mlflow runs delete` does
    assert store.find("d1", ["k1"]) == {}


def test_what_was_just_committed_is_read_without_asking_again(
    store: MlflowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = commit(store)
    assert made.manifest == store.manifest(made)
    monkeypatch.setattr(MlflowStore, "_fetch", lambda *_: pytest.fail("fetched"))
    assert store.read(made).facts == made.manifest.facts
