"""`prac`: pipelines, recipes and tickets as commands; one module a group of commands.

Each module has `add(commands)`, which adds its parsers and sets `action`: a function of the parsed
arguments that returns what is printed as the last line, as JSON, or None. Nothing heavy is imported
before an action runs, so that `prac --help` and tab completion are quick.
"""

from __future__ import annotations

from collections.abc import Sequence

from prac.app.console import say
from prac.cli import (
    complete,
    connectivity,
    data,
    gc,
    pipelines,
    recipes,
    run,
    sets,
    stops,
    sweep,
    thresholds,
    tickets,
)
from prac.cli.guard import guarded
from prac.cli.options import OneLineParser, argument_words
from prac.cli.run import pipeline

__all__ = ["main", "pipeline"]

FIRST_STEPS = """\
prac finds lottery tickets: sparse networks that train as well as dense ones.

  prac plan                      what the first run would do, and cost
  prac run                       three networks on handwritten digits, minutes
  prac data show folder:PATH     how your images would be read
  prac run --data folder:PATH --architectures resnet20s
  prac tickets list              the tickets that were found
  prac tickets pull NAME --out DIR
  prac recipes                   whole configurations, and what they cost

`prac --help` lists all commands, `prac COMMAND --help` the options of one."""
"""What `prac` alone says."""

MODULES = (
    run,
    sweep,
    thresholds,
    stops,
    connectivity,
    recipes,
    data,
    tickets,
    sets,
    pipelines,
    gc,
    complete,
)


def build_parser() -> OneLineParser:
    """The parser of the console script, with all its commands."""
    parser = OneLineParser(
        prog="prac",
        description="Find lottery tickets on Pruning-Aware Critical sets, and use them.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in MODULES:
        module.add(commands)
    return parser


def main(words: Sequence[str] | None = None) -> int:
    """The console script. Returns the exit status."""
    words = argument_words(words)
    if not words:
        say(FIRST_STEPS)
        return 0
    arguments = build_parser().parse_args(words)
    return guarded(lambda: arguments.action(arguments), words)
