"""Where other early-bird stops would have ended the finished rounds of a pipeline in the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from prac.app.options import Options
from prac.app.places import Place, open_place
from prac.app.planned import Planned, plan_pipeline
from prac.config.sections import Recipe
from prac.errors import ConfigError
from prac.lottery.graph import SearchStages
from prac.lottery.outputs import RoundFacts
from prac.lottery.rounds import epochs_to_rewind
from prac.lottery.stage_config import RoundConfig
from prac.lottery.store import Finished
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
    *,
    tolerances: Sequence[float | None],
    patience: int,
    record_at_once: bool,
    command: Callable[[], str],
) -> tuple[ReplayedSearch, ...]:
    """Every search of the recipe with finished rounds, from the first round on; needs no cluster.

    command: makes them. Raises ConfigError where no round is in the store.
    """
    planned = plan_pipeline(recipe, options)
    place = open_place(planned)
    stored = place.found(planned.graph)
    found = []
    for search in planned.graph.searches:
        rounds = _recorded(planned, place, stored, search)
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
                tolerance=_config(planned, search.rounds[0]).prune.tolerance,
                rounds=rounds,
                replayed=replayed,
            )
        )
    if not found:
        raise ConfigError(
            f"no round of {', '.join(recipe.architectures)} is in the store "
            f"{place.where}; make them with: {command()}"
        )
    return tuple(found)


def _recorded(
    planned: Planned, place: Place, stored: Mapping[str, Finished], search: SearchStages
) -> tuple[RecordedRound, ...]:
    rounds = []
    for name in search.rounds:
        stage = planned.graph.stages[name]
        if not isinstance(stage.config, RoundConfig):
            break  # nothing was trained, so nothing was stopped
        if stage.key not in stored:
            break
        facts = place.store.read(stored[stage.key]).known(RoundFacts)
        budget = stage.config.budget_for(facts.set_size, planned.request.num_training)
        rounds.append(
            RecordedRound(
                distances=facts.distances,
                epochs=facts.epochs,
                budget_epochs=budget.epochs,
                steps_per_epoch=budget.steps_per_epoch,
                warmup_epochs=budget.rising_epochs,
                earliest_epochs=epochs_to_rewind(stage.config.rewind, budget),
            )
        )
    return tuple(rounds)


def _config(planned: Planned, name: str) -> RoundConfig:
    config: RoundConfig = planned.graph.stages[name].config
    return config
