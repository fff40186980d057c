"""MLflow's inside is where the adapter looks for it; an MLflow without it fails here first."""

from __future__ import annotations

import contextlib
import importlib
import shutil
import sqlite3
from pathlib import Path

import mlflow
import pytest

from prac.tracking.connection import STAGES, finished_run
from prac.tracking.mlflow_internals import (
    ADDED_FILE,
    CODE_LOADER,
    VIEW_TAG,
    delete_artifacts,
    finished_in_database,
)
from prac.tracking.store import MlflowStore

SEEN = f"MLflow {mlflow.__version__} differs from 3.9 and 3.17, in which it was seen: "


def test_the_loader_of_models_from_code_is_what_mlflow_itself_writes(tmp_path: Path) -> None:
    code = tmp_path / "code.py"
    code.write_text(
        "import mlflow\n\n\nclass Echo(mlflow.pyfunc.PythonModel):\n"
        "    def predict(self, context, model_input, params=None):\n"
        "        return model_input\n\n\nmlflow.models.set_model(Echo())\n"
    )
    mlflow.pyfunc.save_model(tmp_path / "model", python_model=str(code), pip_requirements=[])
    written = mlflow.models.Model.load(tmp_path / "model").flavors["python_function"]
    assert written["loader_module"] == CODE_LOADER, SEEN + CODE_LOADER
    assert hasattr(importlib.import_module(CODE_LOADER), "_load_pyfunc"), SEEN + CODE_LOADER


def test_a_downloaded_model_has_one_more_file(
    empty_database_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{shutil.copy(empty_database_file, tmp_path / 'mlflow.db')}"
    client = mlflow.MlflowClient(uri)
    run = client.create_run(client.create_experiment("some"))
    client.log_text(run.info.run_id, "flavors: {}", "model/MLmodel")
    client.create_registered_model("prac-some")
    client.create_model_version("prac-some", f"{run.info.artifact_uri}/model", run.info.run_id)
    there = mlflow.artifacts.download_artifacts(
        "models:/prac-some/1", dst_path=str(tmp_path / "there"), tracking_uri=uri
    )
    files = {str(file.relative_to(there)) for file in Path(there).rglob("*") if file.is_file()}
    assert files == {"MLmodel", ADDED_FILE}, SEEN + ADDED_FILE


def test_the_page_still_reads_views_from_tags() -> None:
    pages = Path(mlflow.__file__).parent / "server" / "js" / "build" / "static" / "js"
    if not pages.is_dir():
        pytest.skip("this MLflow brings no pages")
    assert any(VIEW_TAG.encode() in page.read_bytes() for page in pages.glob("*.js")), (
        SEEN + VIEW_TAG
    )


def test_a_runs_files_go(empty_database_file: Path, tmp_path: Path) -> None:
    uri = f"sqlite:///{shutil.copy(empty_database_file, tmp_path / 'mlflow.db')}"
    client = mlflow.MlflowClient(uri)
    where = client.create_experiment("some", artifact_location=str(tmp_path / "files"))
    runs = [client.create_run(where) for _ in range(2)]
    for run in runs:
        client.log_text(run.info.run_id, "text", "folder/file.txt")
    delete_artifacts(str(runs[0].info.artifact_uri), uri)
    assert client.list_artifacts(runs[0].info.run_id) == [], SEEN + "delete_artifacts"
    assert [found.path for found in client.list_artifacts(runs[1].info.run_id)] == ["folder"]


def test_finished_runs_in_the_tables_are_those_that_the_client_finds(
    empty_database_file: Path, tmp_path: Path
) -> None:
    file = Path(shutil.copy(empty_database_file, tmp_path / "mlflow.db"))
    store = MlflowStore(f"sqlite:///{file}")
    store.prepare()
    experiment, client = store.experiment(STAGES), store.client
    for number, (status, tags) in enumerate(
        (
            ("FINISHED", {"prac.key": "one", "prac.stage": "dense", "prac.manifest": "m"}),
            ("FINISHED", {"prac.key": "one", "prac.stage": "dense", "prac.manifest": "newer"}),
            ("FINISHED", {"prac.key": "bare"}),
            ("FINISHED", {"prac.key": "two", "prac.revoked": "damaged"}),
            ("FINISHED", {"prac.stage": "has no key"}),
            ("FINISHED", {"prac.key": "three", "prac.data": "other"}),
            ("FAILED", {"prac.key": "four"}),
            ("RUNNING", {"prac.key": "five"}),
            ("FINISHED", {"prac.key": "deleted"}),
        )
    ):
        tags = {"prac.data": "data", **tags}
        run = client.create_run(experiment, start_time=1 + number, tags=tags, run_name=str(number))
        if status != "RUNNING":
            client.set_terminated(run.info.run_id, status)
        if tags.get("prac.key") == "deleted":
            client.delete_run(run.info.run_id)
    runs = store.search(STAGES, "tags.`prac.data` = 'data' and attributes.status = 'FINISHED'")
    kept = [r for r in runs if "prac.key" in r.data.tags and "prac.revoked" not in r.data.tags]
    found = finished_in_database(file, experiment, "data")
    assert found == [finished_run(run) for run in kept], SEEN + "the tables runs and tags"
    assert [each.key for each in found] == ["bare", "one", "one"]
    # A key that was made twice is the newest run's.
    assert store.find("data", ["one", "bare"])["one"].manifest_sha256 == "newer"


def test_a_database_with_other_tables_is_left_to_the_client(tmp_path: Path) -> None:
    assert finished_in_database(tmp_path / "nothing.db", "1", "data") is None
    with contextlib.closing(sqlite3.connect(tmp_path / "other.db")) as database:
        database.execute("CREATE TABLE runs (id)")
    assert finished_in_database(tmp_path / "other.db", "1", "data") is None
    assert not (tmp_path / "nothing.db").exists()
