"""The one maker of consoles: as wide as the terminal, and where there is none, as the tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

# rich is optional, and only a terminal needs what draws on it.
if TYPE_CHECKING:
    from rich.console import Console

_UNCUT = 100_000
"""Columns: more than a line has. Rich takes a file or a pipe for a terminal of 80, and cuts."""


def make_console() -> Console:
    """Where tables and progress go: standard output."""
    from rich.console import Console

    console = Console()
    # Not `is_terminal`, which FORCE_COLOR sets: colours may go through a pipe, a width may not.
    seen_by_a_person = console.file.isatty() or console.is_jupyter
    return console if seen_by_a_person else Console(width=_UNCUT)
