"""Command lines run in this process; a cluster that would start fails the test."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.launch import empty_database

from prac.cli import main


@pytest.fixture(autouse=True)
def own_temporary_folder(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What other processes that were killed left in the machine's is no business of a test."""
    folder = tmp_path_factory.mktemp("t")
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    monkeypatch.setattr("prac.scratch.SHORT_PLACES", ())


@pytest.fixture
def home(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A home with an empty store in it."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(empty_database(tmp_path_factory.getbasetemp()), home / "mlflow.db")
    return home


Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(home: Path, capfd: pytest.CaptureFixture[str], monkeypatch) -> Command:
    """Runs `prac WORDS`: exit status, stdout, stderr."""
    import ray

    def started(*_: object, **__: object) -> None:
        pytest.fail("a cluster was started")

    monkeypatch.setattr(ray, "init", started)

    def run(*words: str) -> tuple[int, str, str]:
        if words[0] in ("run", "plan"):
            words = (*words, "--home", str(home))
        capfd.readouterr()
        try:
            status = main(words)
        except SystemExit as ended:
            status = int(ended.code or 0)
        said = capfd.readouterr()
        return status, said.out, said.err

    return run
