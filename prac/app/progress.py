"""What is running, at which epoch, how accurate, until when: plain lines for the log of a job."""

from __future__ import annotations

import time

from prac.app.console import say
from prac.lottery.graph import Stage
from prac.lottery.outputs import Facts, JudgeFacts, RoundFacts, SetFacts, TrainedFacts
from prac.lottery.progress import EpochNews


class Forecast:
    """When all will be done, at the pace so far; a guess, since sets and stops are known late, and
    none at first: processes that start take longer than what they then do."""

    # A round on a PrAC set takes about this share of the full budget (as the published set sizes
    # have it), and a stage that trains nothing costs about as much as this share of one.
    SET_SHARE, OVERHEAD_SHARE = 0.3, 0.02
    KNOWN_FROM = 0.2

    def __init__(self, stages: list[Stage]) -> None:
        self._began = time.monotonic()
        self._full = max((stage.max_steps for stage in stages), default=1) or 1
        self._all = self._left = sum(map(self._work, stages))
        self._done = 0.0

    def _work(self, stage: Stage) -> float:
        on_a_set = stage.kind == "round" and not {"samples", "size"}.isdisjoint(stage.inputs)
        share = self.SET_SHARE if on_a_set else 1.0
        return stage.max_steps * share + self._full * self.OVERHEAD_SHARE

    def finished(self, stage: Stage) -> float | None:
        """Take a finished stage; the seconds left, None before a fifth of the work is done."""
        self._done += self._work(stage)
        self._left = max(0.0, self._left - self._work(stage))
        if self._done < self.KNOWN_FROM * self._all:
            return None
        return (time.monotonic() - self._began) * self._left / self._done

    @property
    def elapsed(self) -> int:
        """Whole seconds since the start."""
        return int(time.monotonic() - self._began)


def clock(seconds: float) -> str:
    """Minutes and seconds, with hours where there are any."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes:02d}:{rest:02d}"


def about(seconds: float | None) -> str:
    """A forecast in words; empty where there is none yet."""
    return "" if seconds is None else f"about {clock(seconds)} left"


def summary(facts: Facts, samples: int) -> str:
    """What a stage found, in a few words; empty where that is nothing to tell. samples: of the
    training split, beside which a set that is odd is seen to be."""
    parts = []
    if isinstance(facts, TrainedFacts):
        stopped = isinstance(facts, RoundFacts) and facts.stopped_early
        stop = " (stopped early)" if stopped else ""
        epochs = f"{facts.epochs} of {facts.budget_epochs} epochs{stop}"
        parts.append(epochs if facts.epochs else "as found")
    if isinstance(facts, RoundFacts | SetFacts):
        parts.append(f"{facts.set_size:,} of {samples:,} samples")
    if isinstance(facts, TrainedFacts):
        parts.append(f"validation {facts.best_accuracy:.1%}")
    if isinstance(facts, JudgeFacts):
        parts.append(f"test {facts.test_accuracy:.1%}")
    return ", ".join(parts)


class Lines:
    """Plain lines with elapsed time: for the log of a job."""

    EVERY_SECONDS = 10.0

    def __init__(self, stages: list[Stage], samples: int) -> None:
        self._total, self._samples = len(stages), samples
        self._done = 0
        self._forecast = Forecast(stages)
        self._said: dict[str, float] = {}

    def say(self, line: str) -> None:
        say(f"[{clock(self._forecast.elapsed)}] {line}")

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

    def finished(self, stage: Stage, facts: Facts) -> None:
        """Say it, with what the stage found and when all will be done at this pace."""
        self._done += 1
        told = summary(facts, self._samples)
        left = about(self._forecast.finished(stage))
        what = f"{stage.name}: {told}" if told else stage.name
        self.say(f"{self._done}/{self._total} {what}{f' ({left})' if left else ''}")

    def close(self) -> None: ...
