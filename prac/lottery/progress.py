"""Who is told how a run goes on; what people see of it is above."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from prac.lottery.graph import Stage
from prac.lottery.outputs import Facts

if TYPE_CHECKING:
    from prac.training.observers import EpochEnd


@dataclass(frozen=True, kw_only=True)
class EpochNews:
    """One finished epoch of one stage."""

    stage: str
    epoch: int
    epochs: int
    validation_accuracy: float
    seconds: float

    @classmethod
    def of(cls, stage: str, end: EpochEnd) -> EpochNews:
        """Of the end of an epoch."""
        return cls(
            stage=stage,
            epoch=end.record.epoch + 1,
            epochs=end.budget.epochs,
            validation_accuracy=end.record.validation_accuracy,
            seconds=end.record.seconds,
        )


class Display(Protocol):
    """Shows a pipeline's progress."""

    def started(self, stage: Stage) -> None:
        """A stage was started, or handed to a cluster."""

    def news(self, news: EpochNews) -> None:
        """A stage finished an epoch."""

    def finished(self, stage: Stage, facts: Facts) -> None:
        """A stage is done."""

    def say(self, line: str) -> None:
        """A line that stays."""

    def close(self) -> None:
        """No more progress."""


class _Silent:
    def started(self, stage: Stage) -> None: ...

    def news(self, news: EpochNews) -> None: ...

    def finished(self, stage: Stage, facts: Facts) -> None: ...

    def say(self, line: str) -> None: ...

    def close(self) -> None: ...


SILENT: Display = _Silent()
"""Shows nothing."""
