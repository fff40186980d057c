"""Bars for a terminal: one for the pipeline and one for each stage that trains."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from prac.app.progress import Forecast, about, summary
from prac.lottery.graph import Stage
from prac.lottery.outputs import Facts
from prac.lottery.progress import EpochNews


class Bars:
    """A bar for the pipeline and one for each stage that trains: for a terminal."""

    def __init__(self, stages: list[Stage], samples: int, console: Console) -> None:
        self._samples = samples
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
        self._bars.console.print(line, highlight=False, markup=False)

    def started(self, stage: Stage) -> None:
        """A bar appears with the first epoch's news: a waiting stage shows nothing."""

    def news(self, news: EpochNews) -> None:
        if news.stage not in self._stages:
            self._stages[news.stage] = self._bars.add_task(news.stage, total=news.epochs, note="")
        left = (news.epochs - news.epoch) * news.seconds
        self._bars.update(
            self._stages[news.stage],
            completed=news.epoch,
            note=f"validation {news.validation_accuracy:.1%}, <= {left:.0f} s",
        )

    def finished(self, stage: Stage, facts: Facts) -> None:
        """Take the stage's bar away, and say what it found."""
        self._done += 1
        bar = self._stages.pop(stage.name, None)
        if bar is not None:
            self._bars.remove_task(bar)
        told = summary(facts, self._samples)
        if told:
            self.say(f"{stage.name}: {told}")
        left = about(self._forecast.finished(stage))
        self._bars.update(self._all, completed=self._done, note=left)

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._bars.stop()
