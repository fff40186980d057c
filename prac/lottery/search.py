"""One search in one process: rounds that train, score, prune, rewind, and the sets between them.

A cluster runs the same functions as stages; this is the method without a cluster.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prac.config.methods import Method, find_method
from prac.config.sections import Precision, Recipe
from prac.data.batches import DeviceImages
from prac.errors import ConfigError
from prac.fingerprint import fingerprint
from prac.lottery.masks import make_mask
from prac.lottery.method_config import (
    MaskConfig,
    ProxyConfig,
    StartConfig,
    predicts,
    prune_for,
    records_events,
    sampler_settings,
    score_settings,
    select_for,
    set_size,
)
from prac.lottery.rounds import (
    RoundOutcome,
    RoundTask,
    TrainRound,
    Weights,
    initial_model,
    start_weights,
)
from prac.lottery.scoring import ScoringCost, Witness, train_proxy, training_labels
from prac.lottery.stage_config import RoundConfig, check_rewind, round_config
from prac.plugins import identity
from prac.pruning.criteria import find_criterion
from prac.pruning.mask import Mask
from prac.selection import PracSet, select_critical
from prac.selection.easy import with_easy
from prac.selection.scores import find_score
from prac.selection.subsets import score_samples, take_by_score


@dataclass(frozen=True, kw_only=True)
class SearchRound:
    """One finished round of a search: the mask m_k and the set D_k it had, and what it left.

    outcome: of its training; None where the method trains nothing in it. samples: of a method that
    draws a fresh subset in every epoch, the set whose size that has.
    """

    mask: Mask
    samples: PracSet
    outcome: RoundOutcome | None


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """A whole search: its rounds, and the mask and set that the last of them made.

    rewind_weights: what every ticket of this search starts from. scoring: what its scores and masks
    cost beside its rounds.
    """

    rounds: tuple[SearchRound, ...]
    last_mask: Mask
    last_set: PracSet
    rewind_weights: Weights
    scoring: ScoringCost = dataclasses.field(default_factory=ScoringCost)

    @property
    def masks(self) -> tuple[Mask, ...]:
        """m_0 to m_N."""
        return (*(r.mask for r in self.rounds), self.last_mask)

    @property
    def sets(self) -> tuple[PracSet, ...]:
        """D_0 to D_N."""
        return (*(r.samples for r in self.rounds), self.last_set)

    @property
    def steps(self) -> int:
        """SGD steps of its rounds."""
        return sum(r.outcome.steps for r in self.rounds if r.outcome is not None)


def search(
    recipe: Recipe,
    architecture: str,
    images: DeviceImages,
    train_one: TrainRound,
    *,
    method: str = "prac",
    precision: Precision = "fp32",
    sets: tuple[PracSet, ...] | None = None,
    beside: SearchResult | None = None,
    on_round: Callable[[int, SearchRound], None] | None = None,
) -> SearchResult:
    """Find tickets of one architecture, round by round, in one process (METHOD, steps 1 to 6).

    train_one: trains one round, e.g. a partial of `run_round`. sets: D_0 to D_N of another
    architecture, to transfer, or whose sizes the method's sets take; without them every round makes
    the next round's set itself. beside: PrAC's search of the same architecture, for methods that
    borrow its sizes, steps or rounds. Raises ConfigError, before anything is trained, where the
    method lacks one of them.
    """
    found = _Search(
        recipe, architecture, images, train_one, find_method(method), precision, sets, beside
    )
    return found.run(on_round)


class _Search:
    def __init__(
        self,
        recipe: Recipe,
        architecture: str,
        images: DeviceImages,
        train_one: TrainRound,
        method: Method,
        precision: Precision,
        sets: tuple[PracSet, ...] | None,
        beside: SearchResult | None,
    ) -> None:
        check_rewind(recipe, len(images.training_ids))
        self.recipe, self.architecture, self.images = recipe, architecture, images
        self.train_one, self.method, self.precision = train_one, method, precision
        self.beside = beside
        self.select = select_for(method, recipe.select)
        self.prune = prune_for(method, recipe.prune)
        self.criterion = find_criterion(self.prune.criterion)
        if sets is None and beside is not None and method.borrows != "nothing":
            sets = beside.sets
        _check_borrowed(recipe, method, sets, beside)
        self.sets = sets if method.data != "everything" else None
        self.transferred = method.borrows == "nothing" and self.sets is not None
        self.cost = ScoringCost()
        self.scores: NDArray[np.floating] | None = None
        # A mask that is made beside the training is in no round's configuration.
        self.run_name = fingerprint(
            (images.fingerprint, self.prune, identity(self.prune.criterion))
        )

    def run(self, on_round: Callable[[int, SearchRound], None] | None) -> SearchResult:
        recipe, method = self.recipe, self.method
        if method.borrows == "rounds":
            assert self.beside is not None
            return dataclasses.replace(self.beside, rewind_weights=self._start(None))
        mask = Mask.dense(self._initial_model())
        samples = PracSet.everything(self.images.training_ids)
        done: list[SearchRound] = []
        for index in range(recipe.search.rounds):
            outcome: RoundOutcome | None = None
            if method.trains_round(index):
                outcome = self._train(index, mask, samples, done)
            finished = SearchRound(mask=mask, samples=samples, outcome=outcome)
            done.append(finished)
            if on_round is not None:
                on_round(index, finished)
            mask = self._next_mask(index, mask, outcome)
            samples = self._next_set(index, done)
        return SearchResult(
            rounds=tuple(done),
            last_mask=mask,
            last_set=samples,
            rewind_weights=self._start(done[0].outcome),
            scoring=self.cost,
        )

    def _initial_model(self) -> Any:
        return initial_model(self._config(0), self.images)

    def _config(self, index: int) -> RoundConfig:
        return round_config(
            self.recipe,
            self.architecture,
            index,
            method=self.method,
            precision=self.precision,
            records_events=records_events(
                self.method, self.select, index, transferred=self.transferred
            ),
            predicts=predicts(self.method, self.select, index, transferred=self.transferred),
        )

    def _train(
        self, index: int, mask: Mask, samples: PracSet, done: list[SearchRound]
    ) -> RoundOutcome:
        config = self._config(index)
        fresh, last = self.method.data == "fresh" and index > 0, None
        if self.method.borrows == "steps" and index > 0:
            assert self.beside is not None
            last = len(_outcome(self.beside.rounds[index]).epochs)
        # Names everything this round follows from, so that no other search's checkpoint is taken.
        self.run_name = fingerprint((self.run_name, config, samples.sample_ids))
        return self.train_one(
            RoundTask(
                run=f"{self.architecture}-{self.method.name}-{index}-{self.run_name}",
                config=config,
                sample_ids=self.images.training_ids if fresh else samples.sample_ids,
                mask=None if index == 0 else mask,
                weights=None if index == 0 else _outcome(done[0]).rewind_weights,
                fresh=len(samples) if fresh else None,
                max_epochs=last,
            )
        )

    def _next_mask(self, index: int, mask: Mask, outcome: RoundOutcome | None) -> Mask:
        if self.criterion.reads == "trained":
            assert outcome is not None
            self.cost += ScoringCost(
                score_gradient_samples=outcome.score_samples, score_passes=outcome.score_passes
            )
            return outcome.next_mask
        config = MaskConfig.of(
            self.prune, self.architecture, seed=self.recipe.search.seed, round_index=index
        )
        made = make_mask(config, self.images, mask)
        self.cost += ScoringCost(
            score_gradient_samples=made.score_samples,
            score_passes=made.score_passes,
            seconds=made.seconds,
        )
        return made.mask

    def _start(self, dense: RoundOutcome | None) -> Weights:
        if self.method.starts == "rewind":
            assert dense is not None
            assert dense.rewind_weights is not None
            return dense.rewind_weights
        config = StartConfig(
            architecture=self.architecture,
            start=self.method.starts,
            seed=self.recipe.search.seed,
        )
        return start_weights(config, self.images)

    def _next_set(self, index: int, done: list[SearchRound]) -> PracSet:
        """D_{k+1} after round k = `index`."""
        ids = self.images.training_ids
        if self.method.data == "everything":
            return PracSet.everything(ids)
        if self.transferred or self.method.data == "fresh":
            assert self.sets is not None
            return self.sets[index + 1]
        if self.select.score == "critical":
            return self._critical(index, done)
        return self._by_score(index, done)

    def _critical(self, index: int, done: list[SearchRound]) -> PracSet:
        outcome = _outcome(done[index])
        if outcome.statistics is None:
            raise ConfigError(f"round {index} recorded no events, so it has no PrAC set")
        select = dataclasses.replace(self.select, threshold=self.select.threshold_for(index + 1))
        ids, compared = self.images.training_ids, {}
        if index > 0:
            dense = _outcome(done[0]).predictions
            compared = {"dense": dense, "pruned": outcome.predictions, "sample_ids": ids}
        return with_easy(
            select_critical(outcome.statistics, select, **compared),
            select.easy,
            sample_ids=ids,
            labels=training_labels(self.images),
            seed=self.recipe.search.seed,
            round_index=index + 1,
        )

    def _by_score(self, index: int, done: list[SearchRound]) -> PracSet:
        if self.scores is None or find_score(self.select.score).reads in ("nothing", "model"):
            self.scores = self._score(index, done)
        ids = self.images.training_ids
        borrowed = None if self.sets is None else len(self.sets[index + 1])
        return take_by_score(
            sampler_settings(self.select),
            self.scores,
            ids,
            training_labels(self.images),
            set_size(self.select.fraction, len(ids), borrowed),
            seed=self.recipe.search.seed,
            round_index=index + 1,
        )

    def _score(self, index: int, done: list[SearchRound]) -> NDArray[np.floating]:
        reads = find_score(self.select.score).reads
        weights: Mapping[str, Any] = {}
        if reads == "events":
            weights = {"events": _outcome(done[0]).events}
        elif reads == "model":
            best = _outcome(done[index]).best_weights
            weights = {"architecture": self.architecture, "weights": best}
        elif reads == "proxy":
            config = ProxyConfig.of(self.recipe, self.select, self.precision)
            run = fingerprint((self.images.fingerprint, config))
            proxy = train_proxy(config, self.images, run=run)
            self.cost += proxy.cost
            weights = {"architecture": config.architecture, "weights": proxy.weights}
        witness = Witness(self.images, self.precision)
        evidence = witness.evidence(seed=self.recipe.search.seed, round_index=index + 1, **weights)
        scores = score_samples(score_settings(self.select), evidence)
        self.cost += witness.cost()
        return scores


def _outcome(finished: SearchRound) -> RoundOutcome:
    assert finished.outcome is not None
    return finished.outcome


def _check_borrowed(
    recipe: Recipe,
    method: Method,
    sets: tuple[PracSet, ...] | None,
    beside: SearchResult | None,
) -> None:
    """Raise ConfigError, before anything is trained, where a search would miss something later."""
    if method.borrows in ("steps", "rounds") and beside is None:
        raise ConfigError(f"{method.name} needs PrAC's search of the architecture to stand beside")
    if method.borrows == "sizes" and sets is None:
        raise ConfigError(f"{method.name} needs the sizes of the PrAC sets it stands beside")
    if method.data != "everything" and sets is not None and len(sets) <= recipe.search.rounds:
        raise ConfigError(
            f"{len(sets)} sets are too few for {recipe.search.rounds} rounds; "
            f"allowed: {recipe.search.rounds + 1}, D_0 to D_{recipe.search.rounds}"
        )
