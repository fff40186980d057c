"""The checks check: their scripts pass shellcheck, and call one another."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
SCRIPTS = sorted((REPOSITORY / ".ci").iterdir())


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_script_can_be_run_and_passes_shellcheck(script: Path) -> None:
    assert script.stat().st_mode & 0o111
    found = subprocess.run([BIN / "shellcheck", script], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout


def test_the_check_builds_and_uses_a_wheel() -> None:
    assert "\n.ci/wheel\n" in (REPOSITORY / ".ci" / "run").read_text()
