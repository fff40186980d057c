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


def test_smaller_sets_fewer_epochs_and_stops_are_told_apart(row: Rows, build: Build) -> None:
    whole = (row("a", "prac", 0), row("a", "vanilla", 0), row("a", "vanilla", 1))
    scaled = build(rows=(*whole, *_rounds(row, (30, 30), (12, 20), (18, 18))))
    assert why_fewer(scaled) == (
        "Why fewer: a round of PrAC trains on fewer samples, for fewer epochs (18 to 30 of 50, by "
        "the size of the set), and ends where its mask has settled (1 of 3 did)."
    )
    # By steps: as many epochs, each shorter.
    assert why_fewer(build(rows=(*whole, *_rounds(row, (50, 50), (50, 50))))) == (
        "Why fewer: a round of PrAC trains on fewer samples, and ends where its mask has settled "
        "(none of 2 did)."
    )


def test_nothing_is_said_where_no_set_was_trained_on(row: Rows, build: Build) -> None:
    assert why_fewer(build(rows=(row("a", "vanilla", 0), row("a", "vanilla", 1)))) == ""
    assert why_fewer(build(rows=(row("a", "prac", 0), row("a", "prac", 1, trained=False)))) == ""
