"""What a user installs: one version number."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

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
    assert [line.partition(":")[0] for line in lines] == ["prac/version.py"], lines


@pytest.mark.parametrize(
    ("gone", "told"),
    [
        (["cli"], "prac/cli"),
        (["app", "config"], "prac/app, prac/config"),
        (["lottery/steps"], "prac/lottery/steps"),
    ],
)
@pytest.mark.parametrize("script", ["pipelines/full.py", "-m prac"])
def test_a_copy_without_some_of_its_packages_says_so_in_one_line(
    gone: list[str], told: str, script: str, tmp_path: Path
) -> None:
    """As a job's upload leaves out what a .gitignore names."""
    for folder in ("prac", "pipelines"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / folder, tmp_path / folder, ignore=ignored)
    for package in gone:
        shutil.rmtree(tmp_path / "prac" / package)
    run = subprocess.run(
        [sys.executable, *script.split(), "plan"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    (line,) = run.stderr.splitlines()
    assert f"this copy of the project lacks {told}; a Ray job is sent without" in line


def test_the_packages_that_a_copy_must_have_are_all() -> None:
    there = {
        str(f.parent.relative_to(REPOSITORY / "prac"))
        for f in REPOSITORY.glob("prac/*/**/__init__.py")
    }
    assert set(prac._PACKAGES) == there
