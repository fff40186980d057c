"""The report's numbers as CSV files, with every digit: one file for each figure and table."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from prac.analysis.results import (
    Bill,
    ClassShare,
    DistanceRow,
    HardSample,
    LayerShare,
    MaskOverlap,
    Memorised,
    Results,
    RoundRow,
    SearchRow,
    StageRow,
    ThresholdSet,
)
from prac.errors import printable
from prac.report.compare import comparisons
from prac.report.equal_steps import equal_steps
from prac.report.wording import architectures

Table = tuple[Sequence[str], Iterable[Sequence[Any]]]

_FORMULA = ("=", "+", "-", "@", "\t")
_RUNS = ("search_seed", "judging_seeds")


def write_csv(results: Results, folder: Path) -> list[Path]:
    """Write all tables, empty ones with their headings alone; returns their paths.

    Numbers have every digit, absent values are empty, several values are separated by spaces.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return [
        write_rows(folder / f"{name}.csv", header, rows)
        for name, (header, rows) in _tables(results).items()
    ]


def _tables(results: Results) -> dict[str, Table]:
    return {
        "rounds": _fields(RoundRow, results.rows, also=("test_accuracy", "test_std")),
        "accuracy": _accuracy(results),
        "seeds": _seeds(results),
        "searches": _fields(SearchRow, results.searches),
        "equal_steps": _equal_steps(results),
        "sets": _sets(results),
        "thresholds": _fields(ThresholdSet, results.thresholds),
        "masks": _fields(MaskOverlap, results.masks),
        "layers": _fields(LayerShare, results.layers),
        "classes": _fields(ClassShare, results.classes),
        "samples": _fields(HardSample, results.samples, without=("png",)),
        "hardest": _fields(HardSample, results.hardest, without=("png",)),
        "never_learned": _fields(HardSample, results.never_learned, without=("png", "reason")),
        "memorised": _fields(Memorised, results.memorised),
        "distances": _fields(DistanceRow, results.distances),
        "bills": _fields(Bill, results.bills),
        "bills_together": _fields(Bill, results.bills_together),
        "stages": _fields(StageRow, results.stages, without=("made_by",)),
        "made_by": _made_by(results),
    }


def _fields(
    kind: type[Any],
    values: Iterable[Any],
    *,
    also: tuple[str, ...] = (),
    without: tuple[str, ...] = (),
) -> Table:
    names = [f.name for f in dataclasses.fields(kind) if f.name not in without] + list(also)
    return names, [[getattr(value, name) for name in names] for value in values]


def _made_by(results: Results) -> Table:
    """One row a stage and a thing that was noted of what made it."""
    told = [(s.name, name, value) for s in results.stages for name, value in s.made_by.items()]
    return ("stage", "what", "value"), told


def _accuracy(results: Results) -> Table:
    """One row a judged ticket: mean, deviation, and differences paired by seed, in points."""
    others = ("dense", "vanilla", "random")
    header = ["architecture", "method", "round", "sparsity", "search_steps", "steps_saved"]
    header += ["search_seconds", "seconds_saved"]
    header += ["flops_sparse", "bytes_sparse", *_RUNS, "as_found", "test_mean", "test_std"]
    for other in others:
        header += [f"points_to_{other}", f"points_to_{other}_standard_error"]
    lines = []
    for architecture in architectures(results):
        for c in comparisons(results, architecture):
            row = c.row
            line: list[Any] = [architecture, row.method, row.round, row.sparsity, row.search_steps]
            line += [c.steps_saved, row.search_seconds, row.seconds_saved]
            line += [row.flops_sparse, row.bytes_sparse]
            line += [*_runs(results, row), row.as_found, c.test_accuracy, c.test_std]
            for found in (c.dense, c.vanilla, c.random):
                line += [found.points if found else None, found.error if found else None]
            lines.append([*line, c.matches])
    return [*header, "matches_vanilla"], lines


def _seeds(results: Results) -> Table:
    """One row a judgement."""
    lines = [
        [row.architecture, row.method, row.round, row.sparsity, results.seed, seed, accuracy]
        for row in results.rows
        for seed, accuracy in zip(results.judging_seeds, row.test_accuracies, strict=False)
    ]
    header = ["architecture", "method", "round", "sparsity", "search_seed", "judging_seed"]
    return [*header, "test_accuracy"], lines


def _equal_steps(results: Results) -> Table:
    header = ["architecture", "budget_steps", "budget_sparsity", "method", "round", "sparsity"]
    header += ["search_steps", *_RUNS, "test_mean", "test_std"]
    lines = []
    for found in equal_steps(results):
        row = found.row
        line: list[Any] = [found.architecture, found.steps, found.sparsity, found.method]
        if row is None:
            line += [None] * 7
        else:
            line += [row.round, row.sparsity, row.search_steps, *_runs(results, row)]
            line += [row.test_accuracy, row.test_std]
        lines.append(line)
    return header, lines


def _runs(results: Results, row: RoundRow) -> tuple[int, tuple[int, ...]]:
    """The one seed of the search, and those that its ticket was trained with."""
    return results.seed, results.judging_seeds[: len(row.test_accuracies)]


def _sets(results: Results) -> Table:
    names = ["architecture", "method", "round", "sparsity", "set_size", "cet_size", "cep_size"]
    names += ["overlap", "easy_size"]
    lines = [
        [*(getattr(row, name) for name in names), _share(results, row)] for row in results.rows
    ]
    return [*names, "share_of_training"], lines


def _share(results: Results, row: RoundRow) -> float:
    return row.set_size / results.num_training_samples


def write_rows(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Path:
    """Write one table: every digit, nothing where a value is absent, spaces between several.

    A text that a spreadsheet would take for a formula has a ' before it.
    """
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([_cell(value) for value in row] for row in (header, *rows))
    return path


def _cell(value: object) -> object:
    # `csv` itself writes nothing for None, and every digit of a float.
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return " ".join(str(_cell(v)) for v in value)
    if not isinstance(value, str):
        return value
    # Spreadsheets pass over spaces before a formula.
    return printable(f"'{value}" if value.lstrip(" ").startswith(_FORMULA) else value)
