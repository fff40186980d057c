"""Where other early-bird stops would have ended the finished rounds of a pipeline in the store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console

from prac.app.options import Options
from prac.app.pipeline import Pipeline
from prac.config.sections import Recipe
from prac.errors import ConfigError
from prac.lottery.graph import SearchStages
from prac.lottery.rounds import epochs_to_rewind
from prac.lottery.stage_config import RoundConfig
from prac.pruning.replay import RecordedRound, Replayed, replay_stop


@dataclass(frozen=True, kw_only=True)
class ReplayedSearch:
    """One search's finished rounds, as they ended and as other tolerances would have ended them.

    tolerance: the search's own; None trained every round to its end. rounds: as recorded.
    replayed: a tolerance, then its end of each round.
    """

    architecture: str
    method: str
    tolerance: float | None
    rounds: tuple[RecordedRound, ...]
    replayed: tuple[tuple[float | None, tuple[Replayed, ...]], ...]


def replayed_searches(
    recipe: Recipe,
    options: Options,
    console: Console,
    *,
    tolerances: Sequence[float | None],
    patience: int,
    record_at_once: bool,
    command: Callable[[], str],
) -> tuple[ReplayedSearch, ...]:
    """Every search of the recipe with finished rounds, from the first round on; needs no cluster.

    command: makes them. Raises ConfigError where no round is in the store.
    """
    pipeline = Pipeline(recipe, options, console)
    found = []
    for search in pipeline.graph.searches:
        rounds = _recorded(pipeline, search)
        if not rounds:
            continue
        replayed = tuple(
            (
                tolerance,
                tuple(
                    replay_stop(
                        one,
                        tolerance=tolerance,
                        patience=patience,
                        record_at_once=record_at_once,
                    )
                    for one in rounds
                ),
            )
            for tolerance in tolerances
        )
        found.append(
            ReplayedSearch(
                architecture=search.architecture,
                method=search.method,
                tolerance=_config(pipeline, search.rounds[0]).prune.tolerance,
                rounds=rounds,
                replayed=replayed,
            )
        )
    if not found:
        raise ConfigError(
            f"no round of {', '.join(recipe.architectures)} is in the store "
            f"{pipeline.store.tracking_uri}; make them with: {command()}"
        )
    return tuple(found)


def _recorded(pipeline: Pipeline, search: SearchStages) -> tuple[RecordedRound, ...]:
    rounds = []
    for name in search.rounds:
        if pipeline.graph.stages[name].kind not in ("dense", "round"):
            break  # nothing was trained, so nothing was stopped
        finished = pipeline.found.get(pipeline.graph.stages[name].key)
        if finished is None:
            break
        values = pipeline.store.values(finished)
        config = _config(pipeline, name)
        budget = config.budget_for(int(values["set_size"]), pipeline.request.num_training)
        rounds.append(
            RecordedRound(
                distances=tuple(values["distances"]),
                epochs=int(values["epochs"]),
                budget_epochs=budget.epochs,
                steps_per_epoch=budget.steps_per_epoch,
                earliest_epochs=max(
                    budget.rising_epochs + 1, epochs_to_rewind(config.rewind, budget)
                ),
            )
        )
    return tuple(rounds)


def _config(pipeline: Pipeline, name: str) -> RoundConfig:
    config: RoundConfig = pipeline.graph.stages[name].config["round"]
    return config
