"""A cluster that is played: tasks run in this process, what they do is the test's to say."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from prac.config.sections import AugmentConfig
from prac.data.dataset import ImageDataset
from prac.distributed.context import Context, Resources
from prac.distributed.progress import Desk
from prac.distributed.reducer import reduce_in_parts
from prac.lottery.env import Work
from prac.lottery.graph import Stage
from prac.lottery.outputs import Cost, CountFacts, Facts, JudgeFacts, Made, RoundFacts, SetFacts
from prac.lottery.progress import EpochNews
from prac.lottery.rounds import RoundOutcome, RoundTask, run_round, train_round
from prac.lottery.store import MemoryStore


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a task asked for. attempt: how many of its name came before it."""

    name: str
    attempt: int
    cpus: float
    gpus: float
    function: Callable[..., Any]
    arguments: tuple[Any, ...]

    def __call__(self) -> Any:
        """Do what the task is for."""
        return self.function(*self.arguments)


@dataclass
class PlayedTasks:
    """Tasks that run when their results are asked for, the first handed over first.

    play: what becomes of a task; by default it runs. together: all that are at work end at once.
    """

    play: Callable[[Asked], Any] = Asked.__call__
    cpus: int = 2
    together: bool = False
    asked: list[Asked] = field(default_factory=list)
    at_work: list[list[str]] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)

    def submit(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        name: str,
        cpus: float = 1,
        gpus: float = 0,
    ) -> Hashable:
        asked = Asked(
            name=name,
            attempt=sum(other.name == name for other in self.asked),
            cpus=cpus,
            gpus=gpus,
            function=function,
            arguments=arguments,
        )
        self.asked.append(asked)
        return len(self.asked) - 1

    def wait(self, handles: Sequence[Hashable]) -> Sequence[Hashable]:
        self.at_work.append([self._of(handle).name for handle in handles])
        return handles if self.together else handles[:1]

    def result(self, handle: Hashable) -> Any:
        return self.play(self._of(handle))

    def cancel(self, handle: Hashable) -> None:
        self.cancelled.append(self._of(handle).name)

    def _of(self, handle: Hashable) -> Asked:
        assert isinstance(handle, int)
        return self.asked[handle]

    @property
    def order(self) -> list[str]:
        """The names of all tasks, as they were handed over."""
        return [asked.name for asked in self.asked]


class Recorder:
    """A display and a desk that keep what they were told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.heard: list[EpochNews] = []
        self.waiting: list[EpochNews] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def started(self, stage: Stage) -> None: ...

    def finished(self, stage: Stage, facts: Facts) -> None: ...

    def news(self, news: EpochNews) -> None:
        self.heard.append(news)

    def close(self) -> None: ...

    def report(self, news: EpochNews) -> None:
        self.waiting.append(news)

    def collect(self) -> list[EpochNews]:
        news, self.waiting = self.waiting, []
        return news


class RevokingStore(MemoryStore):
    """A memory store that remembers what was revoked: the name of the stage, and why."""

    def __init__(self) -> None:
        super().__init__()
        self.revoked: list[tuple[str, str]] = []

    def revoke(self, finished: Any, reason: str) -> None:
        self.revoked.append((finished.name, reason))
        super().revoke(finished, reason)


@dataclass(frozen=True, kw_only=True)
class PlayedContext(Context):
    """A context whose data set is here, and not in a cluster's memory, and whose dense runs have
    no workers but this process."""

    given: ImageDataset | None = None

    def dataset(self) -> ImageDataset:
        assert self.given is not None
        return self.given

    def train(self, task: RoundTask, work: Work) -> RoundOutcome:
        run = train_round if work.stage.kind == "dense" else run_round
        return run(task, self.images(), work.folder, on_epoch=work.on_epoch)

    def count(self, key: str, epochs: int) -> pa.Table:
        tasks = PlayedTasks()
        return reduce_in_parts(self, run=key, epochs=epochs, tasks=tasks, events_a_task=1000)


def played_context(
    storage: Path,
    *,
    desk: Desk | None = None,
    dataset: ImageDataset | None = None,
    augment: AugmentConfig | None = None,
    **more: Any,
) -> PlayedContext:
    """What stages are handed. more: of the resources."""
    return PlayedContext(
        data="d" * 32,
        augment=augment or AugmentConfig(crop_padding=1, flip=False),
        shared=[],
        desk=desk or Recorder(),
        resources=Resources(**{"storage": str(storage), "workers": 2, **more}),
        given=dataset,
    )


def plain_made(stage: Stage, *, steps: int = 100) -> Made:
    """What a stage of this kind might have made: facts and steps, no files."""
    facts: Facts = Facts()
    trained: dict[str, Any] = {"epochs": 5, "budget_epochs": 10, "best_epoch": 4}
    if stage.kind in ("dense", "round"):
        facts = RoundFacts(
            **trained,
            best_accuracy=0.5 + 0.1 * stage.round_index,
            set_size=40,
            stopped_early=True,
            distances=(0.5, 0.25),
            next_sparsity=1 - 0.8 ** (stage.round_index + 1),
            next_weights_alive=round(1000 * 0.8 ** (stage.round_index + 1)),
            weights=1000,
        )
    elif stage.kind in ("select", "subset"):
        facts = SetFacts(set_size=40, cet_size=30, cep_size=20, overlap=10, digest="d")
    elif stage.kind == "reduce":
        facts = CountFacts(events=800)
    elif stage.kind == "judge":
        facts = JudgeFacts(**trained, best_accuracy=0.9, test_accuracy=0.9)
    trains = stage.kind in ("dense", "round", "judge", "proxy")
    return Made(facts=facts, cost=Cost(steps=steps if trains else 0))
