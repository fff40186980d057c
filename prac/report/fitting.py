"""Tables in terminals that are narrower than they are: a block a row, no name in pieces."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from prac.report.wording import broken

_ANY_WIDTH = 100_000


def make_table(title: str, columns: dict[str, bool]) -> Table:
    """A table without rows. columns: by name, whether they hold numbers, which stand to the right.

    Names are no markup: rich reads "[...]" in a str as such.
    """
    table = Table(
        title=Text(title), title_justify="left", header_style="bold", box=box.SIMPLE_HEAD,
        show_edge=False, pad_edge=False, collapse_padding=True,
    )  # fmt: skip
    for name, numeric in columns.items():
        table.add_column(Text(name), justify="right" if numeric else "left", overflow="fold")
    return table


def print_fitting(table: Table, console: Console, *, heading: int = 1) -> None:
    """Print a table, or where it is wider than the terminal, a block a row: what it is of, then
    names and values, broken between them alone.

    heading: how many of the first columns say what a row is of.
    """
    wide = console.options.update(width=_ANY_WIDTH)
    if console.measure(table, options=wide).maximum <= console.width:
        console.print(table)
        return
    if table.title:
        console.print(table.title, style="table.title", highlight=False)
    for line in _blocks(table, console.width, heading):
        console.print(line, highlight=False, soft_wrap=True)


def _blocks(table: Table, width: int, heading: int) -> Iterator[Text]:
    names = [" ".join(_plain(column.header).split()) for column in table.columns]
    width = max(width, 20)
    for cells in zip(*(column.cells for column in table.columns), strict=True):
        told = [*map(_plain, cells)]
        yield Text("  ".join(told[:heading]), style="bold")
        line = ""
        for name, value in zip(names[heading:], told[heading:], strict=True):
            if value in ("", "–"):
                continue
            item = f"  {name} {value}"
            if line and len(line) + len(item) > width:
                yield from map(Text, broken(line, width, "    "))
                line = ""
            line += item
        if line:
            yield from map(Text, broken(line, width, "    "))


def _plain(cell: object) -> str:
    return cell.plain if isinstance(cell, Text) else str(cell)
