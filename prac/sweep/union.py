"""A sweep's trials as graphs laid over each other, and what each of them found."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from prac.lottery.compose import build_graph
from prac.lottery.graph import Graph, Kind, Request, SearchStages, Stage
from prac.report.front import State, TrialRow
from prac.sweep.space import Values, label, short_label, varied
from prac.tracking.store import Finished, Metric

KINDS: tuple[Kind, ...] = tuple(k for k in get_args(Kind) if k not in ("ticket", "report"))
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

    def rows(self, finished: Mapping[str, Finished]) -> list[TrialRow]:
        """What it found so far, one row an architecture. finished: by the union's stage names."""
        return [self._row(search, finished) for search in self.searches]

    def report(self, goal: int, finished: Mapping[str, Finished]) -> dict[str, Any]:
        """What Tune is told: mean validation accuracy, never anything of the test split."""
        rows = self.rows(finished)
        if goal >= self.rounds:
            known = [row.validation_accuracy or 0.0 for row in rows]
        else:
            trained = [self._values(search.rounds[goal], finished) for search in self.searches]
            known = [float(values["best_accuracy"]) for values in trained]
        accuracy = sum(known) / len(known)
        return {
            "rounds": goal + 1,
            "validation_accuracy": accuracy,
            "accuracy": accuracy,
            "steps": sum(row.search_steps for row in rows),
        }

    def metrics(self, finished: Mapping[str, Finished]) -> list[Metric]:
        """What its run in the tracker shows: by round, then the final numbers."""
        rows = self.rows(finished)
        metrics: list[Metric] = []
        for search, row in zip(self.searches, rows, strict=True):
            prefix = f"{row.architecture}/" if len(rows) > 1 else ""
            for index in range(row.rounds):
                trained = self._values(search.rounds[index], finished)
                metrics += [
                    Metric(name=f"{prefix}{ours}", value=float(trained[theirs]), step=index)
                    for ours, theirs in _BY_ROUND.items()
                ]
            if prefix:
                metrics += _final(prefix, [row])
        return metrics + _final("", rows)

    def _values(self, name: str, finished: Mapping[str, Finished]) -> Mapping[str, Any]:
        found = finished.get(self.names.get(name, ""))
        return {} if found is None else found.values

    def _row(self, search: SearchStages, finished: Mapping[str, Finished]) -> TrialRow:
        trained: list[Mapping[str, Any]] = []
        for name in search.rounds:
            values = self._values(name, finished)
            if not values:
                break
            trained.append(values)
        rounds, steps = len(trained), sum(int(values["steps"]) for values in trained)
        made = self._values(search.samples[rounds - 1], finished) if rounds else {}
        judged: list[Mapping[str, Any]] = []
        if rounds == self.rounds:
            judged = [self._values(name, finished) for name in search.judgements[rounds]]
        return TrialRow(
            trial=self.number,
            label=label(self.values),
            architecture=search.architecture,
            state=self.state or "stopped",
            rounds=rounds,
            test_accuracy=_mean(judged, "test_accuracy"),
            validation_accuracy=_mean(judged, "best_accuracy"),
            search_steps=steps,
            # Vanilla spends the full budget, which round 0 was given, on each of these rounds.
            steps_saved=1 - steps / (int(trained[0]["budget_steps"]) * rounds) if rounds else None,
            set_size=made.get("set_size"),
            sparsity=trained[-1]["next_sparsity"] if rounds else None,
            note=self.note,
        )


def _mean(judged: list[Mapping[str, Any]], name: str) -> float | None:
    """Over the seeds; None until all of them are judged."""
    known = [float(values[name]) for values in judged if name in values]
    return sum(known) / len(known) if known and len(known) == len(judged) else None


_BY_ROUND = {
    "round_validation": "best_accuracy",
    "round_steps": "steps",
    "round_set_size": "set_size",
}
_FINAL = (
    "test_accuracy",
    "validation_accuracy",
    "search_steps",
    "steps_saved",
    "set_size",
    "sparsity",
)


def _final(prefix: str, rows: list[TrialRow]) -> list[Metric]:
    """Final numbers: steps are summed over architectures, all else is their mean."""
    metrics = []
    for name in _FINAL:
        known = [float(value) for row in rows if (value := getattr(row, name)) is not None]
        if known and len(known) == len(rows):
            share = 1 if name == "search_steps" else len(known)
            metrics.append(Metric(name=prefix + name, value=sum(known) / share))
    return metrics
