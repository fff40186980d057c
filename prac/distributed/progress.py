"""News of epochs from all workers of a cluster to the process that shows them."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import ray
from ray.exceptions import RayError

from prac.lottery.progress import EpochNews

if TYPE_CHECKING:
    from prac.training.observers import OnEpoch


class Desk(Protocol):
    """Takes news from all workers of a pipeline."""

    def report(self, news: EpochNews) -> None:
        """Take one, without waiting."""

    def collect(self) -> list[EpochNews]:
        """What has come since the last time."""


@ray.remote(num_cpus=0, max_restarts=-1)
class _NewsDesk:
    def __init__(self) -> None:
        self._news: dict[str, EpochNews] = {}

    def report(self, news: EpochNews) -> None:
        self._news[news.stage] = news

    def collect(self) -> list[EpochNews]:
        news, self._news = list(self._news.values()), {}
        return news


@dataclass(frozen=True)
class RayDesk:
    """A desk in a process of its own, which all workers of a cluster reach."""

    actor: Any

    @classmethod
    def open(cls) -> RayDesk:
        """A new one, on the cluster that this process is connected to."""
        return cls(_NewsDesk.remote())  # type: ignore[attr-defined]

    def report(self, news: EpochNews) -> None:
        self.actor.report.remote(news)

    def collect(self) -> list[EpochNews]:
        """Nothing where it does not answer: the desk may be on a node that was just lost, and news
        is no reason to fail."""
        news: list[EpochNews] = []
        with contextlib.suppress(RayError):
            news = ray.get(self.actor.collect.remote(), timeout=10)
        return news


def epoch_reporter(desk: Desk, stage: str) -> OnEpoch:
    """An epoch callback that tells the desk."""
    return lambda end: desk.report(EpochNews.of(stage, end))
