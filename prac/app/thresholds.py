"""The sets that other thresholds would make, from the statistics and predictions in the store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from prac.app.options import Options
from prac.app.places import Place, open_place
from prac.app.planned import Planned, plan_pipeline
from prac.config.methods import PRAC
from prac.config.sections import Recipe
from prac.errors import ConfigError
from prac.lottery.graph import SearchStages
from prac.lottery.outputs import PREDICTIONS, STATISTICS, Made
from prac.selection.thresholds import ThresholdRow, what_if


@dataclass(frozen=True, kw_only=True)
class StoredThresholds:
    """What each threshold would have made of what one round left.

    after: the round; its set is the one that round `after` + 1 trains on.
    """

    architecture: str
    after: int
    rows: tuple[ThresholdRow, ...]


@dataclass(frozen=True, kw_only=True)
class StoredSets:
    """All rounds found in the store, with the names of the classes."""

    data: str
    num_training: int
    class_names: tuple[str, ...]
    found: tuple[StoredThresholds, ...]


def stored_thresholds(
    recipe: Recipe,
    options: Options,
    *,
    thresholds: Sequence[int],
    after: int | None,
    command: Callable[[], str],
) -> StoredSets:
    """The what-if table of every finished round, or of round `after`; needs no cluster.

    The rounds are those of the recipe's own threshold: after round 0 the table holds for any
    recipe that shares the dense run, after later rounds for the rounds that were trained.
    command: makes the dense run. Raises ConfigError where it isn't in the store.
    """
    if recipe.select.score != "critical":
        raise ConfigError(
            f"select.score {recipe.select.score} has no threshold; allowed here: critical"
        )
    planned = plan_pipeline(recipe, options)
    place = open_place(planned)
    reader = _Reader(planned, place, tuple(thresholds))
    found: list[StoredThresholds] = []
    for search in planned.graph.searches:
        # What borrows another architecture's sets has no statistics of its own.
        if search.method != PRAC.name or options.transfer_from not in (None, search.architecture):
            continue
        if not reader.has_dense(search):
            raise ConfigError(
                f"the dense run of {search.architecture} and its statistics are not in the store "
                f"{place.where}; make them with: {command()}"
            )
        wanted = range(len(search.rounds)) if after is None else (after,)
        mine = [table for k in wanted if (table := reader.table(search, k)) is not None]
        if not mine:
            raise ConfigError(
                f"round {after} of {search.architecture} is not in the store; rounds that are: "
                f"{', '.join(str(k) for k in range(len(search.rounds)) if reader.has(search, k))}"
            )
        found += mine
    return StoredSets(
        data=planned.request.data_name,
        num_training=planned.request.num_training,
        class_names=planned.summary.class_names,
        found=tuple(found),
    )


class _Reader:
    def __init__(self, planned: Planned, place: Place, thresholds: tuple[int, ...]) -> None:
        self._planned, self._place, self._thresholds = planned, place, thresholds
        self._found = place.found(planned.graph)
        self._reducers = {
            stage.inputs["dense"]: name
            for name, stage in planned.graph.stages.items()
            if stage.kind == "reduce"
        }

    def _stage(self, name: str) -> Made | None:
        finished = self._found.get(self._planned.graph.stages[name].key)
        return None if finished is None else self._place.store.read(finished)

    def _statistics(self, search: SearchStages, index: int) -> Made | None:
        if index > 0:
            return self._stage(search.rounds[index]) if index < len(search.rounds) else None
        reducer = self._reducers.get(search.rounds[0])
        return None if reducer is None else self._stage(reducer)

    def has_dense(self, search: SearchStages) -> bool:
        """Whether the dense run and its statistics are there."""
        return self._stage(search.rounds[0]) is not None and self.has(search, 0)

    def has(self, search: SearchStages, index: int) -> bool:
        """Whether this round's statistics are there."""
        return self._statistics(search, index) is not None

    def table(self, search: SearchStages, index: int) -> StoredThresholds | None:
        """One round's table; None where the round isn't in the store."""
        left = self._statistics(search, index)
        dense = self._stage(search.rounds[0])
        if left is None or dense is None:
            return None
        select, dataset = self._planned.recipe.select, self._planned.dataset
        predicted: dict[str, Any] = {}
        if index > 0 and select.cep:
            for role, made in (("dense", dense), ("pruned", left)):
                predicted[role] = made[PREDICTIONS]["predicted"].to_numpy()
        rows = what_if(
            left[STATISTICS],
            self._thresholds,
            labels=dataset.train_labels,
            num_classes=dataset.num_classes,
            training_ids=dataset.training_ids,
            select=select,
            **predicted,
        )
        return StoredThresholds(architecture=search.architecture, after=index, rows=tuple(rows))
