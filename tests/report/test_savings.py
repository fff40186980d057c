"""Why a search saves steps, by hand from the rows of its rounds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from prac.analysis.results import Results, RoundRow
from prac.report.savings import why_fewer

Rows = Callable[..., RoundRow]
Build = Callable[..., Results]


def _rounds(row: Rows, *epochs: tuple[int, int]) -> tuple[RoundRow, ...]:
    """PrAC's rounds after round 0, each with its epochs and what they might have been."""
    return tuple(
        dataclasses.replace(row("a", "prac", k), epochs=trained, budget_epochs=budget)
        for k, (trained, budget) in enumerate(epochs, 1)
    )


def test_samples_epochs_and_early_ends_are_told_apart(row: Rows, build: Build) -> None:
    whole = (row("a", "prac", 0), row("a", "vanilla", 0), row("a", "vanilla", 1))
    scaled = build(rows=(*whole, *_rounds(row, (30, 30), (12, 20), (18, 18))))
    sizes = [each.set_size for each in scaled.rows[3:]]
    assert why_fewer(scaled) == (
        f"Why fewer: rounds of PrAC had {min(sizes):,} to {max(sizes):,} of "
        f"{scaled.num_training_samples:,} samples and at most 18 to 30 of 50 epochs; 1 of 3 ended "
        "sooner, as their masks had settled."
    )
    # By steps: as many epochs, each shorter.
    told = why_fewer(build(rows=(*whole, *_rounds(row, (50, 50), (50, 50)))))
    assert "at most 50 of 50 epochs; none of 2 ended sooner" in told


def test_nothing_is_said_where_no_set_was_trained_on(row: Rows, build: Build) -> None:
    assert why_fewer(build(rows=(row("a", "vanilla", 0), row("a", "vanilla", 1)))) == ""
    assert why_fewer(build(rows=(row("a", "prac", 0), row("a", "prac", 1, trained=False)))) == ""


def test_nothing_is_said_where_nothing_was_saved(row: Rows, build: Build) -> None:
    costly = [dataclasses.replace(each, steps_saved=-0.1) for each in _rounds(row, (50, 50))]
    assert why_fewer(build(rows=(row("a", "prac", 0), *costly))) == ""
