"""Sets that hardly choose are told, with the round and what is odd about them."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Sequence

import pytest
from rich.console import Console

from prac.analysis.results import ClassShare, Results, RoundRow
from prac.report.html import render
from prac.report.odd_sets import odd_sets
from prac.report.terminal import print_table

Build = Callable[..., Results]
Rows = Callable[..., RoundRow]


def _results(row: Rows, build: Build, counts: Sequence[int]) -> Results:
    """One search on 360 samples of four classes; its first set has so many of each class."""
    size = sum(counts)
    rows = (row("a", "prac", 0), dataclasses.replace(row("a", "prac", 1), set_size=size))
    classes = tuple(
        ClassShare(
            architecture="a",
            method="prac",
            round=1,
            sparsity=0.2,
            label=f"class {place}",
            samples=number,
            share=number / size,
            of_training=0.25,
        )
        for place, number in enumerate(counts)
    )
    return build(rows=rows, classes=classes, num_training_samples=360, num_classes=4)


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        ((2, 2, 2, 1), "7 of 360 samples"),
        ((0, 50, 0, 0), "all of one class (class 1)"),
        ((0, 7, 0, 0), "7 of 360 samples, all of one class (class 1)"),
        ((90, 90, 90, 90), "every sample, so that nothing was chosen"),
    ],
)
def test_an_odd_set_is_told(row: Rows, build: Build, counts: Sequence[int], told: str) -> None:
    results = _results(row, build, counts)
    sentence = f"a, PrAC: the set of round 1 (20.0 % sparsity) is {told}."
    assert odd_sets(results) == [sentence]
    page = render(results, {}, []).replace("\u00a0", " ")
    assert f"<b>Look at the sets.</b> {sentence}" in page
    screen = io.StringIO()
    print_table(results, Console(file=screen, width=80))
    assert sentence in " ".join(screen.getvalue().split())


@pytest.mark.parametrize("counts", [(10, 10, 10, 10), (45, 0, 0, 45), (90, 90, 90, 89)])
def test_a_usual_set_is_not(row: Rows, build: Build, counts: Sequence[int]) -> None:
    assert odd_sets(_results(row, build, counts)) == []
