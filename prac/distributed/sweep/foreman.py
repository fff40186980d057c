"""One executor for all trials of a sweep: a stage that several of them want is one stage.

The trials' graphs are laid over each other by stage key, and one process hands the stages out. So
no stage can run twice, or at the same time for two trials; what an earlier process finished is
looked up in the store when a trial first asks.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import ray
from ray.exceptions import RayError

from prac.distributed.context import Context
from prac.distributed.executor import Executor
from prac.distributed.progress import Display
from prac.distributed.sweep.trials import Ask
from prac.errors import EmptySetError, PracError
from prac.lottery.graph import Graph, Request, Stage
from prac.report.front import State, TrialRow
from prac.sweep.space import label
from prac.sweep.union import Trial, Union, trial_graph
from prac.tracking.store import DamagedArtifact
from prac.tracking.sweeps import SweepLog


class Foreman(Executor):
    """Takes what trials ask, hands out their stages, answers what is finished.

    numbers: of the points known beforehand, by label; others are numbered as they come.
    """

    def __init__(
        self,
        request: Request,
        shared: Iterable[Stage],
        context: Context,
        display: Display,
        *,
        cpus: int | None,
        exchange: Any,
        log: SweepLog,
        numbers: Mapping[str, int],
    ) -> None:
        super().__init__(Graph({}, ()), {}, context, display, cpus=cpus)
        self._request = request
        self._exchange = exchange
        self._log = log
        self._numbers = dict(numbers)
        first = {stage.name: stage for stage in shared}
        self._union = Union(stage.key for stage in first.values())
        self._common = list(self._union.add(Graph(first, ()), {}).values())
        self._look_up(self._union.stages.values())
        self._errors: dict[str, tuple[State, str]] = {}
        self.trials: dict[str, Trial] = {}
        self._aim()

    @property
    def stages(self) -> Mapping[str, Stage]:
        """All stages of all trials so far, by their names here."""
        return self._union.stages

    def serve(self, busy: Callable[[], bool]) -> None:
        """Serve the trials while there are any."""
        try:
            while busy():
                for ask in ray.get(self._exchange.collect.remote()):
                    self._take(ask)
                self._submit(self._waiting())
                if self._running:
                    self._collect()
                else:
                    time.sleep(0.1)
                self._answer()
        finally:
            for ref in self._running:
                ray.cancel(ref, force=True)

    def _take(self, ask: Ask) -> None:
        values, name = ask.values, label(ask.values)
        if name not in self.trials:
            graph = trial_graph(self._request, values)
            before = set(self._union.stages)
            names = self._union.add(graph, values)
            self._look_up(s for n, s in self._union.stages.items() if n not in before)
            number = self._numbers.setdefault(name, len(self._numbers) + 1)
            self.trials[name] = Trial(number=number, values=values, graph=graph, names=names)
            tags = {"recipe": self._request.recipe.name, "data_set": self._request.data_name}
            self._log.begin(number, name, values, tags)
        trial = self.trials[name]
        trial.waiting.add(ask.goal)
        trial.reach = max(trial.reach, ask.reach)
        self._aim()

    def _look_up(self, stages: Iterable[Stage]) -> None:
        """Take what the store has of these stages; a damaged one is revoked and made again."""
        by_key = {stage.key: stage for stage in stages}
        store = self._context.store
        for key, found in store.find(self._context.data, by_key).items():
            try:
                whole = dataclasses.replace(found, values=store.values(found))
            except DamagedArtifact as error:
                self._display.say(f"{error}: it is made again")
                store.revoke(found, error.what)
                continue
            self.finished[by_key[key].name] = whole

    def _aim(self) -> None:
        targets = list(self._common)
        for trial in self.trials.values():
            for goal in range(trial.reach + 1):
                targets.extend(trial.stages_for(goal))
        self._graph = Graph(self._union.stages, tuple(dict.fromkeys(targets)))

    def _waiting(self) -> list[Stage]:
        return [stage for stage in super()._waiting() if stage.name not in self._errors]

    def _failed(self, stage: Stage, error: RayError, told: PracError) -> None:
        """The trials that need this stage end; the others go on."""
        state: State = "empty" if isinstance(error, EmptySetError) else "failed"
        self._errors[stage.name] = (state, str(told))
        self._display.say(str(told))

    def _answer(self) -> None:
        for name, trial in self.trials.items():
            error = next((self._errors[n] for n in trial.names.values() if n in self._errors), None)
            for goal in sorted(trial.waiting):
                if error is None and not all(n in self.finished for n in trial.stages_for(goal)):
                    continue
                trial.waiting.remove(goal)
                if error is not None:
                    self._end(name, trial, *error)
                elif goal >= trial.rounds:
                    self._end(name, trial, "finished", "")
                report = {"failed": error[1]} if error else trial.report(goal, self.finished)
                self._exchange.answer.remote(name, goal, report)

    @property
    def rows(self) -> list[TrialRow]:
        """What all trials found, by their numbers, one row an architecture."""
        trials = sorted(self.trials.values(), key=lambda trial: trial.number)
        return [row for trial in trials for row in trial.rows(self.finished)]

    def _end(self, name: str, trial: Trial, state: State, note: str) -> None:
        if trial.state is None:
            trial.state, trial.note = state, note
            self._log.end(name, state, trial.metrics(self.finished), note)

    def close(self, *, stopped: bool) -> None:
        """No more trials: those without an end were stopped by the scheduler, or lost."""
        for name, trial in self.trials.items():
            if stopped:
                self._end(name, trial, "stopped", "")
            self._end(name, trial, "failed", "its process was lost; the same command goes on")
