"""A backend that a notebook names to what it starts, and that isn't installed, is no matter."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "backend", ["module://no_such_package.backend", "module://x", "Qt4Agg", "nope", "agg", ""]
)
def test_figures_are_drawn_whatever_backend_is_named(backend: str) -> None:
    code = "import prac.report; from prac.report.figures.encode import Figure; Figure()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "MPLBACKEND": backend},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
