"""The result as a table for a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from prac.analysis.results import Results, RoundRow
from prac.report.as_found import as_found_sentences
from prac.report.fitting import make_table, print_fitting
from prac.report.odd_sets import odd_sets
from prac.report.over_searches import about_searches, searches_table
from prac.report.tables import key_rows, result_row
from prac.report.verdict import brief_verdicts, noise_sentence
from prac.report.wording import architectures

_COLUMNS = {
    "method": "method",
    "sparsity": "sparsity",
    "set size": "set\nsize",
    "steps to find": "steps\nto find",
    "saved": "steps\nsaved",
    "time to find": "time\nto find",
    "validation": "validation",
    "test": "test",
}
"""By name, with their headings: a table of one training a ticket fits a terminal of 80 columns."""
_LEFT = ("architecture", "method", "choosing the samples")
_MAX_ROWS = 60


def print_table(results: Results, console: Console) -> None:
    """Print judged tickets and each search's last row, then the verdicts in short: the page says
    them in full.

    Of very many tickets each search's sparsest alone: the report has them all.
    """
    console.print(Text(results.title))
    rows = key_rows(results)
    columns = _columns(rows)
    if len(rows) > _MAX_ROWS:
        rows = list({(row.architecture, row.method): row for row in rows}.values())
    for architecture in architectures(results):
        _print_tickets(results, architecture, rows, columns, console)
    for sentence in (*as_found_sentences(results), *odd_sets(results)):
        console.print(Text(sentence))
    for networks, told in brief_verdicts(results):
        console.print(Text.assemble((f"{networks}: ", "bold"), told))
    if results.rows:
        console.print(Text(noise_sentence(results)))
    if results.searches:
        _print_searches(results, console)


def _print_tickets(
    results: Results,
    architecture: str,
    rows: list[RoundRow],
    columns: dict[str, str],
    console: Console,
) -> None:
    table = make_table(
        architecture, {heading: name != "method" for name, heading in columns.items()}
    )
    before = None
    for row in rows:
        if row.architecture != architecture:
            continue
        if before is not None and row.method != before:
            table.add_section()
        before = row.method
        cells = result_row(results, row)
        if row.sparsity == 0 and row.test_accuracy is not None:
            cells["method"] = "dense"  # whose judgement is told with the first method
        style = "bold" if row.test_accuracy is not None else ""
        table.add_row(*(Text(cells[name], style=style) for name in columns))
    print_fitting(table, console, heading=2)


def _columns(rows: list[RoundRow]) -> dict[str, str]:
    """With networks as found, where there are any."""
    goes_on = any(row.found_test_accuracy is not None for row in rows)
    return {**_COLUMNS, "as found": "as\nfound"} if goes_on else _COLUMNS


def _print_searches(results: Results, console: Console) -> None:
    rows = searches_table(results)
    table = make_table("over searches", {name: name not in _LEFT for name in rows[0]})
    for cells in rows:
        table.add_row(*map(Text, cells.values()))
    print_fitting(table, console, heading=3)
    for sentence in about_searches(results):
        console.print(Text(sentence))
