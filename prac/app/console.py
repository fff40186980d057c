"""The one way to a terminal: lines and consoles. Control characters in them are escaped."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prac.errors import printable

# rich is optional, and only a terminal needs what draws on it.
if TYPE_CHECKING:
    from rich.console import Console

_UNCUT = 100_000
"""Columns: more than a line has. Rich takes a file or a pipe for a terminal of 80, and cuts."""


def say(text: str, *, end: str = "\n", error: bool = False) -> None:
    """Print a line now, to standard output or standard error."""
    file = sys.stderr if error else sys.stdout
    print(printable(text), end=end, file=file, flush=True)


def near(path: Path) -> Path:
    """A path for people: as seen from the working folder where it lies below."""
    try:
        here = Path.cwd()
    except FileNotFoundError:  # deleted since
        return path
    return path.relative_to(here) if path.is_absolute() and path.is_relative_to(here) else path


def make_console() -> Console:
    """Where tables and progress go: standard output. As wide as the terminal; as wide as the
    tables where there is none."""
    from rich.console import Console
    from rich.segment import Segment

    class Printable(Console):
        def render(self, renderable: Any, options: Any = None) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                own = segment.control is not None  # rich's, such as moves of a progress bar
                yield segment if own else Segment(printable(segment.text), segment.style)

    console = Printable()
    # Not `is_terminal`, which FORCE_COLOR sets: colours may go through a pipe, a width may not.
    seen_by_a_person = console.file.isatty() or console.is_jupyter
    return console if seen_by_a_person else Printable(width=_UNCUT)
