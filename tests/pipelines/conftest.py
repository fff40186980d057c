"""How pipelines are started and their stores read."""

from __future__ import annotations

from typing import Any

import pytest
from support import launch


@pytest.fixture(scope="session")
def launched() -> Any:
    """Starts a pipeline as a process of its own."""
    return launch.launched


@pytest.fixture(scope="session")
def tracked() -> Any:
    """Reads the runs in a store."""
    return launch.Tracked


@pytest.fixture(scope="session")
def loopback() -> tuple[str, ...]:
    """The addresses that no other machine reaches."""
    return launch.LOOPBACK
