"""What a user installs: one version number."""

from __future__ import annotations

import importlib.metadata
import subprocess
import tomllib
from pathlib import Path

import prac

REPOSITORY = Path(__file__).parents[1]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]


def test_the_version_is_written_in_one_place() -> None:
    assert "version" not in PROJECT
    assert PROJECT["dynamic"] == ["version"]
    assert importlib.metadata.version("prac") == prac.__version__
    written = subprocess.run(
        ["git", "grep", "-n", rf'version[_ ="]*{prac.__version__}"', "--", ":!tests"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    lines = written.stdout.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["prac/__init__.py"], lines
