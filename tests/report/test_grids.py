"""Tables with a column a sparsity, against numbers written here."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from prac.analysis.results import Results, RoundRow
from prac.report.grids import (
    Grid,
    accuracy_grids,
    equal_steps_grids,
    round_grids,
    set_grids,
    summary_grids,
    threshold_grids,
)

Rows = Callable[..., RoundRow]
Build = Callable[..., Results]


def _lines(grid: Grid) -> dict[str, tuple[str, ...]]:
    assert all(len(row) == len(grid.columns) for row in grid.rows)
    return {row[0]: row[1:] for row in grid.rows}


def test_accuracies_by_sparsity(results: Results) -> None:
    first = accuracy_grids(results)[0]
    assert first.title == "resnet8 (dense: 92.00 %)"
    assert first.columns == ("weights removed, %", "36", "67.2", "83.2")
    assert _lines(first) == {
        "PrAC": ("91.90", "91.40", "88.00"),
        "vanilla": ("92.10", "91.80", "91.50"),
        "random subset": ("91.00", "89.90", "86.00"),
    }


def test_accuracies_with_deviations_and_gaps(row: Rows, build: Build) -> None:
    rows = (
        row("a", "prac", 1, test=(0.91, 0.92, 0.93)),
        row("a", "vanilla", 2, test=(0.90, 0.90, 0.90)),
    )
    (grid,) = accuracy_grids(build(rows=rows))
    assert _lines(grid) == {"PrAC": ("92.00 ± 1.00", "–"), "vanilla": ("–", "90.00 ± 0.00")}


def test_the_answer_of_one_seed(results: Results) -> None:
    lines = _lines(summary_grids(results)[0])
    title = summary_grids(results)[0].title
    assert title == "resnet8, of 270,000 weights that may be removed (dense: 92.00 %)"
    assert lines["PrAC"] == ("67.2 %", "88,474", "91.40 %", "−0.6", "48 %")  # 270,000 * 0.8^5
    assert lines["vanilla"] == ("83.2 %", "45,298", "91.50 %", "−0.5", "")
    nothing = _lines(summary_grids(results)[1])["PrAC"]
    assert nothing == ("none came that close", "", "", "", "")


def test_the_answer_of_three_seeds(row: Rows, build: Build) -> None:
    vanilla = (0.918, 0.920, 0.922)
    rows = (
        row("a", "prac", 4, test=(0.917, 0.919, 0.921)),
        row("a", "prac", 5, test=(0.912, 0.918, 0.915)),
        row("a", "vanilla", 4, test=vanilla),
        row("a", "vanilla", 5, test=vanilla),
        row("a", "snip", 5, test=(0.80, 0.80, 0.80)),
    )
    (grid,) = summary_grids(build(rows=rows, dense_test_accuracies={"a": (0.92,) * 3}))
    assert grid.columns[-2:] == ("matches vanilla up to", "steps (time) saved there")
    lines = _lines(grid)
    assert lines["PrAC"][0] == "67.2 %"
    assert lines["PrAC"][-2:] == ("59.0 %", "45 %")  # 1 - (1000 + 3 * 400) / 4000
    assert lines["vanilla"][-2:] == ("–", "–")
    assert lines["SNIP"][-2:] == ("none", "–")


def test_equal_steps_in_words(row: Rows, build: Build) -> None:
    rows = (
        row("a", "prac", 2, test=(0.91, 0.93)),
        row("a", "vanilla", 1, test=(0.92, 0.92)),
        row("a", "vanilla", 2, test=(0.92, 0.92)),
    )
    (grid,) = equal_steps_grids(build(rows=rows))
    assert grid.title == "a: the steps that PrAC paid"
    assert grid.columns == ("SGD steps; weights removed", "1,400; 36 %")
    assert _lines(grid) == {"PrAC": ("92.00 ± 1.41",), "vanilla": ("92.00 ± 0.00 (20)",)}


def test_sets_by_round(results: Results) -> None:
    first = set_grids(results)[0]
    lines = _lines(first)
    assert first.title == "resnet8, PrAC"
    assert len(set_grids(results)) == 3
    assert [lines[name][0] for name in ("CEP", "CET", "in both", "set", "of training")] == [
        "4,000",
        "23,168",
        "3,000",
        "24,168",
        "53.7 %",
    ]


def test_rounds_by_network_with_round_0_once(results: Results) -> None:
    """Nine rows each of three methods; those that stop early share a round 0."""
    first = round_grids(results)[0]
    assert [grid.title for grid in round_grids(results)] == [
        f"{name}: 26 rows" for name in ("resnet8", "resnet20s", "vgg16")
    ]
    assert [row[0] for row in first.rows if row[1] == "0"] == ["PrAC; random subset", "vanilla"]
    last = ["PrAC", "vanilla", "random subset"]
    assert [row[0] for row in first.rows if row[1] == "8"] == last
    told = dict(zip(first.columns, first.rows[5], strict=True))
    assert (told["sparsity"], told["test"]) == ("67.23 %", "91.40 %")
    assert told["steps to find"] == "2,600"
    assert not {"CET", "architecture", "ticket FLOPs"} & told.keys()


def test_a_round_0_of_its_own_has_its_row(row: Rows, build: Build) -> None:
    other = dataclasses.replace(row("a", "vanilla", 0), stage="dense:a:vanilla")
    (grid,) = round_grids(build(rows=(row("a", "prac", 0), other)))
    assert [line[0] for line in grid.rows] == ["PrAC", "vanilla"]


def test_of_very_many_rounds_those_that_matter(crowd: Results) -> None:
    judged = {r.round for r in crowd.rows if r.test_accuracies}
    for grid in round_grids(crowd):
        assert "judged rounds and last ones" in grid.title
        assert {int(row[1]) for row in grid.rows} == judged
        assert len(grid.rows) < 17 * 17


def test_thresholds_with_the_same_sizes_are_one_row(crowd: Results) -> None:
    sizes = {0: 50, 2: 9, 4: 7, 6: 7, 8: 7, 10: 6}
    one = [
        dataclasses.replace(t, set_size=sizes[t.threshold])
        for t in crowd.thresholds
        if t.architecture == "vgg16" and t.round == 1
    ]
    (grid,) = threshold_grids(dataclasses.replace(crowd, thresholds=tuple(one)))
    assert grid.rows == (("0", "50"), ("2", "9"), ("4 to 8", "7"), ("10", "6"))


def test_thresholds_by_round(crowd: Results) -> None:
    first = threshold_grids(crowd)[0]
    assert first.columns[1:4] == ("20", "36", "48.8")
    lines = _lines(first)
    assert list(lines) == ["0", "2", "4", "6", "8", "10"]
    assert lines["10"][0] == "7,760"  # 24,000 * 0.97 / 3


def test_searches_with_the_same_sets_share_a_table(row: Rows, build: Build) -> None:
    def of(method: str, cet: int) -> RoundRow:
        known = row("a", method, 1)
        return dataclasses.replace(known, set_size=cet, cet_size=cet, cep_size=0, overlap=0)

    rows = (of("prac", 9), of("cet-only", 8), of("random-tickets", 9), row("a", "vanilla", 1))
    assert [grid.title for grid in set_grids(build(rows=rows))] == [
        "a, PrAC; random tickets",
        "a, CET only",
    ]


def test_easy_samples_have_a_line_where_there_are_any(row: Rows, build: Build) -> None:
    plain = row("a", "prac", 1)
    mixed = dataclasses.replace(row("a", "prac", 2), set_size=row("a", "prac", 2).set_size + 700)
    assert "easy, drawn" not in _lines(set_grids(build(rows=(plain,)))[0])
    lines = _lines(set_grids(build(rows=(plain, mixed)))[0])
    assert lines["easy, drawn"] == ("0", "700")
