"""One executor for all trials of a sweep: a stage that several of them want is one stage.

The trials' graphs are laid over each other by stage key, and one process hands the stages out. So
no stage can run twice, or at the same time for two trials; what an earlier process finished is
looked up in the store when a trial first asks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from prac.analysis.metric import Metric
from prac.analysis.trials import State, TrialRow
from prac.distributed.executor import Failed, RayExecutor
from prac.distributed.sweep.trials import Ask, Exchange
from prac.errors import EmptySetError
from prac.lottery.graph import Graph, Stage
from prac.lottery.outputs import Made
from prac.lottery.request import Request
from prac.lottery.store import DamagedArtifact
from prac.sweep.space import label
from prac.sweep.union import Trial, Union, trial_graph
from prac.training.schedule import full_budget


class TrialLog(Protocol):
    """Who keeps what becomes of the trials."""

    def begin(
        self, number: int, label: str, values: Mapping[str, Any], tags: Mapping[str, str]
    ) -> None:
        """A trial begins, or goes on."""

    def end(self, label: str, state: str, values: Iterable[Metric], note: str = "") -> None:
        """A trial ended."""


@dataclass
class Foreman:
    """Takes what trials ask, has their stages run, answers what is finished.

    shared: stages that all trials have. numbers: of the points known beforehand, by label; others
    are numbered as they come. note: told of the stages of a trial, before they are looked up.
    """

    request: Request
    shared: Iterable[Stage]
    executor: RayExecutor
    exchange: Exchange
    log: TrialLog
    numbers: dict[str, int]
    note: Callable[[Iterable[Stage]], None] = lambda _: None
    trials: dict[str, Trial] = field(default_factory=dict)
    made: dict[str, Made] = field(default_factory=dict)

    def __post_init__(self) -> None:
        first = {stage.name: stage for stage in self.shared}
        self._union = Union(stage.key for stage in first.values())
        self._errors: dict[str, tuple[State, str]] = {}
        self._full = full_budget(self.request.recipe.train, self.request.num_training).steps
        names = self._union.add(Graph(first, ()), {})
        self._look_up(self._union.stages)
        self.executor.schedule.want(names.values())

    @property
    def stages(self) -> Mapping[str, Stage]:
        """All stages of all trials so far, by their names here."""
        return self._union.stages

    def serve(self, busy: Callable[[], bool]) -> None:
        """Serve the trials while there are any."""
        try:
            while busy():
                for ask in self.exchange.collect():
                    self._take(ask)
                self.executor.submit()
                if self.executor.busy:
                    for failed in self.executor.collect():
                        self._failed(failed)
                else:
                    time.sleep(0.1)
                self._answer()
        finally:
            self.executor.cancel()

    def _take(self, ask: Ask) -> None:
        values, name = ask.values, label(ask.values)
        if name not in self.trials:
            graph = trial_graph(self.request, values)
            before = set(self._union.stages)
            names = self._union.add(graph, values)
            new = {n: s for n, s in self._union.stages.items() if n not in before}
            if new:
                self.note(new.values())
            self._look_up(new)
            number = self.numbers.setdefault(name, len(self.numbers) + 1)
            self.trials[name] = Trial(
                number=number, values=values, graph=graph, names=names, full_steps=self._full
            )
            tags = {"recipe": self.request.recipe.name, "data_set": self.request.data_name}
            self.log.begin(number, name, values, tags)
        trial = self.trials[name]
        trial.waiting.add(ask.goal)
        for goal in range(trial.reach + 1, ask.reach + 1):
            wanted = (n for n in trial.stages_for(goal) if n not in self._errors)
            self.executor.schedule.want(wanted)
        trial.reach = max(trial.reach, ask.reach)

    def _look_up(self, stages: Mapping[str, Stage]) -> None:
        """Take what the store has of these stages; a damaged one is revoked and made again."""
        executor = self.executor
        found = executor.store.find(executor.context.data, (s.key for s in stages.values()))
        whole = {}
        for name, stage in stages.items():
            if stage.key not in found:
                continue
            try:
                self.made[name] = executor.store.read(found[stage.key])
                whole[name] = found[stage.key]
            except DamagedArtifact as error:
                executor.display.say(f"{error}: it is made again")
                executor.store.revoke(error.finished, error.what)
        executor.schedule.add(stages, whole)

    def _failed(self, failed: Failed) -> None:
        """The trials that need this stage end; the others go on."""
        state: State = "empty" if isinstance(failed.cause, EmptySetError) else "failed"
        for name in self.executor.schedule.give_up(failed.stage.name):
            self._errors[name] = (state, str(failed.told))
        self.executor.display.say(str(failed.told))

    def _answer(self) -> None:
        finished = self.executor.schedule.finished
        for name, trial in self.trials.items():
            if not trial.waiting:
                continue
            error = next((self._errors[n] for n in trial.names.values() if n in self._errors), None)
            for goal in sorted(trial.waiting):
                if error is None and not all(n in finished for n in trial.stages_for(goal)):
                    continue
                trial.waiting.remove(goal)
                if error is not None:
                    self._end(name, trial, *error)
                elif goal >= trial.rounds:
                    self._end(name, trial, "finished", "")
                report = {"failed": error[1]} if error else trial.report(goal, self._read(trial))
                self.exchange.answer(name, goal, report)

    def _read(self, trial: Trial) -> Mapping[str, Made]:
        """What a trial's finished stages made."""
        executor = self.executor
        for name in trial.names.values():
            if name in executor.schedule.finished and name not in self.made:
                self.made[name] = executor.store.read(executor.schedule.finished[name])
        return self.made

    @property
    def rows(self) -> list[TrialRow]:
        """What all trials found, by their numbers, one row an architecture."""
        trials = sorted(self.trials.values(), key=lambda trial: trial.number)
        return [row for trial in trials for row in trial.rows(self._read(trial))]

    def _end(self, name: str, trial: Trial, state: State, note: str) -> None:
        if trial.state is None:
            trial.state, trial.note = state, note
            self.log.end(name, state, trial.metrics(self._read(trial)), note)

    def close(self, *, stopped: bool) -> None:
        """No more trials: those without an end were stopped by the scheduler, or lost."""
        for name, trial in self.trials.items():
            if stopped:
                self._end(name, trial, "stopped", "")
            self._end(name, trial, "failed", "its process was lost; the same command goes on")
