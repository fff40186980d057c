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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.launch import empty_database

from prac.tracking.store import STAGES, Finished, Store


@pytest.fixture(scope="session")
def migrated_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow database; making one takes seconds, copying it none."""
    return empty_database(tmp_path_factory.getbasetemp())


@pytest.fixture
def store(migrated_database: Path, tmp_path: Path) -> Store:
    """A store in this test's folder, prepared."""
    file = shutil.copy(migrated_database, tmp_path / "mlflow.db")
    store = Store(f"sqlite:///{file}")
    store.prepare()
    return store


@pytest.fixture(scope="session")
def server(migrated_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an MLflow server that keeps its artifacts itself."""
    folder = tmp_path_factory.mktemp("server")
    database = shutil.copy(migrated_database, folder / "mlflow.db")
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
def any_store(request: pytest.FixtureRequest) -> Store:
    """The embedded store, then the server's."""
    if request.param == "sqlite":
        embedded: Store = request.getfixturevalue("store")
        return embedded
    served = Store(request.getfixturevalue("server"))
    served.prepare()
    return served


@pytest.fixture
def commit(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Finished]:
    """Commits a small stage: files by name, each some bytes."""

    def commit(store: Store, key: str = "k1", **changes: Any) -> Finished:
        folder = tmp_path_factory.mktemp("made")
        for name, content in changes.pop("files", {"a.bin": b"hello"}).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        what: dict[str, Any] = {
            "experiment": STAGES,
            "name": f"stage:{key}",
            "data": "d1",
            "values": {"steps": 3},
            "started": time.time(),
        }
        return store.commit(key=key, folder=folder, **{**what, **changes})

    return commit
