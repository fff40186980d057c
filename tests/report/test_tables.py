"""Tables of text, CSV files and the terminal's table."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from prac.analysis.results import Results, RoundRow
from prac.report.as_found import as_found_sentences
from prac.report.csv_files import write_csv
from prac.report.equal_steps import equal_steps
from prac.report.tables import bill_table, judging_table, key_rows, result_row
from prac.report.terminal import print_table
from prac.report.verdict import brief_verdicts, verdicts


def test_one_row_a_round_in_words(results: Results) -> None:
    assert result_row(results, results.rows[5]) == {
        "architecture": "resnet8",
        "method": "PrAC",
        "round": "5",
        "sparsity": "67.23 %",
        "of all weights": "–",
        "set size": "16,712",
        "CET": "15,712",
        "CEP": "4,000",
        "overlap": "3,000",
        "epochs (of budget)": "30 (of 50)",
        "steps": "400",
        "steps to find": "2,600",
        "saved": "48.0 %",
        "time to find": "–",
        "time saved": "–",
        "validation": "91.50 %",
        "test": "91.40 %",
        "ticket FLOPs": "26.2 M",  # 80 M * 0.8 ** 5
        "ticket bytes": "354 k",  # 1.08 MB * 0.8 ** 5
    }


def test_absence_is_a_dash(results: Results) -> None:
    last = result_row(results, results.rows[8])
    assert (last["epochs (of budget)"], last["steps"], last["validation"]) == ("–", "–", "–")
    first = result_row(results, results.rows[0])
    assert (first["CET"], first["saved"], first["test"]) == ("–", "–", "–")
    assert (first["ticket FLOPs"], first["ticket bytes"]) == ("–", "–")
    told = dataclasses.replace(results.rows[1], sparsity_of_all=0.004)
    assert result_row(results, told)["of all weights"] == "0.40 %"


def test_key_rows_are_judged_or_last(row: Callable[..., RoundRow], build: Callable[..., Results]):
    rows = (row("a", "prac", 0), row("a", "prac", 1, test=0.9), row("a", "prac", 2))
    assert [r.round for r in key_rows(build(rows=rows))] == [1, 2]


def test_csv_gives_back_every_digit(results: Results, tmp_path: Path) -> None:
    tables = {path.stem: _read(path) for path in write_csv(results, tmp_path)}
    for cells, row in zip(tables["rounds"], results.rows, strict=True):
        assert float(cells["sparsity"]) == row.sparsity
        assert int(cells["search_steps"]) == row.search_steps
        assert cells["flops_sparse"] == ("" if row.ticket is None else str(row.flops_sparse))
        assert cells["bytes_sparse"] == ("" if row.ticket is None else str(row.bytes_sparse))
        assert cells["trained"] == ("true" if row.trained else "false")
        assert (float(cells["test_accuracy"]) if cells["test_accuracy"] else None) == (
            row.test_accuracy
        )
    distances = [float(cells["distance"]) for cells in tables["distances"]]
    assert distances == [row.distance for row in results.distances]
    assert "png" not in tables["hardest"][0]
    assert next(tuple(cells["inputs"].split()) for cells in tables["stages"]) == ()
    assert float(tables["stages"][0]["seconds"]) == 0.1 + 0.2
    assert len(tables["bills"]) == 9


def test_csv_of_seeds_and_their_statistics(
    row: Callable[..., RoundRow], build: Callable[..., Results], tmp_path: Path
) -> None:
    rows = (
        row("a", "prac", 2, test=(0.912, 0.918, 0.915)),
        row("a", "vanilla", 2, test=(0.918, 0.920, 0.922)),
        row("a", "prac", 3),
    )
    results = build(
        rows=rows, judging_seeds=(7, 8, 9), dense_test_accuracies={"a": (0.92, 0.93, 0.925)}
    )
    tables = {path.stem: _read(path) for path in write_csv(results, tmp_path)}
    found = [(c["method"], c["judging_seed"], float(c["test_accuracy"])) for c in tables["seeds"]]
    assert found == [
        ("prac", "7", 0.912),
        ("prac", "8", 0.918),
        ("prac", "9", 0.915),
        ("vanilla", "7", 0.918),
        ("vanilla", "8", 0.920),
        ("vanilla", "9", 0.922),
    ]
    prac, vanilla = tables["accuracy"]
    # One search each, with seed 0; its tickets were trained with three.
    assert (prac["search_seed"], prac["judging_seeds"]) == ("0", "7 8 9")
    assert {c["search_seed"] for c in tables["seeds"]} == {"0"}
    assert (prac["flops_sparse"], prac["bytes_sparse"]) == ("51200000", "691200")
    assert float(prac["test_mean"]) == pytest.approx(0.915)
    assert float(prac["test_std"]) == pytest.approx(0.003)  # of -3, 3, 0 thousandths
    # Pairs in points: -0.6, -0.2, -0.7; their deviations -0.1, 0.3, -0.2 have squares of 0.14.
    assert float(prac["points_to_vanilla"]) == pytest.approx(-0.5)
    assert float(prac["points_to_vanilla_standard_error"]) == pytest.approx(
        (0.14 / 2) ** 0.5 / 3**0.5
    )
    assert float(prac["points_to_dense"]) == pytest.approx(-1.0)  # -0.8, -1.2, -1.0
    assert prac["points_to_random"] == ""
    assert prac["matches_vanilla"] == "false"  # 91.5 is below 92.0 - 0.2
    assert vanilla["matches_vanilla"] == ""
    assert [c["test_accuracies"] for c in tables["rounds"]][::2] == ["0.912 0.918 0.915", ""]


def test_csv_at_equal_steps(
    row: Callable[..., RoundRow], build: Callable[..., Results], tmp_path: Path
) -> None:
    # PrAC paid 1,000 and 1,400 steps; vanilla 1,000 a round; SNIP nothing for either.
    rows = (
        *(row("a", "prac", k, test=0.9 + k / 1000) for k in (1, 2)),
        *(row("a", "vanilla", k, test=0.8 + k / 1000) for k in (1, 2)),
        *(row("a", "snip", k, test=0.7, search_steps=0) for k in (1, 2)),
    )
    tables = {path.stem: _read(path) for path in write_csv(build(rows=rows), tmp_path)}
    found = {(c["budget_steps"], c["method"]): c["round"] for c in tables["equal_steps"]}
    assert found == {
        ("1000", "prac"): "1",
        ("1000", "vanilla"): "1",
        ("1000", "snip"): "1",  # its second would be sparser than what it is compared with
        ("1400", "prac"): "2",
        ("1400", "vanilla"): "1",
        ("1400", "snip"): "2",
    }
    dear = build(rows=(row("a", "prac", 1, test=0.9), row("a", "vanilla", 2, test=0.9)))
    assert [e.row for e in equal_steps(dear)][1] is None


def test_bills_in_words(results: Results) -> None:
    bill = bill_table(results)[2]
    assert bill == {
        "architecture": "resnet8",
        "method": "random subset",
        "SGD steps": "3,800",
        "steps of others": "3,800",
        "samples": "480,000",
        "CEP": "360,000",
        "scores": "0",
        "evaluation": "200,000",
        "FLOPs": "123 P",
        "wall time": "1 h 06 min",
        "energy": "not measured",
    }
    judging = judging_table(results)
    assert judging[0]["FLOPs"] == "98.8 T"
    assert len(judging) == 9


def test_what_a_network_cost_together_follows_its_bills(results: Results) -> None:
    first, others = results.bills[:3], results.bills[3:]
    sums = tuple(
        dataclasses.replace(bill, method="together", steps=7, judging_steps=0)
        for bill in (first[0], others[0])
    )
    table = bill_table(dataclasses.replace(results, bills_together=sums))
    assert [row["method"] for row in table[:5]] == [
        "PrAC",
        "vanilla",
        "random subset",
        "together",
        "PrAC",
    ]
    assert [row["SGD steps"] for row in table[2:5]] == ["3,800", "7", "3,800"]


def test_csv_of_nothing_has_headings(build: Callable[..., Results], tmp_path: Path) -> None:
    for path in write_csv(build(), tmp_path / "new"):
        assert len(path.read_text().splitlines()) == 1


def test_terminal_shows_key_rows_and_verdicts(results: Results) -> None:
    text = _printed(results)
    assert "67.23 %" in text
    words = " ".join(text.split())
    # In short: what decides, and what all need to decide it once. The page says the rest.
    assert (
        "vgg16: choosing the samples: undecided. No ticket is recommended yet. PrAC at 83.2 % "
        "sparsity: 3.7 points above a random subset, 0.1 points below vanilla. " in words
    )
    assert words.count("would tell more") == 1
    assert "resnet8, resnet20s, vgg16: The same command with --searches 5" in words
    assert words.count("A difference of two accuracies") == 1


def test_a_verdict_on_a_terminal_is_three_lines_at_most(results: Results) -> None:
    buffer = io.StringIO()
    print_table(results, Console(file=buffer, width=80))
    lines = buffer.getvalue().splitlines()
    starts = [n for n, line in enumerate(lines) if ": choosing the samples:" in line]
    assert len(starts) == len(verdicts(results)) == 3
    end = next(n for n, line in enumerate(lines) if "would tell more" in line)
    assert all(b - a <= 3 for a, b in zip(starts, [*starts[1:], end], strict=True))


def test_the_short_verdict_of_each_answer(
    row: Callable[..., RoundRow], build: Callable[..., Results]
) -> None:
    cases = {
        "not measured": (row("a", "prac", 2, test=0.91), row("a", "vanilla", 2, test=0.915)),
        "did not pay": (
            row("a", "prac", 2, test=0.91, search_steps=4000),
            row("a", "vanilla", 2, test=0.915),
            row("a", "random-subset", 2, test=0.92),
        ),
    }
    told = {
        paid: brief_verdicts(build(rows=rows, dense_test_accuracy={"a": 0.92}))
        for paid, rows in cases.items()
    }
    assert told["not measured"][0][1].startswith("choosing the samples: not measured. ")
    assert told["not measured"][1][0] == "a"
    assert "--compare vanilla random-subset measures it." in told["not measured"][1][1]
    assert "more SGD steps than vanilla" in told["did not pay"][0][1]
    assert len(told["did not pay"]) == 1  # nothing is open


def test_what_paid_elsewhere_is_the_first_suggestion(
    row: Callable[..., RoundRow], build: Callable[..., Results]
) -> None:
    def first(soft: str, rewind: str, control: float | None = 0.93, filtered: str = "0.0") -> str:
        methods = {"prac": 0.9, "vanilla": 0.93} | ({"random-subset": control} if control else {})
        rows = tuple(row("a", name, 4, test=accuracy) for name, accuracy in methods.items())
        told = {"select.soft": soft, "search.rewind": rewind, "select.filter": filtered}
        settings = told if rewind else {}
        found = build(rows=rows, dense_test_accuracy={"a": 0.92}, settings=settings)
        return brief_verdicts(found)[1][1] if len(brief_verdicts(found)) > 1 else ""

    suggested = "First try what beat random samples on CIFAR-10: --set search.rounds=1 --set "
    for soft, rewind in (("0.0", "epoch:1"), ("0.25", "epoch:1"), ("0.0", "learning-rate")):
        assert first(soft, rewind).startswith(suggested), (soft, rewind)
    # Who searched so already, or measured nothing, or doesn't tell how.
    assert suggested not in first("0.25", "learning-rate")
    assert suggested not in first("0.5", "learning-rate")
    assert suggested not in first("0.0", "epoch:1", control=None)
    assert suggested not in first("0.0", "")
    # Hardest parts of batches and soft sets exclude each other.
    assert suggested not in first("0.0", "epoch:1", filtered="0.5")


def test_terminal_shows_one_row_a_search_of_very_many(crowd: Results) -> None:
    table = _printed(crowd).split("\nvgg16")[1].split("\nvgg16:")[0]
    lines = [line for line in table.splitlines() if line.endswith(" %")]
    assert len(lines) == 17
    assert all("97.19 %" in line for line in lines)


def test_terminal_prints_brackets_as_they_are(
    row: Callable[..., RoundRow], build: Callable[..., Results]
) -> None:
    rows = (row("[red]net[/nope]", "prac", 1, test=0.9),)
    assert "[red]net[/nope]" in _printed(build(rows=rows, title="[bold]title"))


def _printed(results: Results) -> str:
    buffer = io.StringIO()
    print_table(results, Console(file=buffer, width=140))
    return buffer.getvalue()


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_dense_network_as_found_is_told_once(
    row: Callable[..., RoundRow], build: Callable[..., Results]
) -> None:
    dense = [
        dataclasses.replace(row("resnet8", method, 0), found_test_accuracy=0.9)
        for method in ("prac", "random-subset", "vanilla")
    ]
    last = [row("resnet8", method, 2, test=0.9) for method in ("prac", "random-subset", "vanilla")]
    # PrAC and random subsets share a run that stopped early; vanilla's is its own.
    assert dense[0].stage == dense[1].stage != dense[2].stage
    every = build(rows=tuple(each for pair in zip(dense, last, strict=True) for each in pair))
    told = [(one.method, one.round) for one in key_rows(every)]
    assert told == [("prac", 0), ("prac", 2), ("random-subset", 2), ("vanilla", 0), ("vanilla", 2)]


def test_networks_as_found_have_a_column_and_a_sentence(
    row: Callable[..., RoundRow], build: Callable[..., Results]
) -> None:
    rows = (
        row("resnet8", "prac", 1, test=0.91),
        dataclasses.replace(row("resnet8", "prac", 2), found_test_accuracy=0.875, found_steps=1800),
        row("resnet8", "prac", 3, test=0.9),
        dataclasses.replace(
            row("resnet8", "vanilla", 2, test=0.9), found_test_accuracy=0.88, found_steps=3000
        ),
    )
    found = build(rows=rows)
    table = [result_row(found, each) for each in rows]
    assert [cells["as found"] for cells in table] == ["–", "87.50 %", "–", "88.00 %"]
    assert list(table[0]).index("as found") == list(table[0]).index("test") + 1
    assert [r.round for r in key_rows(found)] == [1, 2, 3, 2]
    (told,) = as_found_sentences(found)
    assert told.startswith("resnet8 as found, 36.0 % of the weights removed and no judging step: ")
    assert (
        "PrAC 87.50 % after 1,800 steps; vanilla 88.00 % after 3,000 steps, judged 90.00 %" in told
    )
    out = io.StringIO()
    print_table(found, Console(file=out, width=300))
    assert told in out.getvalue()
    assert "as found" not in result_row(build(rows=rows[:1]), rows[0])
    assert as_found_sentences(build(rows=rows[:1])) == []
    assert "the dense network" not in told
    # A search of a day that tested none as found: the judged one alone.
    (older,) = as_found_sentences(build(rows=rows, dense_test_accuracy={"resnet8": 0.95}))
    assert older.endswith("; the dense network judged 95.00 %.")
    # The dense network as found stands beside them, and is none of them.
    dense = dataclasses.replace(row("resnet8", "prac", 0), found_test_accuracy=0.89)
    longer = dataclasses.replace(row("resnet8", "vanilla", 0), found_test_accuracy=0.9)
    every = (dense, longer, *rows)
    (told,) = as_found_sentences(build(rows=every))
    assert told.endswith("; the dense network 90.00 %.")
    (told,) = as_found_sentences(build(rows=every, dense_test_accuracy={"resnet8": 0.95}))
    assert told.endswith("; the dense network 90.00 %, judged 95.00 %.")
    assert as_found_sentences(build(rows=(dense, rows[0]))) == []


def test_tickets_that_are_tested_as_found_are_said_to_be(
    row: Callable[..., RoundRow], build: Callable[..., Results]
) -> None:
    rows = tuple(
        dataclasses.replace(row("resnet8", method, index, test=0.9), as_found=True)
        for method in ("prac", "random-subset")
        for index in (1, 2)
    )
    found = build(rows=rows)
    (told,) = as_found_sentences(found)
    assert "a ticket is tested as its own round left it trained" in told
    assert "alone" not in told
    assert told.endswith("--searches N repeats the whole with N seeds.")
    # The dense network may have been trained alone.
    dense = row("resnet8", "prac", 0, test=0.9)
    assert as_found_sentences(build(rows=(dense, *rows))) == [told]
    assert "as found" not in result_row(found, rows[0])
    assert told in " ".join(_printed(found).split())
    beside = build(rows=(*rows, row("resnet8", "snip", 2, test=0.9), row("resnet8", "grasp", 1)))
    (told,) = as_found_sentences(beside)
    assert "Of SNIP it was trained alone, and that is among its steps too." in told
