"""A sweep's results: its trials, which of them no other beats, as a table and as CSV files."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from rich.console import Console
from rich.text import Text

from prac.analysis.trials import COSTS, SweepResults, TrialRow
from prac.report.csv_files import write_rows
from prac.report.fitting import make_table, print_fitting
from prac.report.wording import ABSENT, count, percent

_COLUMNS = ("trial", "varied", "architecture", "test", "validation", "steps", "saved", "last set")


def print_front(results: SweepResults, console: Console) -> None:
    """Print all trials, the cheapest first; those on a front are marked and bold."""
    words = ("varied", "architecture", "on the front of")
    columns = (*_COLUMNS, "on the front of")
    table = make_table(results.title, {name: name not in words for name in columns})
    for architecture in results.architectures:
        fronts = _fronts(results, architecture)
        rows = [row for row in results.rows if row.architecture == architecture]
        for row in sorted(rows, key=lambda r: (r.state != "finished", r.search_steps, r.trial)):
            on = " and ".join(fronts.get(row.trial, ()))
            told = on or ("" if row.state == "finished" else _told(row))
            star = "*" if row.trial == results.best else ""
            cells = (
                f"{star}{row.trial}",
                row.label,
                row.architecture,
                percent(row.test_accuracy, 2),
                percent(row.validation_accuracy, 2),
                count(row.search_steps),
                percent(row.steps_saved),
                _set_cell(results, row),
                told,
            )
            table.add_row(*(Text(cell, style="bold" if on else "") for cell in cells))
        table.add_section()
    print_fitting(table, console, heading=3)
    if results.num_points is not None:
        told = f"the space has {results.num_points} points, fewer than --trials: each is tried once"
        console.print(told, highlight=False, soft_wrap=True)
    _print_thresholds(results, console)
    console.print(
        "front: no other trial is more accurate on the validation split at fewer search steps, or "
        "at a smaller last set. *: best, chosen on the validation split too.",
        highlight=False,
        soft_wrap=True,
    )


def by_threshold(results: SweepResults) -> list[tuple[int, TrialRow]]:
    """E_F and the judged trial with it, rising; empty where a sweep varies anything else.

    The published table: accuracy by threshold at the sparsity of the last ticket.
    """
    prefix = "select.threshold="
    labels = {row.label for row in results.rows}
    if not all(label.startswith(prefix) and " " not in label for label in labels):
        return []
    judged = [row for row in results.rows if row.test_accuracy is not None]
    places = {name: place for place, name in enumerate(results.architectures)}
    limits = [(int(row.label.removeprefix(prefix)), row) for row in judged]
    return sorted(limits, key=lambda pair: (places[pair[1].architecture], pair[0]))


def _print_thresholds(results: SweepResults, console: Console) -> None:
    rows = by_threshold(results)
    if not rows:
        return
    title = "Accuracy by threshold E_F: forgetting events that a sample may have"
    columns = ("architecture", "E_F", "weights removed", "last set", "steps", "test")
    table = make_table(title, {name: name != "architecture" for name in columns})
    for limit, row in rows:
        cells = (percent(row.sparsity, 2), _set_cell(results, row), count(row.search_steps))
        words = (row.architecture, str(limit), *cells, percent(row.test_accuracy, 2))
        table.add_row(*map(Text, words))
    print_fitting(table, console, heading=2)


def _fronts(results: SweepResults, architecture: str) -> dict[int, tuple[str, ...]]:
    names = {"search_steps": "steps", "set_size": "set size"}
    found: dict[int, tuple[str, ...]] = {}
    for cost in COSTS:
        for row in results.front(architecture, cost):
            found[row.trial] = (*found.get(row.trial, ()), names[cost])
    return found


def _told(row: TrialRow) -> str:
    after = f" after {row.rounds} rounds" if row.state == "stopped" else ""
    return f"{row.state}{after}{': ' + row.note if row.note else ''}"


def _set_cell(results: SweepResults, row: TrialRow) -> str:
    if row.set_size is None:
        return ABSENT
    return f"{count(row.set_size)} ({percent(row.set_size / results.num_training_samples)})"


def write_front(results: SweepResults, folder: Path) -> list[Path]:
    """Write trials.csv, front.csv, front.png and front.svg; returns their paths.

    And thresholds.csv, where the sweep varies the threshold alone.
    """
    # matplotlib takes most of a second to import; a table needs none of it.
    from prac.report.figures.encode import to_png, to_svg
    from prac.report.figures.front import pareto_front

    folder.mkdir(parents=True, exist_ok=True)
    figure = pareto_front(results)
    png, svg = folder / "front.png", folder / "front.svg"
    png.write_bytes(to_png(figure))
    markup = to_svg(figure, "front")
    if " xmlns=" not in markup[: markup.index(">")]:
        markup = markup.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
    svg.write_text(markup, encoding="utf-8")
    tables = [*write_trials(results, folder), *_write_thresholds(results, folder)]
    return [*tables, png, svg]


def _write_thresholds(results: SweepResults, folder: Path) -> list[Path]:
    rows = by_threshold(results)
    if not rows:
        return []
    names = ("sparsity", "set_size", "search_steps", "test_accuracy")
    lines = [(row.architecture, limit, *(getattr(row, n) for n in names)) for limit, row in rows]
    return [write_rows(folder / "thresholds.csv", ["architecture", "threshold", *names], lines)]


def write_trials(results: SweepResults, folder: Path) -> list[Path]:
    """Write trials.csv (every trial) and front.csv (those on a front); every digit."""
    names = [f.name for f in dataclasses.fields(TrialRow)]
    fronts = {a: _fronts(results, a) for a in results.architectures}
    lines, on_front = [], []
    for row in results.rows:
        on = fronts[row.architecture].get(row.trial, ())
        marks = ["steps" in on, "set size" in on]
        lines.append([*(getattr(row, n) for n in names), *marks, row.trial == results.best])
        on_front += lines[-1:] if any(marks) else []
    header = [*names, "on_steps_front", "on_set_front", "best"]
    return [
        write_rows(folder / "trials.csv", header, lines),
        write_rows(folder / "front.csv", header, on_front),
    ]
