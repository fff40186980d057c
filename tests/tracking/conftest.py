"""A store in an embedded database, and one behind a real MLflow server on loopback."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from prac.tracking.store import MlflowStore


@pytest.fixture
def store(empty_database_file: Path, tmp_path: Path) -> MlflowStore:
    """A store in this test's folder, prepared."""
    file = shutil.copy(empty_database_file, tmp_path / "mlflow.db")
    store = MlflowStore(f"sqlite:///{file}")
    store.prepare()
    return store


@pytest.fixture(scope="session")
def server(empty_database_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an MLflow server that keeps its artifacts itself."""
    folder = tmp_path_factory.mktemp("server")
    database = shutil.copy(empty_database_file, folder / "mlflow.db")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = open(folder / "log.txt", "wb")  # noqa: SIM115
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"),
            *("--port", str(port), "--workers", "1"),
            *("--backend-store-uri", f"sqlite:///{database}"),
            *("--artifacts-destination", str(folder / "artifacts")),
        ],
        cwd=folder,
        env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        stdout=log,
        stderr=log,
    )
    # Held with its time of creation: a number alone may become another's.
    head = psutil.Process(process.pid)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(address, process, folder / "log.txt")
        yield address
    finally:
        family = [head]
        with contextlib.suppress(psutil.NoSuchProcess):
            family += head.children(recursive=True)
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.terminate()
        _, left = psutil.wait_procs(family, timeout=20)
        for member in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        process.wait()
        log.close()


def _wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 180
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise AssertionError(log.read_text())


@pytest.fixture(params=["sqlite", "server"])
def any_store(request: pytest.FixtureRequest) -> MlflowStore:
    """The embedded store, then the server's."""
    if request.param == "sqlite":
        embedded: MlflowStore = request.getfixturevalue("store")
        return embedded
    served = MlflowStore(request.getfixturevalue("server"))
    served.prepare()
    return served
