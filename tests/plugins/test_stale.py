"""A module whose file was edited after it was imported: it runs what its key would not tell."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from prac.errors import ConfigError
from prac.plugins import identity

NAME = "edited_once_more"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / f"{NAME}.py"
    sys.modules.pop(NAME, None)


def write(file: Path, value: int, changed: int) -> None:
    file.write_text(f"value = {value}\n\n\ndef make():\n    return value\n")
    os.utime(file, (changed, changed))  # pyc files and keys go by it
    importlib.invalidate_caches()


def test_an_edited_module_is_refused_until_it_is_reloaded(file: Path) -> None:
    write(file, 1, 1_000_000_000)
    module = importlib.import_module(NAME)
    first = identity(f"{NAME}:make")
    write(file, 2, 1_000_000_010)
    for _ in range(2):
        with pytest.raises(ConfigError, match=f"module '{NAME}' is another on disk than this proc"):
            identity(f"{NAME}:make")
    importlib.reload(module)
    second = identity(f"{NAME}:make")
    assert second != first
    assert module.make() == 2
    write(file, 1, 1_000_000_020)
    importlib.reload(module)
    assert identity(f"{NAME}:make") == first


def test_comments_are_no_change_and_what_is_not_imported_is_read_as_it_is(file: Path) -> None:
    write(file, 1, 1_000_000_000)
    first = identity(f"{NAME}:make")
    write(file, 2, 1_000_000_010)
    second = identity(f"{NAME}:make")
    assert second != first
    importlib.import_module(NAME)
    assert identity(f"{NAME}:make") == second
    file.write_text("# a remark\n" + file.read_text())
    assert identity(f"{NAME}:make") == second
