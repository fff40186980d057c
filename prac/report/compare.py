"""Judged tickets beside each other: accuracy kept, steps saved, what one seed can tell apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from prac.report.wording import architectures, methods_of
from prac.results import Results, RoundRow

CLOSE_POINTS = 1.0
"""How near to dense or vanilla a ticket must come: the published criterion, in points."""

SEED_NOISE_POINTS = 1.0
"""What two seeds of one configuration may differ by; a rule of thumb, never less is claimed."""

BASELINES = ("vanilla", "random-subset")
"""The methods that another method is compared with."""

_EXACT = 1e-9


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One judged ticket beside dense and beside the other methods' tickets of the same round.

    to_dense, to_vanilla, to_random: this ticket's test accuracy minus theirs, in points; None
    where theirs is missing. steps_saved: share of vanilla's SGD steps, in [0, 1].
    """

    row: RoundRow
    test_accuracy: float
    to_dense: float | None
    to_vanilla: float | None
    to_random: float | None
    steps_saved: float | None


@dataclass(frozen=True, kw_only=True)
class MethodSummary:
    """One method on one architecture: its sparsest judged ticket within 1 point of dense.

    `best` is None where no ticket comes that close, nothing was judged or dense is missing.
    """

    architecture: str
    method: str
    num_judged: int
    best: Comparison | None


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


def steps_saved(results: Results, row: RoundRow) -> float | None:
    """The share of vanilla's SGD steps that this ticket's search saved; None if not known."""
    if row.steps_saved is not None:
        return row.steps_saved
    vanilla = _same_round(results, row, "vanilla")
    if vanilla is None or vanilla.search_steps == 0:
        return None
    return 1 - row.search_steps / vanilla.search_steps


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
    found = []
    for architecture in architectures(results):
        judged = comparisons(results, architecture)
        for method in methods_of(results, architecture):
            own = [c for c in judged if c.row.method == method]
            best = sparsest([c for c in own if close_enough(c.to_dense)])
            found.append(
                MethodSummary(
                    architecture=architecture, method=method, num_judged=len(own), best=best
                )
            )
    return found


def _compare(results: Results, row: RoundRow, accuracy: float) -> Comparison:
    def points(other: float | None) -> float | None:
        return None if other is None else 100 * (accuracy - other)

    vanilla = _same_round(results, row, "vanilla")
    random = _same_round(results, row, "random-subset")
    return Comparison(
        row=row,
        test_accuracy=accuracy,
        to_dense=points(results.dense_test_accuracy.get(row.architecture)),
        to_vanilla=points(vanilla.test_accuracy if vanilla else None),
        to_random=points(random.test_accuracy if random else None),
        steps_saved=steps_saved(results, row),
    )


def _same_round(results: Results, row: RoundRow, method: str) -> RoundRow | None:
    wanted = (row.architecture, method, row.round)
    return next((r for r in results.rows if (r.architecture, r.method, r.round) == wanted), None)


def sparsest(found: Sequence[Comparison]) -> Comparison | None:
    """The ticket with the fewest weights; None of none."""

    # At the same sparsity the tested method goes before the baselines: the others' tickets cost
    # more steps (vanilla) or are the control (random subset).
    def rank(c: Comparison) -> tuple[float, bool, float]:
        return (round(c.row.sparsity, 6), c.row.method not in BASELINES, c.test_accuracy)

    return max(found, key=rank, default=None)


def most_accurate(found: Sequence[Comparison]) -> Comparison | None:
    """The ticket with the highest test accuracy; None of none."""
    return max(found, key=lambda c: c.test_accuracy, default=None)


def close_enough(points: float | None) -> bool:
    """Whether a difference in points is known and at worst 1 point below."""
    return points is not None and points >= -CLOSE_POINTS - _EXACT
