"""The result as a table for a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from prac.analysis.results import Results
from prac.report.over_searches import searches_sentences, searches_table
from prac.report.tables import key_rows, result_row
from prac.report.verdict import noise_sentence, verdicts

_COLUMNS = (
    ("architecture", "left"),
    ("method", "left"),
    ("sparsity", "right"),
    ("set size", "right"),
    ("steps to find", "right"),
    ("saved", "right"),
    ("time to find", "right"),
    ("time saved", "right"),
    ("validation", "right"),
    ("test", "right"),
)

_LEFT = ("architecture", "method", "choosing the samples")
_MAX_ROWS = 60


def print_table(results: Results, console: Console) -> None:
    """Print judged tickets and each search's last row, then the verdicts.

    Of very many tickets each search's sparsest alone: the report has them all.
    """
    # Text, not str, wherever a name comes from outside: rich reads "[...]" in a str as markup.
    table = Table(title=Text(results.title), title_justify="left", header_style="bold")
    for name, justify in _COLUMNS:
        table.add_column(name, justify="right" if justify == "right" else "left")
    before = None
    rows = key_rows(results)
    if len(rows) > _MAX_ROWS:
        rows = list({(row.architecture, row.method): row for row in rows}.values())
    for row in rows:
        search = (row.architecture, row.method)
        if before is not None and search != before:
            table.add_section()
        before = search
        cells = result_row(results, row)
        style = "bold" if row.test_accuracy is not None else ""
        table.add_row(*(Text(cells[name], style=style) for name, _ in _COLUMNS))
    console.print(table)
    for verdict in verdicts(results):
        line = Text.assemble(
            (f"{verdict.architecture}: ", "bold"), verdict.badge, verdict.headline, ". "
        )
        console.print(line + Text(" ".join(verdict.sentences)))
    if results.rows:
        console.print(Text(noise_sentence(results)))
    if results.searches:
        _print_searches(results, console)


def _print_searches(results: Results, console: Console) -> None:
    rows = searches_table(results)
    table = Table(title="over searches", title_justify="left", header_style="bold")
    for name in rows[0]:
        table.add_column(name, justify="left" if name in _LEFT else "right")
    for cells in rows:
        table.add_row(*map(Text, cells.values()))
    console.print(table)
    for sentence in searches_sentences(results):
        console.print(Text(sentence))
