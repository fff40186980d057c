"""Hand-made results, and what tests need to make others."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.crowd import crowded
from support.results import full_results, make_png, make_results, make_row

from prac.analysis.results import Results, RoundRow


@pytest.fixture(scope="session")
def results() -> Results:
    """The full hand-made results."""
    return full_results()


@pytest.fixture(scope="session")
def row() -> Callable[..., RoundRow]:
    """`make_row`, for tests that need a few rows of their own."""
    return make_row


@pytest.fixture(scope="session")
def build() -> Callable[..., Results]:
    """`make_results`, for tests that need other results."""
    return make_results


@pytest.fixture(scope="session")
def crowd() -> Results:
    """Results as large as they come."""
    return crowded(make_png(7))


@pytest.fixture(scope="session")
def png() -> bytes:
    """The bytes of a small picture."""
    return make_png(7)
