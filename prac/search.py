"""One search in one process: rounds that train, score, prune, rewind, and the sets between them.

A cluster runs the same functions as stages; this is the method without a cluster.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from prac.config import Precision, Recipe, SelectConfig
from prac.data.batches import DeviceImages
from prac.errors import ConfigError
from prac.fingerprint import fingerprint
from prac.methods import Method, find_method
from prac.pruning.mask import Mask
from prac.rounds import (
    RoundOutcome,
    RoundTask,
    TrainRound,
    Weights,
    initial_model,
)
from prac.selection import PracSet, random_subset, select_critical
from prac.stage_config import RoundConfig, check_rewind, round_config


def next_set(
    method: Method,
    *,
    select: SelectConfig,
    training_ids: NDArray[np.int32],
    statistics: pa.Table | None,
    round_index: int,
    dense_predictions: NDArray[np.int32],
    predictions: NDArray[np.int32],
    random_size: int | None = None,
    seed: int = 0,
) -> PracSet:
    """D_{k+1} after round k = `round_index`, as the method makes it.

    random_size: of the PrAC set whose size a random subset takes.
    """
    if method.selects == "everything":
        return PracSet.everything(training_ids)
    if method.selects == "random":
        if random_size is None:
            raise ConfigError("a random subset needs the size of the PrAC set it stands beside")
        return random_subset(training_ids, random_size, seed=seed, round_index=round_index + 1)
    if statistics is None:
        raise ConfigError(f"round {round_index} recorded no events, so it has no PrAC set")
    if round_index == 0:
        return select_critical(statistics, select)
    return select_critical(
        statistics,
        select,
        dense=dense_predictions,
        pruned=predictions,
        sample_ids=training_ids,
    )


@dataclass(frozen=True, kw_only=True)
class SearchRound:
    """One finished round of a search: the mask m_k and the set D_k it had, and what it left."""

    mask: Mask
    samples: PracSet
    outcome: RoundOutcome


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """A whole search: its rounds, and the mask and set that the last of them made."""

    rounds: tuple[SearchRound, ...]
    last_mask: Mask
    last_set: PracSet

    @property
    def rewind_weights(self) -> Weights:
        """What every ticket of this search starts from."""
        weights = self.rounds[0].outcome.rewind_weights
        assert weights is not None
        return weights

    @property
    def masks(self) -> tuple[Mask, ...]:
        """m_0 to m_N."""
        return (*(r.mask for r in self.rounds), self.last_mask)

    @property
    def sets(self) -> tuple[PracSet, ...]:
        """D_0 to D_N."""
        return (*(r.samples for r in self.rounds), self.last_set)


def search(
    recipe: Recipe,
    architecture: str,
    images: DeviceImages,
    train_one: TrainRound,
    *,
    method: str = "prac",
    precision: Precision = "fp32",
    sets: tuple[PracSet, ...] | None = None,
    on_round: Callable[[int, SearchRound], None] | None = None,
) -> SearchResult:
    """Find tickets of one architecture, round by round, in one process (METHOD, steps 1 to 6).

    train_one: trains one round, e.g. a partial of `run_round`. sets: D_0 to D_N of another
    architecture, to transfer, or whose sizes random subsets take; without them every round makes
    the next round's set itself.
    """
    check_rewind(recipe, len(images.training_ids))
    how = find_method(method)
    _check_sets(recipe, how, sets)
    borrowed = how.borrows == "nothing" and how.selects != "everything" and sets is not None
    mask = Mask.dense(initial_model(_probe(recipe, architecture, precision), images))
    samples = PracSet.everything(images.training_ids)
    done: list[SearchRound] = []
    run = images.fingerprint
    for index in range(recipe.search.rounds):
        config = round_config(
            recipe,
            architecture,
            index,
            method=how,
            precision=precision,
            records_events=how.records_events and not borrowed,
        )
        # Names everything this round follows from, so that no other search's checkpoint is taken.
        run = fingerprint((run, config, samples.sample_ids))
        task = RoundTask(
            run=f"{architecture}-{method}-{index}-{run}",
            config=config,
            sample_ids=samples.sample_ids,
            mask=None if index == 0 else mask,
            weights=None if index == 0 else done[0].outcome.rewind_weights,
        )
        outcome = train_one(task)
        finished = SearchRound(mask=mask, samples=samples, outcome=outcome)
        done.append(finished)
        if on_round is not None:
            on_round(index, finished)
        mask = outcome.next_mask
        if borrowed:
            assert sets is not None
            samples = sets[index + 1]
        else:
            samples = next_set(
                how,
                select=recipe.select,
                training_ids=images.training_ids,
                statistics=outcome.statistics,
                round_index=index,
                dense_predictions=done[0].outcome.predictions,
                predictions=outcome.predictions,
                random_size=None if sets is None else len(sets[index + 1]),
                seed=recipe.search.seed,
            )
    return SearchResult(rounds=tuple(done), last_mask=mask, last_set=samples)


def _check_sets(recipe: Recipe, method: Method, sets: tuple[PracSet, ...] | None) -> None:
    """Raise ConfigError, before anything is trained, where a search would miss a set later."""
    if method.borrows == "sizes" and sets is None:
        raise ConfigError("a random subset needs the sizes of the PrAC sets it stands beside")
    if method.selects != "everything" and sets is not None and len(sets) <= recipe.search.rounds:
        raise ConfigError(
            f"{len(sets)} sets are too few for {recipe.search.rounds} rounds; "
            f"allowed: {recipe.search.rounds + 1}, D_0 to D_{recipe.search.rounds}"
        )


def _probe(recipe: Recipe, architecture: str, precision: Precision) -> RoundConfig:
    return round_config(recipe, architecture, 0, precision=precision, records_events=False)
