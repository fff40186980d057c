"""What is running, at which epoch, how accurate, until when: bars on a terminal, lines in a job."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import ray
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from prac.lottery.graph import Stage

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

    def report(end: EpochEnd) -> None:
        desk.report.remote(
            EpochNews(
                stage=stage,
                epoch=end.record.epoch + 1,
                epochs=end.budget.epochs,
                validation_accuracy=end.record.validation_accuracy,
                seconds=end.record.seconds,
            )
        )

    return report


class Display(Protocol):
    """Shows a pipeline's progress."""

    def started(self, stage: Stage) -> None:
        """A stage was handed to the cluster."""
        ...

    def news(self, news: EpochNews) -> None:
        """A stage finished an epoch."""
        ...

    def finished(self, stage: Stage, values: dict[str, Any]) -> None:
        """A stage is done."""
        ...

    def say(self, line: str) -> None:
        """A line that stays."""
        ...

    def close(self) -> None:
        """No more progress."""
        ...


def make_display(stages: list[Stage], console: Console) -> Display:
    """Bars where a person looks at a terminal, plain lines elsewhere."""
    return Bars(stages, console) if console.is_terminal else Lines(stages)


class Forecast:
    """When all will be done, at the pace so far; a guess, since sets and stops are known late."""

    # A round on a PrAC set takes about this share of the full budget (METHOD's replay), and a
    # stage that trains nothing costs about as much as this share of one.
    SET_SHARE, OVERHEAD_SHARE = 0.3, 0.02

    def __init__(self, stages: list[Stage]) -> None:
        self._began = time.monotonic()
        self._full = max((stage.max_steps for stage in stages), default=1) or 1
        self._left = sum(map(self._work, stages))
        self._done = 0.0

    def _work(self, stage: Stage) -> float:
        on_a_set = stage.kind == "round" and not {"samples", "size"}.isdisjoint(stage.inputs)
        share = self.SET_SHARE if on_a_set else 1.0
        return stage.max_steps * share + self._full * self.OVERHEAD_SHARE

    def finished(self, stage: Stage) -> float:
        """Take a finished stage; the seconds left."""
        self._done += self._work(stage)
        self._left = max(0.0, self._left - self._work(stage))
        return (time.monotonic() - self._began) * self._left / self._done

    @property
    def elapsed(self) -> int:
        """Whole seconds since the start."""
        return int(time.monotonic() - self._began)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes:02d}:{rest:02d}"


def _summary(values: dict[str, Any]) -> str:
    parts = []
    if "epochs" in values:
        stop = " (stopped early)" if values.get("stopped_early") else ""
        parts.append(f"{values['epochs']} of {values['budget_epochs']} epochs{stop}")
    if "set_size" in values:
        parts.append(f"{values['set_size']} samples")
    if "best_accuracy" in values:
        parts.append(f"validation {values['best_accuracy']:.1%}")
    if "test_accuracy" in values and values["test_accuracy"] is not None:
        parts.append(f"test {values['test_accuracy']:.1%}")
    return ", ".join(parts)


class Lines:
    """Plain lines with elapsed time: for the log of a job."""

    EVERY_SECONDS = 10.0

    def __init__(self, stages: list[Stage]) -> None:
        self._total = len(stages)
        self._done = 0
        self._forecast = Forecast(stages)
        self._said: dict[str, float] = {}

    def say(self, line: str) -> None:
        """Print it, with the time since the start."""
        print(f"[{_clock(self._forecast.elapsed)}] {line}", flush=True)

    def started(self, stage: Stage) -> None:
        """Say what trains now: a large epoch can take minutes until there is more to tell."""
        self._said[stage.name] = time.monotonic()
        if stage.max_steps:
            self.say(f"{stage.name} starts, at most {stage.max_steps:,} SGD steps")

    def news(self, news: EpochNews) -> None:
        """Say it, at most every ten seconds for one stage."""
        now = time.monotonic()
        if now - self._said.get(news.stage, 0.0) < self.EVERY_SECONDS:
            return
        self._said[news.stage] = now
        left = (news.epochs - news.epoch) * news.seconds
        self.say(
            f"{news.stage}: epoch {news.epoch} of {news.epochs}, "
            f"validation {news.validation_accuracy:.1%}, at most {left:.0f} s to go"
        )

    def finished(self, stage: Stage, values: dict[str, Any]) -> None:
        """Say it, with what the stage found and when all will be done at this pace."""
        self._done += 1
        summary = _summary(values)
        left = _clock(self._forecast.finished(stage))
        what = f"{stage.name}: {summary}" if summary else stage.name
        self.say(f"{self._done}/{self._total} {what} (about {left} left)")

    def close(self) -> None:
        """Nothing to close."""


class Bars:
    """A bar for the pipeline and one for each stage that trains: for a terminal."""

    def __init__(self, stages: list[Stage], console: Console) -> None:
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            console=console,
            refresh_per_second=4,
        )
        self._all = self._bars.add_task("[bold]stages", total=len(stages), note="")
        self._stages: dict[str, TaskID] = {}
        self._forecast = Forecast(stages)
        self._done = 0
        self._bars.start()

    def say(self, line: str) -> None:
        """Print it above the bars."""
        self._bars.console.print(line, highlight=False, markup=False)

    def started(self, stage: Stage) -> None:
        """A bar appears with the first epoch's news: a waiting stage shows nothing."""

    def news(self, news: EpochNews) -> None:
        """Move the stage's bar."""
        if news.stage not in self._stages:
            self._stages[news.stage] = self._bars.add_task(news.stage, total=news.epochs, note="")
        left = (news.epochs - news.epoch) * news.seconds
        self._bars.update(
            self._stages[news.stage],
            completed=news.epoch,
            note=f"validation {news.validation_accuracy:.1%}, <= {left:.0f} s",
        )

    def finished(self, stage: Stage, values: dict[str, Any]) -> None:
        """Take the stage's bar away, and say what it found."""
        self._done += 1
        bar = self._stages.pop(stage.name, None)
        if bar is not None:
            self._bars.remove_task(bar)
        summary = _summary(values)
        if summary:
            self.say(f"{stage.name}: {summary}")
        left = _clock(self._forecast.finished(stage))
        self._bars.update(self._all, completed=self._done, note=f"about {left} left")

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._bars.stop()
