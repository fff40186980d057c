"""Judged tickets beside each other: accuracy kept, steps saved, what the seeds can tell apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from prac.analysis.results import Results, RoundRow, mean, sample_std
from prac.analysis.statistics import matches
from prac.config.methods import CONTROL, PRAC, VANILLA
from prac.report.wording import architectures, methods_of

CLOSE_POINTS = 1.0
"""How near to dense or vanilla a ticket must come: the published criterion, in points.

Which ticket to take is chosen by validation accuracies, and told with its test accuracy: what was
chosen by the test split would look better on it than it is.
"""

SEED_NOISE_POINTS = 1.0
"""What two seeds of one configuration may differ by; a rule of thumb, never less is claimed."""

SAME_SPARSITY = 0.005
"""Tickets whose sparsities differ by less are of the same sparsity."""

_EXACT = 1e-9


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One ticket's accuracy minus another's, in points, seed by seed; of the test split where
    nothing else is said.

    error: standard error of the mean difference; None of fewer than two pairs. pairs: seeds that
    both were judged with.
    """

    points: float
    error: float | None
    pairs: int


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One judged ticket beside dense and beside the other methods' tickets of the same sparsity.

    test_accuracy, test_std: mean and sample standard deviation over the seeds.
    dense, vanilla, random: this ticket against theirs; None where theirs is missing.
    dense_validation, vanilla_validation: the same of validation accuracies.
    matches: whether its mean is within one standard deviation of vanilla's or above; None where
    either was judged with fewer than `MATCHING_SEEDS` seeds, and for vanilla itself.
    steps_saved: share of vanilla's SGD steps; negative where it took more. baseline: whether its
    method stands for no choice (`Results.is_baseline`).
    """

    row: RoundRow
    baseline: bool
    test_accuracy: float
    test_std: float | None
    dense: Difference | None
    vanilla: Difference | None
    random: Difference | None
    dense_validation: Difference | None
    vanilla_validation: Difference | None
    matches: bool | None
    steps_saved: float | None

    @property
    def to_dense(self) -> float | None:
        """Points above the dense network."""
        return self.dense.points if self.dense else None

    @property
    def near_dense(self) -> bool:
        """Whether its validation accuracy is known to be within 1 point of the dense network's."""
        return self.dense_validation is not None and close_enough(self.dense_validation.points)

    @property
    def near_vanilla(self) -> bool:
        """The same of vanilla's ticket."""
        return self.vanilla_validation is not None and close_enough(self.vanilla_validation.points)

    @property
    def to_vanilla(self) -> float | None:
        """Points above vanilla's ticket."""
        return self.vanilla.points if self.vanilla else None


@dataclass(frozen=True, kw_only=True)
class MethodSummary:
    """One method on one architecture: how sparse its judged tickets go.

    best: the sparsest within 1 point of dense in validation; None where no ticket comes that close,
    nothing was judged or dense is missing. matching: the sparsest that matches vanilla.
    num_comparable: judged tickets of which it can be said whether they match.
    """

    architecture: str
    method: str
    num_judged: int
    best: Comparison | None
    matching: Comparison | None
    num_comparable: int


def noise_points(results: Results) -> float:
    """The difference between two test accuracies that one seed can't tell from noise, in points.

    With the size of the test split: two standard errors of a difference of two accuracies
    (binomial, at the accuracy nearest to one half), and never below `SEED_NOISE_POINTS`.
    """
    judged = [row.test_accuracy for row in results.rows if row.test_accuracy is not None]
    if not results.num_test_samples or not judged:
        return SEED_NOISE_POINTS
    variance = max(accuracy * (1 - accuracy) for accuracy in judged)
    return max(SEED_NOISE_POINTS, 100 * 2 * math.sqrt(2 * variance / results.num_test_samples))


def comparisons(results: Results, architecture: str) -> list[Comparison]:
    """Every judged ticket of one architecture, in the order of the rows.

    Rows of sparsity 0 are left out: their "ticket" is the dense model.
    """
    return [
        _compare(results, row, row.test_accuracy)
        for row in results.rows
        if row.architecture == architecture and row.test_accuracy is not None and row.sparsity > 0
    ]


def summaries(results: Results) -> list[MethodSummary]:
    """For each architecture and method, its sparsest judged ticket within 1 point of dense."""
    found: list[MethodSummary] = []
    for architecture in architectures(results):
        judged = comparisons(results, architecture)
        for method in methods_of(results, architecture):
            own = [c for c in judged if c.row.method == method]
            found.append(
                MethodSummary(
                    architecture=architecture,
                    method=method,
                    num_judged=len(own),
                    best=sparsest([c for c in own if c.near_dense]),
                    matching=sparsest([c for c in own if c.matches]),
                    num_comparable=sum(c.matches is not None for c in own),
                )
            )
    return found


def difference(these: tuple[float, ...], those: tuple[float, ...]) -> Difference | None:
    """These accuracies minus those, in pairs of the same seed; None where either is missing."""
    pairs = tuple(100 * (a - b) for a, b in zip(these, those, strict=False))
    points, std = mean(pairs), sample_std(pairs)
    if points is None:
        return None
    error = None if std is None else std / math.sqrt(len(pairs))
    return Difference(points=points, error=error, pairs=len(pairs))


def _matches(row: RoundRow, vanilla: RoundRow | None) -> bool | None:
    if vanilla is None or row.method == VANILLA:
        return None
    return matches(row.test_accuracies, vanilla.test_accuracies)


def _compare(results: Results, row: RoundRow, accuracy: float) -> Comparison:
    def against(other: RoundRow | None) -> Difference | None:
        return None if other is None else difference(row.test_accuracies, other.test_accuracies)

    vanilla = same_sparsity(results, row, VANILLA)
    dense = results.dense_test_accuracies.get(row.architecture, ())
    validation = results.dense_validation_accuracies.get(row.architecture, ())
    return Comparison(
        row=row,
        baseline=results.is_baseline(row.method),
        test_accuracy=accuracy,
        test_std=row.test_std,
        dense=difference(row.test_accuracies, dense),
        vanilla=against(vanilla),
        random=against(same_sparsity(results, row, CONTROL)),
        dense_validation=difference(row.validation_accuracies, validation),
        vanilla_validation=None
        if vanilla is None
        else difference(row.validation_accuracies, vanilla.validation_accuracies),
        matches=_matches(row, vanilla),
        steps_saved=row.steps_saved,
    )


def same_sparsity(results: Results, row: RoundRow, method: str) -> RoundRow | None:
    """Another method's row of the same architecture, round and sparsity."""
    wanted = (row.architecture, method, row.round)
    return next(
        (
            r
            for r in results.rows
            if (r.architecture, r.method, r.round) == wanted
            and abs(r.sparsity - row.sparsity) < SAME_SPARSITY
        ),
        None,
    )


def sparsest(found: Sequence[Comparison]) -> Comparison | None:
    """The ticket with the fewest weights; None of none."""

    # At the same sparsity PrAC goes first, and other methods before the baselines: the latter's
    # tickets cost more steps (vanilla) or are controls.
    def rank(c: Comparison) -> tuple[float, bool, bool, float]:
        place = (c.row.method == PRAC.name, not c.baseline)
        return (round(c.row.sparsity, 6), *place, validated(c))

    return max(found, key=rank, default=None)


def best_validated(found: Sequence[Comparison]) -> Comparison | None:
    """The ticket with the highest validation accuracy, for the test split chooses none; None of
    none."""
    return max(found, key=validated, default=None)


def validated(c: Comparison) -> float:
    """A ticket's validation accuracy, by which tickets are chosen."""
    return c.row.judge_validation_accuracy or 0.0


def close_enough(points: float | None) -> bool:
    """Whether a difference in points is known and at worst 1 point below."""
    return points is not None and points >= -CLOSE_POINTS - _EXACT


def own_method(results: Results, architecture: str) -> str | None:
    """The method under test: PrAC where it is there, else the first that is no baseline."""
    tested = [m for m in methods_of(results, architecture) if not results.is_baseline(m)]
    return tested[0] if tested else None
