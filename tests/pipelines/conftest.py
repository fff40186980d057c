"""How pipelines are started and their stores read."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

_launch = runpy.run_path(str(Path(__file__).with_name("launch.py")))


@pytest.fixture(scope="session")
def launched() -> Any:
    """Starts a pipeline as a process of its own."""
    return _launch["launched"]


@pytest.fixture(scope="session")
def tracked() -> Any:
    """Reads the runs in a store."""
    return _launch["Tracked"]


@pytest.fixture(scope="session")
def loopback() -> tuple[str, ...]:
    """The addresses that no other machine reaches."""
    return _launch["LOOPBACK"]
