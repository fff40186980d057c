"""Results as tables: rows of text for people, CSV files with every digit for programs."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from prac.report.compare import steps_saved
from prac.report.wording import ABSENT, count, duration, method_label, percent
from prac.results import Bill, DistanceRow, HardSample, Results, RoundRow, StageRow

_TABLES: dict[str, tuple[type[Any], tuple[str, ...]]] = {
    "rounds": (RoundRow, ()),
    "distances": (DistanceRow, ()),
    "hardest": (HardSample, ("png",)),
    "bills": (Bill, ()),
    "stages": (StageRow, ()),
}


def result_table(results: Results) -> list[dict[str, str]]:
    """One row a round of every search, as text; the keys are the column headings, in order."""
    return [result_row(results, row) for row in results.rows]


def result_row(results: Results, row: RoundRow) -> dict[str, str]:
    """One round as text under the headings of `result_table`."""
    return {
        "architecture": row.architecture,
        "method": method_label(row.method),
        "round": str(row.round),
        "sparsity": percent(row.sparsity, 2),
        "set size": count(row.set_size),
        "CET": count(row.cet_size),
        "CEP": count(row.cep_size),
        "epochs (of budget)": f"{row.epochs} (of {row.budget_epochs})" if row.trained else ABSENT,
        "steps": count(row.steps) if row.trained else ABSENT,
        "steps to find": count(row.search_steps),
        "saved": percent(steps_saved(results, row)),
        "validation": percent(row.validation_accuracy, 2),
        "test": percent(row.test_accuracy, 2),
    }


def bill_table(results: Results) -> list[dict[str, str]]:
    """What each search cost, one row a search, as text."""
    return [
        {
            "architecture": bill.architecture,
            "method": method_label(bill.method),
            "SGD steps": count(bill.steps),
            "samples trained on": count(bill.samples),
            "forward passes only": count(bill.forward_samples),
            "wall time": duration(bill.seconds),
        }
        for bill in results.bills
    ]


def key_rows(results: Results) -> list[RoundRow]:
    """The rows that matter most: judged tickets and each search's last row."""
    last: dict[tuple[str, str], RoundRow] = {}
    for row in results.rows:
        search = (row.architecture, row.method)
        if search not in last or row.round >= last[search].round:
            last[search] = row
    return [
        row
        for row in results.rows
        if row.test_accuracy is not None or row is last[row.architecture, row.method]
    ]


def write_csv(results: Results, folder: Path) -> list[Path]:
    """Write rounds, distances, hardest (without images), bills and stages; returns their paths.

    Numbers have every digit, absent values are empty, a stage's inputs are separated by spaces.
    """
    folder.mkdir(parents=True, exist_ok=True)
    values: dict[str, Sequence[Any]] = {
        "rounds": results.rows,
        "distances": results.distances,
        "hardest": results.hardest,
        "bills": results.bills,
        "stages": results.stages,
    }
    return [_write(folder / f"{name}.csv", name, values[name]) for name in _TABLES]


def _write(path: Path, name: str, values: Iterable[Any]) -> Path:
    kind, left_out = _TABLES[name]
    names = [f.name for f in dataclasses.fields(kind) if f.name not in left_out]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        writer.writerows([_cell(getattr(value, n)) for n in names] for value in values)
    return path


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(float(value))
    return " ".join(value) if isinstance(value, tuple) else str(value)
