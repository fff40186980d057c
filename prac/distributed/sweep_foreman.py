"""One executor for all trials of a sweep: a stage that several of them want is one stage.

The trials' graphs are laid over each other by stage key, and one process hands the stages out. So
no stage can run twice, or at the same time for two trials; what an earlier process finished is
looked up in the store when a trial first asks.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayError

from prac.distributed.context import Context
from prac.distributed.executor import Executor
from prac.distributed.graph import Graph, Kind, Request, SearchStages, Stage, build_graph
from prac.distributed.progress import Display
from prac.distributed.sweep_space import Values, label, short_label, varied
from prac.distributed.sweep_trials import Ask
from prac.errors import EmptySetError, PracError
from prac.report.front import State, TrialRow
from prac.tracking.store import DamagedArtifact, Finished, Metric
from prac.tracking.sweeps import SweepLog

KINDS: tuple[Kind, ...] = ("dense", "reduce", "select", "subset", "round", "judge")
"""What a trial is made of; tickets are made by `full.py` for the configuration that is taken."""


def trial_graph(request: Request, values: Values) -> Graph:
    """The stages of one trial."""
    recipe = varied(request.recipe, values)
    return build_graph(dataclasses.replace(request, recipe=recipe))


def swept_stages(graph: Graph) -> list[Stage]:
    """The stages of a graph that a trial runs, each after its inputs."""
    return [stage for stage in graph.stages.values() if stage.kind in KINDS]


class Union:
    """Graphs laid over each other: a stage for each key, with a name of its own.

    shared: keys that all trials have; these stages keep their plain names.
    """

    def __init__(self, shared: Iterable[str]) -> None:
        self.stages: dict[str, Stage] = {}
        self._shared = set(shared)
        self._names: dict[str, str] = {}

    def add(self, graph: Graph, values: Values) -> dict[str, str]:
        """Add a trial's graph; returns its own stage names to the names here."""
        names: dict[str, str] = {}
        for stage in swept_stages(graph):
            name = self._names.get(stage.key)
            if name is None:
                plain = stage.key in self._shared
                name = stage.name if plain else f"{stage.name}:{short_label(values)}"
                inputs = {role: names[other] for role, other in stage.inputs.items()}
                self.stages[name] = dataclasses.replace(stage, name=name, inputs=inputs)
                self._names[stage.key] = name
            names[stage.name] = name
        return names


@dataclass
class Trial:
    """One trial as the foreman sees it. names: its own stage names to the union's.

    reach: how far its stages may run. waiting: goals that it waits for.
    """

    number: int
    values: Values
    graph: Graph
    names: dict[str, str]
    reach: int = -1
    waiting: set[int] = field(default_factory=set)
    state: State | None = None
    note: str = ""

    @property
    def rounds(self) -> int:
        """Rounds of its searches; the goal of this number is everything."""
        return len(self.graph.searches[0].rounds)

    @property
    def searches(self) -> list[SearchStages]:
        """The searches that a sweep compares."""
        return [search for search in self.graph.searches if search.method == "prac"]

    def stages_for(self, goal: int) -> list[str]:
        """The union's stages that a goal needs, their inputs not counted."""
        if goal >= self.rounds:
            return list(self.names.values())
        return [self.names[search.rounds[goal]] for search in self.searches]


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
                report = {"failed": error[1]} if error else self._report(trial, goal)
                self._exchange.answer.remote(name, goal, report)

    def _report(self, trial: Trial, goal: int) -> dict[str, Any]:
        """What Tune is told: validation accuracy (mean over architectures), never the test split."""
        rows = [self._row(trial, search, min(goal + 1, trial.rounds)) for search in trial.searches]
        steps = sum(row.search_steps for row in rows)
        if goal >= trial.rounds:
            known = [row.validation_accuracy for row in rows if row.validation_accuracy is not None]
        else:
            values = [self._values(trial, search.rounds[goal]) for search in trial.searches]
            known = [float(v["best_accuracy"]) for v in values]
        accuracy = sum(known) / len(known)
        return {
            "rounds": goal + 1,
            "validation_accuracy": accuracy,
            "accuracy": accuracy,
            "steps": steps,
            "set_size": sum(row.set_size or 0 for row in rows),
        }

    def _values(self, trial: Trial, name: str) -> Mapping[str, Any]:
        found: Finished | None = self.finished.get(trial.names.get(name, ""))
        return {} if found is None else found.values

    def _row(self, trial: Trial, search: SearchStages, rounds: int, note: str = "") -> TrialRow:
        """One architecture of a trial after so many rounds."""
        trained = [self._values(trial, name) for name in search.rounds[:rounds]]
        steps = sum(int(values["steps"]) for values in trained)
        made = self._values(trial, search.samples[rounds - 1]) if rounds and search.samples else {}
        judged = self._values(trial, search.judgements[rounds]) if rounds == trial.rounds else {}
        return TrialRow(
            trial=trial.number,
            label=label(trial.values),
            architecture=search.architecture,
            state=trial.state or "stopped",
            rounds=rounds,
            test_accuracy=judged.get("test_accuracy"),
            validation_accuracy=judged.get("best_accuracy"),
            search_steps=steps,
            # Vanilla spends the full budget, which round 0 was given, on each of these rounds.
            steps_saved=1 - steps / (int(trained[0]["budget_steps"]) * rounds) if rounds else None,
            set_size=made.get("set_size"),
            sparsity=trained[-1]["next_sparsity"] if rounds else None,
            note=note,
        )

    def _rounds_done(self, trial: Trial, search: SearchStages) -> int:
        done = 0
        for name in search.rounds:
            if not self._values(trial, name):
                break
            done += 1
        return done

    def rows(self, trial: Trial) -> list[TrialRow]:
        """What a trial found, one row an architecture."""
        return [
            self._row(trial, search, self._rounds_done(trial, search), trial.note)
            for search in trial.searches
        ]

    def _end(self, name: str, trial: Trial, state: State, note: str) -> None:
        if trial.state is None:
            trial.state, trial.note = state, note
            self._log.end(name, state, self._metrics(trial), note)

    def close(self, *, stopped: bool) -> None:
        """No more trials: those without an end were stopped by the scheduler, or lost."""
        for name, trial in self.trials.items():
            if stopped:
                self._end(name, trial, "stopped", "")
            self._end(name, trial, "failed", "its process was lost; the same command goes on")

    def _metrics(self, trial: Trial) -> list[Metric]:
        rows = self.rows(trial)
        metrics: list[Metric] = []
        for search, row in zip(trial.searches, rows, strict=True):
            prefix = f"{row.architecture}/" if len(rows) > 1 else ""
            for index in range(row.rounds):
                trained = self._values(trial, search.rounds[index])
                for ours, theirs in (
                    ("round_validation", "best_accuracy"),
                    ("round_steps", "steps"),
                    ("round_set_size", "set_size"),
                ):
                    metrics.append(
                        Metric(name=f"{prefix}{ours}", value=trained[theirs], step=index)
                    )
            if prefix:
                metrics += _last(prefix, [row])
        return metrics + _last("", rows)


def _last(prefix: str, rows: list[TrialRow]) -> list[Metric]:
    """Final numbers: steps are summed over architectures, all else is their mean."""
    metrics = []
    for name in (
        "test_accuracy",
        "validation_accuracy",
        "search_steps",
        "steps_saved",
        "set_size",
        "sparsity",
    ):
        known = [float(v) for row in rows if (v := getattr(row, name)) is not None]
        if known and len(known) == len(rows):
            share = 1 if name == "search_steps" else len(known)
            metrics.append(Metric(name=prefix + name, value=sum(known) / share))
    return metrics
