"""Where other early-bird stops would have ended the finished rounds of a pipeline in the store."""

from __future__ import annotations

from collections.abc import Callable

from prac.analysis.stops import ReplayedSearch, Stops, replayed_search
from prac.app.options import Options
from prac.app.places import open_place, read_found
from prac.app.planned import plan_pipeline
from prac.config.recipe import Recipe
from prac.errors import ConfigError


def replayed_searches(
    recipe: Recipe, options: Options, stops: Stops, *, command: Callable[[], str]
) -> tuple[ReplayedSearch, ...]:
    """Every search of the recipe with finished rounds, from the first round on; needs no cluster.

    command: makes them. Raises ConfigError where no round is in the store.
    """
    planned = plan_pipeline(recipe, options)
    place = open_place(planned)
    made = read_found(place, planned.graph)
    replayed = (
        replayed_search(search, planned.graph, made, planned.request.num_training, stops)
        for search in planned.graph.searches
    )
    found = tuple(search for search in replayed if search is not None)
    if not found:
        raise ConfigError(
            f"no round of {', '.join(recipe.architectures)} is in the store "
            f"{place.where}; make them with: {command()}"
        )
    return found
