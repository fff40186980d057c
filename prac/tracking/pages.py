"""MLflow answers a search in pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

PAGE = 1000
"""What MLflow gives at most of registered models; of runs it would give more."""


def pages(search: Callable[..., Any], *wanted: Any) -> list[Any]:
    """All that one of MLflow's searches finds, page after page.

    search: a method of the client that takes max_results and page_token; wanted: its first
    arguments. A list, not an iterator, so that what fails fails here.
    """
    page = search(*wanted, max_results=PAGE)
    found = list(page)
    while page.token:
        page = search(*wanted, max_results=PAGE, page_token=page.token)
        found += page
    return found
