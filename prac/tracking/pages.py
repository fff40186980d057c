"""MLflow answers a search in pages; of what somebody else wrote, not all can be read."""

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


def unreadable(run: Any) -> str:
    """Why nothing can be made of a run; empty where all is as MLflow writes it.

    Whoever writes to a database can leave out what the code of everybody else takes for granted.
    """
    info, tags, metrics = run.info, run.data.tags, run.data.metrics
    wrong = [name for name in ("run_id", "status", "artifact_uri") if not _is_text(info, name)]
    wrong += [] if type(info.start_time) is int else ["start_time"]
    wrong += [] if info.end_time is None or type(info.end_time) is int else ["end_time"]
    wrong += [f"the tag {tag!r}" for tag, value in tags.items() if not isinstance(value, str)]
    wrong += [f"the metric {m!r}" for m, v in metrics.items() if not isinstance(v, int | float)]
    told = ", ".join(wrong[:3])
    return f"run {info.run_id} can't be read: {told} is not as MLflow writes it" if wrong else ""


def _is_text(info: Any, name: str) -> bool:
    value = getattr(info, name)
    return isinstance(value, str) and value != ""
