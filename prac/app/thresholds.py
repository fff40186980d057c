"""The sets that other thresholds would make, from the statistics and predictions in the store."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from prac.analysis.evidence import StageFiles
from prac.analysis.what_ifs import StoredSets, StoredThresholds
from prac.app.options import Options
from prac.app.places import open_place, read_found
from prac.app.planned import plan_pipeline
from prac.config.methods import PRAC
from prac.config.recipe import Recipe
from prac.errors import ConfigError


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
    evidence = StageFiles(planned.graph, read_found(place, planned.graph), planned.dataset, {})
    found: list[StoredThresholds] = []
    for search in planned.graph.searches:
        # What borrows another architecture's sets has no statistics of its own.
        if search.method != PRAC.name or options.transfer_from not in (None, search.architecture):
            continue
        tables = {
            index: StoredThresholds(architecture=search.architecture, after=index, rows=tuple(rows))
            for index in range(len(search.rounds))
            if (rows := evidence.what_if(search, index, thresholds, recipe.select)) is not None
        }
        if 0 not in tables:
            raise ConfigError(
                f"the dense run of {search.architecture} and its statistics are not in the store "
                f"{place.where}; make them with: {command()}"
            )
        if after is not None and after not in tables:
            raise ConfigError(
                f"round {after} of {search.architecture} is not in the store; rounds that are: "
                f"{', '.join(map(str, tables))}"
            )
        found += tables.values() if after is None else [tables[after]]
    return StoredSets(
        data=planned.request.data_name,
        num_training=planned.request.num_training,
        class_names=planned.summary.class_names,
        found=tuple(found),
    )
