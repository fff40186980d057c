"""How paths are told to people."""

from __future__ import annotations

from pathlib import Path

import pytest

from prac.app.console import near


def test_a_path_below_the_working_folder_is_told_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert near(tmp_path / "a" / "b") == Path("a/b")
    assert near(tmp_path.parent / "c") == tmp_path.parent / "c"


def test_where_the_working_folder_is_gone_paths_are_told_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert near(gone / "a") == gone / "a"
