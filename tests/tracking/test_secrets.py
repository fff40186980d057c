"""The password in a store's address is told to nobody: one search, then every file is read."""

from __future__ import annotations

import contextlib
import copy
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.services import REPOSITORY, environment

from prac.lottery.store import StoreAway
from prac.tracking.connection import Connection

PASSWORD = "hunter2@pw"
PROXY = "hunter3px"
# In the folder that the command is typed in: it is found there, in Ray's workers too.
NETWORK = """
from torch import nn

def small(in_channels, num_classes):
    layers = [nn.Conv2d(in_channels, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(4, num_classes))
"""


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """Ray's sockets have to fit in 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="p-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


def _holding(secret: str, *folders: Path) -> list[Path]:
    files = (file for folder in folders for file in folder.rglob("*") if file.is_file())
    return [file for file in files if secret.encode() in file.read_bytes()]


@pytest.mark.timeout(1000)  # among the first to run: see the root's conftest
def test_a_search_on_a_server_with_a_password_leaves_it_nowhere(
    server: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, short_folder: Path
) -> None:
    address = server.removeprefix("http://")
    (tmp_path / "nets_beside.py").write_text(NETWORK)
    process = subprocess.Popen(
        [
            *(sys.executable, str(REPOSITORY / "pipelines" / "full.py")),
            *("--architectures", "nets_beside:small", "--workers", "1"),
            *("--epochs", "1", "--rounds", "1", "--compare"),
            *("--home", str(tmp_path / "home")),
        ],
        cwd=tmp_path,
        env=environment(
            short_folder,
            PYTHONPATH=str(REPOSITORY),
            MLFLOW_TRACKING_URI=f"http://joe:{PASSWORD}@{address}",
            HTTPS_PROXY=f"http://pu:{PROXY}@127.0.0.1:9",
            NO_PROXY="127.0.0.1,localhost",
            TMPDIR=str(short_folder),
            RAY_TMPDIR=str(short_folder),
        ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    logs: dict[Path, str] = {}
    while process.poll() is None:  # Ray's session goes with the run: its logs are read meanwhile
        with contextlib.suppress(OSError):  # folders go while they are looked through
            for log in short_folder.rglob("session_*/logs/*.*"):
                with contextlib.suppress(OSError):
                    logs[log] = log.read_text(errors="replace")
        time.sleep(0.5)
    out, err = process.communicate()
    assert process.returncode == 0, err
    told = json.loads(out.splitlines()[-1])
    assert [search["architecture"] for search in told["searches"]] == ["nets_beside:small"]
    assert told["mlflow"].startswith(f"http://{address}/#/experiments/")
    # Where one looks, there is something to see.
    assert [log for log in logs if log.match("worker-*.out")]
    kept = tmp_path_factory.getbasetemp()
    assert {"report.html", "results.json"} <= {f.name for f in kept.glob("server*/artifacts/**/*")}
    for secret in (PASSWORD, PROXY):
        assert secret not in out + err
        assert not [log for log, text in logs.items() if secret in text]
        assert _holding(secret, tmp_path, short_folder, *kept.glob("server*")) == []


@pytest.mark.parametrize(
    ("uri", "page"),
    [
        ("https://joe:pw@x.org:5000/a/", "https://x.org:5000/a"),
        ("http://joe@x.org", "http://x.org"),
        ("http://127.0.0.1:1", "http://127.0.0.1:1"),
        ("postgresql://joe:pw@x.org/db", "http://127.0.0.1:5000"),
    ],
)
def test_the_link_to_a_store_has_no_login(uri: str, page: str) -> None:
    connection = Connection(uri)
    assert connection.page == page
    assert "pw" not in connection.shown_uri


def test_an_error_tells_no_password_also_after_a_journey() -> None:
    uri = f"postgresql+psycopg2://joe:{PASSWORD}@x.org/db?sslpassword=hunter4&x=1"
    error = StoreAway(f"the store {uri} failed ({uri!r})")
    for told in (str(error), repr(error), str(copy.copy(error))):
        assert "hunter" not in told
        assert told.count("postgresql+psycopg2://joe:***@x.org/db?sslpassword=***&x=1") == 2
