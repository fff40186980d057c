"""Places that are small, closed or oddly named: a run works there, or a line says why not."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.launch import Launch, empty_database, launched

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

WORDS = (
    *("--architectures", "conv4", "--rounds", "1", "--epochs", "1", "--compare"),
    *("--judge", "none", "--workers", "1"),
)
mounts = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare"),
    reason="only root may mount a small file system, in a namespace of its own (unshare)",
)
DEAD = "http://127.0.0.1:9"
NOBODY = 65534


def small(place: str, size: str) -> tuple[str, ...]:
    """What runs a program with a file system of this size at a place, which nobody else sees."""
    mount = f'mount -t tmpfs -o size={size} none "$0" && exec "$@"'
    return ("unshare", "--mount", "sh", "-c", mount, place)


@pytest.fixture
def ends(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Run the tiny pipeline to its end; what it says on standard error, at most a line where it
    fails. told: lines of libraries' own. before: words that start it."""

    def run(home: Path, told: int = 0, status: int = 0, before: tuple[str, ...] = ()) -> str:
        home.mkdir()
        shutil.copy(empty_database(tmp_path_factory.getbasetemp()), home / "mlflow.db")
        with launched(home, *WORDS, before=before) as launch:
            assert launch.wait(600) == status, launch.said()
            assert "Traceback" not in launch.stderr
            assert len(launch.stderr.splitlines()) == told, launch.stderr
            assert launch.alive() == []
            return launch.stderr

    return run


def test_a_folder_of_any_name(tmp_path: Path, ends: Callable[..., str]) -> None:
    """But for a `?` and what reads as an escape (`%20`), which are refused at the start."""
    home = tmp_path / "a#b ä [x] 100 %"
    ends(home)
    assert list(home.glob("prac-runs/**/report.html")) or list(home.rglob("next_mask.safetensors"))


def test_a_proxy_is_asked_for_nothing_of_this_machine(
    tmp_path: Path, ends: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, DEAD)
        monkeypatch.setenv(name.upper(), DEAD)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    ends(tmp_path / "home")


def test_a_home_of_the_user_that_cannot_be_written(
    tmp_path: Path, ends: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/proc/no home")
    ends(tmp_path / "home", told=2)  # matplotlib's, of its cache


def test_a_narrow_and_dumb_terminal(
    tmp_path: Path, ends: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setenv("LC_ALL", "C")
    ends(tmp_path / "home")


@mounts
def test_little_shared_memory(tmp_path: Path, ends: Callable[..., str]) -> None:
    """As containers have it: 64 MB."""
    ends(tmp_path / "home", before=small("/dev/shm", "64m"))


@mounts
def test_a_temporary_folder_that_is_full(
    tmp_path: Path, ends: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    said = ends(tmp_path / "home", told=1, status=1, before=small(str(place), "8k"))
    assert "No space left on device" in said or "no temporary" in said.lower()


@pytest.mark.skipif(not shutil.which("prlimit"), reason="prlimit (util-linux) sets the limit")
def test_a_limit_on_memory(tmp_path: Path, ends: Callable[..., str]) -> None:
    limit = ("prlimit", "--as=2000000000")
    assert ends(tmp_path / "home", told=1, status=1, before=limit).startswith("error: ")


@pytest.fixture
def running(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launch]:
    """A run at work, with its own session folder and a token in a home of its own."""
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(empty_database(tmp_path_factory.getbasetemp()), home / "mlflow.db")
    with launched(home, *WORDS) as launch:
        launch.until(lambda: "dense:conv4:prac starts" in launch.stdout)
        yield launch


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_another_user_reads_nothing_of_a_session(running: Launch) -> None:
    (raylet,) = running.processes("raylet/raylet")
    (session,) = (w.split("=")[1] for w in raylet.cmdline() if w.startswith("--session_dir="))
    closed = Path(session).parent.parent
    assert closed.name.startswith("prac-")
    seen = subprocess.run(
        ["setpriv", f"--reuid={NOBODY}", "--clear-groups", "ls", str(closed)], capture_output=True
    )
    assert seen.returncode != 0
    assert b"Permission denied" in seen.stderr
