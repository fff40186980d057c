"""Places that are closed or oddly named: a run works there."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.launch import empty_database, launched

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

WORDS = (
    *("--architectures", "conv4", "--rounds", "1", "--epochs", "1", "--compare"),
    *("--judge", "none", "--workers", "1"),
)
DEAD = "http://127.0.0.1:9"


@pytest.fixture
def ends(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., None]:
    """Run the tiny pipeline to its end. told: lines of libraries' own on standard error."""

    def run(home: Path, told: int = 0) -> None:
        home.mkdir()
        shutil.copy(empty_database(tmp_path_factory.getbasetemp()), home / "mlflow.db")
        with launched(home, *WORDS) as launch:
            assert launch.wait(600) == 0, launch.said()
            assert "Traceback" not in launch.stderr
            assert len(launch.stderr.splitlines()) == told, launch.stderr
            assert launch.alive() == []

    return run


def test_a_folder_of_any_name(tmp_path: Path, ends: Callable[..., None]) -> None:
    """But for a `?` and what reads as an escape (`%20`), which are refused at the start."""
    home = tmp_path / "a#b ä [x] 100 %"
    ends(home)
    assert list(home.glob("prac-runs/**/report.html")) or list(home.rglob("next_mask.safetensors"))


def test_a_proxy_is_asked_for_nothing_of_this_machine(
    tmp_path: Path, ends: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, DEAD)
        monkeypatch.setenv(name.upper(), DEAD)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    ends(tmp_path / "home")


def test_a_home_of_the_user_that_cannot_be_written(
    tmp_path: Path, ends: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/proc/no home")
    ends(tmp_path / "home", told=2)  # matplotlib's, of its cache


def test_a_narrow_and_dumb_terminal(
    tmp_path: Path, ends: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setenv("LC_ALL", "C")
    ends(tmp_path / "home")
