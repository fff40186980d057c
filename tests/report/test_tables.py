"""Tables of text, CSV files and the terminal's table."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from prac.report import key_rows, print_table, result_table, write_csv
from prac.results import Results, RoundRow


def test_one_row_a_round_in_words(results: Results) -> None:
    table = result_table(results)
    assert len(table) == 3 * 3 * 9
    assert table[5] == {
        "architecture": "resnet8",
        "method": "PrAC",
        "round": "5",
        "sparsity": "67.23 %",
        "set size": "16,712",
        "CET": "15,712",
        "CEP": "4,000",
        "epochs (of budget)": "30 (of 50)",
        "steps": "400",
        "steps to find": "2,600",
        "saved": "48.0 %",
        "validation": "91.50 %",
        "test": "91.40 %",
    }


def test_absence_is_a_dash(results: Results) -> None:
    last = result_table(results)[8]
    assert (last["epochs (of budget)"], last["steps"], last["validation"]) == ("–", "–", "–")
    first = result_table(results)[0]
    assert (first["CET"], first["saved"], first["test"]) == ("–", "–", "–")


def test_key_rows_are_judged_or_last(row: Callable[..., RoundRow], build: Callable[..., Results]):
    rows = (row("a", "prac", 0), row("a", "prac", 1, test=0.9), row("a", "prac", 2))
    assert [r.round for r in key_rows(build(rows=rows))] == [1, 2]


def test_csv_gives_back_every_digit(results: Results, tmp_path: Path) -> None:
    paths = write_csv(results, tmp_path)
    assert [path.name for path in paths] == [
        "rounds.csv",
        "distances.csv",
        "hardest.csv",
        "bills.csv",
        "stages.csv",
    ]
    tables = {path.stem: _read(path) for path in paths}
    for cells, row in zip(tables["rounds"], results.rows, strict=True):
        assert float(cells["sparsity"]) == row.sparsity
        assert int(cells["search_steps"]) == row.search_steps
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


def test_csv_of_nothing_has_headings(build: Callable[..., Results], tmp_path: Path) -> None:
    for path in write_csv(build(), tmp_path / "new"):
        assert len(path.read_text().splitlines()) == 1


def test_terminal_shows_key_rows_and_verdicts(results: Results) -> None:
    text = _printed(results)
    assert "67.23 %" in text
    assert "Take PrAC at 83.2 % sparsity" in " ".join(text.split())


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
