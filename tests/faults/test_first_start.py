"""First starts that are killed while the embedded database is made, and several at once."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from prac.tracking.connection import Connection

_PREPARE = "import sys; from prac.tracking.connection import Connection; Connection(sys.argv[1])"


def _start(home: Path) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-c", f"{_PREPARE}.prepare()", f"sqlite:///{home / 'mlflow.db'}"]
    return subprocess.Popen(words, stderr=subprocess.PIPE)


def _opens(home: Path) -> None:
    store = Connection(f"sqlite:///{home / 'mlflow.db'}")
    store.prepare()
    assert not list(home.glob("*.making*"))
    with sqlite3.connect(home / "mlflow.db") as database:
        assert database.execute("pragma integrity_check").fetchall() == [("ok",)]


def test_killed_while_the_database_is_made(tmp_path: Path) -> None:
    first = _start(tmp_path)
    making = tmp_path / ".mlflow.db.making"
    while not (making.is_file() and making.stat().st_size):
        assert first.poll() is None
        time.sleep(0.005)
    first.kill()
    first.communicate()
    assert making.is_file()
    assert not (tmp_path / "mlflow.db").exists()
    _opens(tmp_path)


def test_several_first_starts_at_once(tmp_path: Path) -> None:
    starts = [_start(tmp_path) for _ in range(3)]
    for start in starts:
        _, said = start.communicate(timeout=300)
        assert start.returncode == 0, said.decode()
    _opens(tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_twenty_times_at_random_moments(tmp_path: Path) -> None:
    moments = random.Random(0)
    for number in range(20):
        home = tmp_path / str(number)
        home.mkdir()
        start = _start(home)
        # A start that is left alone takes three to ten seconds.
        time.sleep(moments.uniform(0.5, 8))
        start.kill()
        start.communicate()
        _opens(home)
