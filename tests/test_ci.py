"""Scripts pass shellcheck, the workflow its schema; hooks and workflow call the check."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
SCRIPTS = [REPOSITORY / ".ci" / name for name in ("run", "wheel", "lowest", "audit")]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
RUN = (REPOSITORY / ".ci" / "run").read_text()
HOOKS_FILE = REPOSITORY / ".pre-commit-config.yaml"
WORKFLOW_FILE = REPOSITORY / ".github" / "workflows" / "ci.yml"
WORKFLOW = yaml.safe_load(WORKFLOW_FILE.read_text())
STEPS = [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_script_can_be_run_and_passes_shellcheck(script: Path) -> None:
    assert script.stat().st_mode & 0o111
    found = subprocess.run([BIN / "shellcheck", script], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout


def test_the_check_builds_and_uses_a_wheel() -> None:
    assert "\n.ci/wheel &\nwheel=$!\n" in RUN
    assert '\nwait "$wheel" || failed=1\n' in RUN


def test_the_workflow_is_one() -> None:
    # actionlint looks at expressions too, but its package downloads a program while it installs.
    checker = [BIN / "check-jsonschema", "--builtin-schema", "vendor.github-workflows"]
    found = subprocess.run([*checker, WORKFLOW_FILE], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr


def test_the_workflow_calls_the_check_on_the_oldest_python_allowed_and_a_newer_one() -> None:
    job = WORKFLOW["jobs"]["check"]
    assert job["steps"][-1] == {"run": ".ci/run"}
    assert "if" not in job
    oldest, newest = job["strategy"]["matrix"]["python"]
    assert PROJECT["requires-python"] == f">={oldest}"
    assert tuple(map(int, newest.split("."))) > tuple(map(int, oldest.split(".")))


def test_the_workflow_tries_the_lowest_versions_on_the_oldest_python() -> None:
    *_, python, run = WORKFLOW["jobs"]["lowest"]["steps"]
    assert PROJECT["requires-python"] == f">={python['with']['python-version']}"
    assert run == {"run": ".ci/lowest"}


def test_actions_are_pinned_by_their_whole_version() -> None:
    used = [step["uses"] for step in STEPS if "uses" in step]
    assert used
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@v\d+\.\d+\.\d+", name) for name in used), used


def test_hooks_are_local_and_run_what_the_check_runs_with_programs_of_the_test_extra() -> None:
    repositories = yaml.safe_load(HOOKS_FILE.read_text())["repos"]
    assert [repository["repo"] for repository in repositories] == ["local"]
    extra = PROJECT["optional-dependencies"]["test"]
    packages = [re.split(r"[\[>=]", requirement)[0] for requirement in extra]
    programs = {
        entry.name
        for package in packages
        for entry in importlib.metadata.distribution(package).entry_points.select(
            group="console_scripts"
        )
    } | {"ruff"}  # a compiled program, with no entry point
    hooks = repositories[0]["hooks"]
    assert [hook["id"] for hook in hooks] == ["ruff-check", "ruff-format", "mypy", "lint-imports"]
    for hook in hooks:
        program = hook["entry"].split()[0]
        assert hook["language"] == "system"
        assert program in programs
        assert (BIN / program).is_file()
        assert f"\n{hook['entry']}" in RUN


def test_the_lowest_versions_are_tried_on_tests_that_are_there() -> None:
    named = re.findall(r"tests/\S+", (REPOSITORY / ".ci" / "lowest").read_text())
    assert len(named) > 1
    assert [name for name in named if not (REPOSITORY / name).exists()] == []
