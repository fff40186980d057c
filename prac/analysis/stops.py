"""Where other early-bird stops would have ended the finished rounds of a search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prac.lottery.graph import Graph, SearchStages
from prac.lottery.outputs import Made, RoundFacts
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


@dataclass(frozen=True, kw_only=True)
class Stops:
    """The stops that are tried: each tolerance (None trains to the budget's end) with one patience
    and one rule for the start of the record."""

    tolerances: Sequence[float | None]
    patience: int
    record_at_once: bool


def replayed_search(
    search: SearchStages, graph: Graph, made: Mapping[str, Made], num_training: int, stops: Stops
) -> ReplayedSearch | None:
    """A search's finished rounds, from the first on; None where there is none.

    made: what finished stages left, by name. num_training: samples of the training split.
    """
    rounds = _recorded(search, graph, made, num_training)
    if not rounds:
        return None
    dense: RoundConfig = graph.stages[search.rounds[0]].config
    return ReplayedSearch(
        architecture=search.architecture,
        method=search.method,
        tolerance=dense.prune.tolerance,
        rounds=rounds,
        replayed=tuple(
            (tolerance, tuple(_replayed(one, tolerance, stops) for one in rounds))
            for tolerance in stops.tolerances
        ),
    )


def _replayed(recorded: RecordedRound, tolerance: float | None, stops: Stops) -> Replayed:
    return replay_stop(
        recorded, tolerance=tolerance, patience=stops.patience, record_at_once=stops.record_at_once
    )


def _recorded(
    search: SearchStages, graph: Graph, made: Mapping[str, Made], num_training: int
) -> tuple[RecordedRound, ...]:
    rounds = []
    for name in search.rounds:
        config = graph.stages[name].config
        if not isinstance(config, RoundConfig) or name not in made or search.makes_own_masks:
            break  # nothing was trained, or no mask of it was waited for: nothing was stopped
        facts = made[name].known(RoundFacts)
        budget = config.budget_for(facts.set_size, num_training)
        rounds.append(
            RecordedRound(
                distances=facts.distances,
                epochs=facts.epochs,
                budget_epochs=budget.epochs,
                steps_per_epoch=budget.steps_per_epoch,
                warmup_epochs=budget.rising_epochs,
                earliest_epochs=epochs_to_rewind(config.rewind, budget),
            )
        )
    return tuple(rounds)
