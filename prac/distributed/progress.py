"""News of epochs from all workers of a cluster to the process that shows them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ray

from prac.lottery.progress import EpochNews

if TYPE_CHECKING:
    from prac.training.observers import EpochEnd


@ray.remote(num_cpus=0, max_restarts=-1)
class NewsDesk:
    """Collects news from all workers of a pipeline; the driver asks for them."""

    def __init__(self) -> None:
        self._news: dict[str, EpochNews] = {}

    def report(self, news: EpochNews) -> None:
        """Take one; only a stage's newest is kept."""
        self._news[news.stage] = news

    def collect(self) -> list[EpochNews]:
        """Hand over what has come since the last time."""
        news, self._news = list(self._news.values()), {}
        return news


def epoch_reporter(desk: Any, stage: str) -> Callable[[EpochEnd], None]:
    """An epoch callback that tells the desk, without waiting for it."""
    return lambda end: desk.report.remote(EpochNews.of(stage, end))
