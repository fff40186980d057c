"""A judged ticket's MLflow model: loaded by a process without prac, served, and never unpickled."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prac.data.dataset import ImageDataset

WHERE = "models:/prac-digits-resnet8/1"


def _environment(home: Path, **more: str) -> dict[str, str]:
    known = {
        "MLFLOW_TRACKING_URI": f"sqlite:///{home / 'mlflow.db'}",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "MLFLOW_LOGGING_LEVEL": "ERROR",
        "OMP_NUM_THREADS": "1",
    }
    return {**os.environ, **known, **more}


STRANGER = """
import importlib.abc, json, sys

class NoPrac(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] == "prac":
            raise ImportError("prac is not installed here")

sys.meta_path.insert(0, NoPrac())
import mlflow, numpy, torch
images = numpy.load(sys.argv[1])
graph = mlflow.pytorch.load_model("models:/prac-digits-resnet8@best")
model = mlflow.pyfunc.load_model("models:/prac-digits-resnet8@best")
classes = graph(torch.from_numpy(images)).argmax(1).tolist()
names = model.predict(images)
floats = model.predict((images / 255).astype("float32"))
print(json.dumps([classes, names, floats, model.predict(images[0])]))
"""


def test_a_process_without_prac_loads_it_and_predicts(
    ticket_home: Path, digits_data: ImageDataset, tmp_path: Path
) -> None:
    images = digits_data.test_images[:100]
    np.save(tmp_path / "images.npy", images)
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, str(tmp_path / "images.npy")],
        env=_environment(ticket_home),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    classes, names, floats, one = json.loads(done.stdout.splitlines()[-1])
    assert names == floats == [digits_data.class_names[index] for index in classes]
    assert one == names[:1]
    right = np.mean(np.array(classes) == digits_data.test_labels[:100])
    assert right > 0.5


def _load(folder: Path) -> Any:
    import mlflow.pyfunc

    return mlflow.pyfunc.load_model(str(folder))


@pytest.fixture
def model_folder(ticket_home: Path, tmp_path: Path) -> Path:
    from prac.tracking.store import MlflowStore
    from prac.tracking.tickets import download_ticket

    found = download_ticket(WHERE, MlflowStore(f"sqlite:///{ticket_home / 'mlflow.db'}"))
    return Path(shutil.copytree(found, tmp_path / "model"))


def test_images_of_another_shape_or_scale_are_refused(model_folder: Path) -> None:
    model = _load(model_folder)
    for wrong, message in (
        (np.zeros((2, 9, 8, 1), np.uint8), "shape"),
        (np.full((2, 8, 8, 1), 255.0), "0 to 1"),
        (np.full((2, 8, 8, 1), 256), "0 to 255"),
        (np.full((2, 8, 8, 1), np.nan), "0 to 1"),
    ):
        with pytest.raises(Exception, match=message):
            model.predict(wrong)


def test_an_archive_that_asks_for_a_pickle_is_refused(model_folder: Path) -> None:
    archive = model_folder / "data" / "model.pt2"
    changed = archive.with_suffix(".new")
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name.endswith("model_weights_config.json"):
                data = data.replace(b'"use_pickle": false', b'"use_pickle": true', 1)
            new.writestr(name, data)
    changed.replace(archive)
    with pytest.raises(Exception, match="asks for a pickle"):
        _load(model_folder)


def test_nothing_in_the_folder_is_a_pickle_or_names_this_machine(model_folder: Path) -> None:
    files = {str(p.relative_to(model_folder)) for p in model_folder.rglob("*") if p.is_file()}
    assert files - {"registered_model_meta"} == {
        "MLmodel",
        "conda.yaml",
        "data/classes.json",
        "data/model.pt2",
        "mask.safetensors",
        "predict_images.py",
        "python_env.yaml",
        "requirements.txt",
        "ticket.json",
        "trained.safetensors",
        "weights.safetensors",
    }
    assert "/" not in (model_folder / "MLmodel").read_text().replace("data/", "")


def _free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        port: int = opened.getsockname()[1]
        return port


def _ask(url: str, body: bytes | None = None) -> Any:
    headers = {"Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=10) as answer:
        return answer.read()


def test_mlflow_models_serve_answers_with_the_right_class(
    ticket_home: Path, digits_data: ImageDataset, tmp_path: Path
) -> None:
    port = _free_port()
    log = tmp_path / "log"
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", WHERE]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with log.open("w") as output:
        server = subprocess.Popen(
            command,
            env=_environment(ticket_home, PATH=path),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 180
        while True:
            try:
                _ask(f"http://127.0.0.1:{port}/ping")
                break
            except (urllib.error.URLError, OSError):
                assert server.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.5)
        images = digits_data.test_images[:20]
        body = json.dumps({"inputs": images.tolist()}).encode()
        answer = json.loads(_ask(f"http://127.0.0.1:{port}/invocations", body))
    finally:
        os.killpg(server.pid, 15)
        server.wait(30)
    expected = [digits_data.class_names[label] for label in digits_data.test_labels[:20]]
    right = sum(a == b for a, b in zip(answer["predictions"], expected, strict=True))
    assert right > 10


def test_data_sets_are_inputs_of_the_run(ticket_home: Path, digits_data: ImageDataset) -> None:
    from prac.tracking.store import MlflowStore

    client = MlflowStore(f"sqlite:///{ticket_home / 'mlflow.db'}").client
    run = client.get_run(client.get_model_version("prac-digits-resnet8", "1").run_id)
    inputs = {entry.dataset.name: entry for entry in run.inputs.dataset_inputs}
    assert inputs["digits"].dataset.digest == digits_data.fingerprint
    assert {tag.value for entry in inputs.values() for tag in entry.tags} == {
        "training",
        "chosen for this mask",
    }
