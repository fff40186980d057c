"""A sweep's trials as graphs laid over each other, and what each of them found."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from prac.analysis.metric import Metric
from prac.analysis.results import mean
from prac.analysis.trials import State, TrialRow
from prac.config.methods import PRAC
from prac.lottery.bill import steps_saved
from prac.lottery.compose import build_graph
from prac.lottery.graph import Graph, SearchStages, Stage
from prac.lottery.outputs import JudgeFacts, Made, RoundFacts, SetFacts
from prac.lottery.request import Request
from prac.sweep.space import Values, label, short_label, varied


def is_swept(stage: Stage) -> bool:
    """Whether a trial runs it; tickets are made for the configuration that is taken."""
    return stage.kind not in ("ticket", "report")


def trial_graph(request: Request, values: Values) -> Graph:
    """The stages of one trial."""
    recipe = varied(request.recipe, values)
    return build_graph(dataclasses.replace(request, recipe=recipe))


def swept_stages(graph: Graph) -> list[Stage]:
    """The stages of a graph that a trial runs, each after its inputs."""
    return [stage for stage in graph.stages.values() if is_swept(stage)]


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


Part = tuple[Values, list[Stage]]
"""A point, and those of its stages that no part before has."""


def overlaid(request: Request, shared: Sequence[Stage], points: Iterable[Values]) -> list[Part]:
    """The stages of trials, each once: first the shared ones, then what every point adds."""
    union = Union(stage.key for stage in shared)
    union.add(Graph({stage.name: stage for stage in shared}, ()), {})
    parts: list[Part] = [({}, list(union.stages.values()))]
    for values in points:
        before = len(union.stages)
        union.add(trial_graph(request, values), values)
        parts.append((values, list(union.stages.values())[before:]))
    return parts


@dataclass
class Trial:
    """One trial as the foreman sees it. names: its own stage names to the union's.

    full_steps: of the full budget. reach: how far its stages may run. waiting: goals that it waits
    for.
    """

    number: int
    values: Values
    graph: Graph
    names: dict[str, str]
    full_steps: int
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
        return [search for search in self.graph.searches if search.method == PRAC.name]

    def stages_for(self, goal: int) -> list[str]:
        """The union's stages that a goal needs, their inputs not counted."""
        if goal >= self.rounds:
            return list(self.names.values())
        return [self.names[search.rounds[goal]] for search in self.searches]

    def rows(self, made: Mapping[str, Made]) -> list[TrialRow]:
        """What it found so far, one row an architecture. made: by the union's stage names."""
        return [self._row(search, made) for search in self.searches]

    def report(self, goal: int, made: Mapping[str, Made]) -> dict[str, Any]:
        """What Tune is told: mean validation accuracy, never anything of the test split."""
        rows = self.rows(made)
        if goal >= self.rounds:
            known = [row.validation_accuracy or 0.0 for row in rows]
        else:
            trained = [self._trained(search.rounds[goal], made) for search in self.searches]
            known = [facts.best_accuracy for facts in trained if facts is not None]
        accuracy = sum(known) / len(known)
        return {
            "rounds": goal + 1,
            "validation_accuracy": accuracy,
            "accuracy": accuracy,
            "steps": sum(row.search_steps for row in rows),
        }

    def metrics(self, made: Mapping[str, Made]) -> list[Metric]:
        """What its run in the tracker shows: by round, then the final numbers."""
        rows = self.rows(made)
        values: list[Metric] = []
        for search, row in zip(self.searches, rows, strict=True):
            prefix = f"{row.architecture}/" if len(rows) > 1 else ""
            for index, name in enumerate(search.all_rounds):
                trained, steps = self._trained(name, made), self._made(name, made)
                if trained is None:
                    continue
                by_round = {
                    "round_validation": trained.best_accuracy,
                    "round_steps": 0 if steps is None else steps.cost.steps,
                    "round_set_size": trained.set_size,
                }
                values += [Metric(prefix + name, float(v), index) for name, v in by_round.items()]
            if prefix:
                values += _final(prefix, [row])
        return values + _final("", rows)

    def _made(self, name: str, made: Mapping[str, Made]) -> Made | None:
        return made.get(self.names.get(name, ""))

    def _trained(self, name: str, made: Mapping[str, Made]) -> RoundFacts | None:
        found = self._made(name, made)
        return found.facts if found is not None and isinstance(found.facts, RoundFacts) else None

    def _row(self, search: SearchStages, made: Mapping[str, Made]) -> TrialRow:
        trained: list[RoundFacts] = []
        # Where a round makes its own mask, there is none after the first.
        own = search.makes_own_masks
        for name in search.all_rounds if own else search.rounds:
            facts = self._trained(name, made)
            if facts is None:
                break
            trained.append(facts)
        rounds = max(0, len(trained) - own)
        last = self._made(search.samples[rounds - 1], made) if rounds else None
        judged: list[JudgeFacts] = []
        asked = search.judgements[rounds] if rounds == self.rounds else ()
        for name in asked:
            found = self._made(name, made)
            if found is not None:
                judged.append(found.known(JudgeFacts))
        whole = judged if len(judged) == len(asked) else []
        # As everywhere: what was trained for the ticket, a proxy among it.
        ended = bool(whole)
        needed = search.trainings(rounds, judged=ended) or search.all_rounds[: len(trained)]
        paid = [self._made(name, made) for name in needed]
        steps = sum(found.cost.steps for found in paid if found is not None)
        return TrialRow(
            trial=self.number,
            label=label(self.values),
            architecture=search.architecture,
            state=self.state or "stopped",
            rounds=rounds,
            test_accuracy=mean(tuple(facts.test_accuracy for facts in whole)),
            validation_accuracy=mean(tuple(facts.best_accuracy for facts in whole)),
            search_steps=steps,
            steps_saved=steps_saved(steps, self.full_steps, search.budgets(rounds, judged=ended))
            if rounds
            else None,
            set_size=None if last is None else last.known(SetFacts).set_size,
            sparsity=trained[-1].next_sparsity if rounds else None,
            note=self.note,
        )


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
    values = []
    for name in _FINAL:
        known = [float(value) for row in rows if (value := getattr(row, name)) is not None]
        if known and len(known) == len(rows):
            share = 1 if name == "search_steps" else len(known)
            values.append(Metric(prefix + name, sum(known) / share))
    return values
