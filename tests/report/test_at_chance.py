"""Networks that learned nothing have no ticket to take, and the page and the screen say why."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable

import pytest
from rich.console import Console

from prac.analysis.results import Results, RoundRow
from prac.report.html import render
from prac.report.terminal import print_table
from prac.report.verdict import earned_aliases, verdicts


def _results(
    row: Callable[..., RoundRow], build: Callable[..., Results], dense: float, share: float | None
) -> Results:
    """Three seeds by which vanilla's ticket is as good as the dense network, and PrAC's too."""
    rows = tuple(
        dataclasses.replace(
            row("a", method, 1, test=(dense, dense, dense)), ticket=f"models:/{method}"
        )
        for method in ("prac", "vanilla")
    )
    results = build(rows=rows, dense_test_accuracy={"a": dense})
    return dataclasses.replace(results, commonest_share=share, num_test_samples=400)


# Of 400 answers that are right with probability 0.25, two standard errors are 4.33 points.
@pytest.mark.parametrize("dense", [0.1, 0.25, 0.293])
def test_at_chance_no_ticket_is_to_be_taken(row, build, dense: float) -> None:
    results = _results(row, build, dense, 0.25)
    (verdict,) = verdicts(results)
    assert (verdict.paid, verdict.take, verdict.level) == ("not measured", None, "open")
    assert set(earned_aliases(results)["a"].values()) == {None}
    told = (
        f"The dense network has {100 * dense:.1f} % test accuracy, where one class answered for "
        "every image has 25.0 %: it is not shown to have learned anything"
    )
    assert told in verdict.text
    assert told in render(results, {}, []).replace("\u00a0", " ")
    screen = io.StringIO()
    print_table(results, Console(file=screen, width=80))
    assert told in " ".join(screen.getvalue().split())


# The last: an earlier version did not count the test split's classes.
@pytest.mark.parametrize(("dense", "share"), [(0.294, 0.25), (0.9, 0.25), (1.0, 1.0), (0.1, None)])
def test_above_chance_they_are_judged(row, build, dense: float, share: float | None) -> None:
    results = _results(row, build, dense, share)
    (verdict,) = verdicts(results)
    assert "learned anything" not in verdict.text
    assert earned_aliases(results)["a"]["sparsest-matching"] is not None
