"""The sets that other thresholds would make, from the statistics and predictions in the store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from prac.app.options import Options
from prac.app.pipeline import Pipeline
from prac.config.sections import Recipe
from prac.data.dataset import ImageDataset
from prac.distributed import artifacts
from prac.errors import ConfigError
from prac.lottery.graph import SearchStages
from prac.selection.thresholds import ThresholdRow, what_if
from prac.tracking.store import Finished


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
    console: Console,
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
    pipeline = Pipeline(recipe, options, console)
    dataset = pipeline.source.load()
    reader = _Reader(pipeline, dataset, tuple(thresholds))
    found: list[StoredThresholds] = []
    for search in pipeline.graph.searches:
        # What borrows another architecture's sets has no statistics of its own.
        if search.method != "prac" or options.transfer_from not in (None, search.architecture):
            continue
        if not reader.has_dense(search):
            raise ConfigError(
                f"the dense run of {search.architecture} and its statistics are not in the store "
                f"{pipeline.store.tracking_uri}; make them with: {command()}"
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
        data=pipeline.request.data_name,
        num_training=pipeline.request.num_training,
        class_names=dataset.class_names,
        found=tuple(found),
    )


class _Reader:
    def __init__(
        self, pipeline: Pipeline, dataset: ImageDataset, thresholds: tuple[int, ...]
    ) -> None:
        self._pipeline, self._dataset, self._thresholds = pipeline, dataset, thresholds

    def _stage(self, name: str) -> Finished | None:
        pipeline = self._pipeline
        return pipeline.found.get(pipeline.graph.stages[name].key)

    def _statistics(self, search: SearchStages, index: int) -> Finished | None:
        if index > 0:
            return self._stage(search.rounds[index]) if index < len(search.rounds) else None
        dense = search.rounds[0]
        for name, stage in self._pipeline.graph.stages.items():
            if stage.kind == "reduce" and dense in stage.inputs.values():
                return self._stage(name)
        return None

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
        read = self._pipeline.store.read
        predicted: dict[str, Any] = {}
        if index > 0 and self._pipeline.recipe.select.cep:
            for role, stage in (("dense", dense), ("pruned", left)):
                table = read(stage, artifacts.PREDICTIONS, artifacts.read_table)
                predicted[role] = table["predicted"].to_numpy()
        rows = what_if(
            read(left, artifacts.STATISTICS, artifacts.read_table),
            self._thresholds,
            labels=self._dataset.train_labels,
            num_classes=self._dataset.num_classes,
            training_ids=self._dataset.training_ids,
            select=self._pipeline.recipe.select,
            **predicted,
        )
        return StoredThresholds(architecture=search.architecture, after=index, rows=tuple(rows))
