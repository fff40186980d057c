"""`prac run` and `prac plan`, and the pipelines' own command lines."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from prac.cli.guard import guarded
from prac.cli.options import (
    OneLineParser,
    add_last_line,
    add_pipeline_options,
    argument_words,
    judged_rounds,
    recipe_from,
    wants_json,
)

# Slow imports stand in functions: see `prac.cli`.
if TYPE_CHECKING:
    import argparse

    from prac.app.options import Options


def add(commands: Any) -> None:
    run = commands.add_parser("run", help="the whole pipeline, as pipelines/full.py")
    add_pipeline_options(run)
    add_last_line(run)
    run.set_defaults(action=run_command)
    plan = commands.add_parser("plan", help="print what a run would do, without starting anything")
    add_pipeline_options(plan)
    add_last_line(plan)
    plan.set_defaults(action=run_command, plan=True)


def pipeline(
    description: str,
    words: Sequence[str] | None = None,
    *,
    only: tuple[str, ...] = (),
    defaults: dict[str, Any] | None = None,
    required: Sequence[str] = (),
) -> int:
    """A pipeline's own command line: parse, run, say; returns the exit status.

    only: stop after stages of these kinds. defaults: of options. required: options to be given.
    """
    parser = OneLineParser(description=description)
    add_pipeline_options(parser)
    add_last_line(parser)
    parser.set_defaults(**(defaults or {}))
    words = argument_words(words)
    arguments = parser.parse_args(words)
    for option in required:
        if getattr(arguments, option) is None:
            parser.error(f"--{option.replace('_', '-')} is needed")
    return guarded(lambda: run_command(arguments, only), words)


def run_command(arguments: argparse.Namespace, only: tuple[str, ...] = ()) -> dict[str, Any] | None:
    """Run a pipeline, or print its plan; what its line of JSON says, where one is wanted."""
    recipe = recipe_from(arguments)
    options = run_options(arguments, only)
    # From here on torch and MLflow are imported, which takes seconds.
    from prac.app.pipeline import run_pipeline
    from prac.app.screen import make_screen

    told = run_pipeline(recipe, options, make_screen())
    return told if wants_json(arguments) else None


def run_options(arguments: argparse.Namespace, only: tuple[str, ...] = ()) -> Options:
    """How to run, as the command line says. Raises ConfigError."""
    told = {**vars(arguments), "judge": judged_rounds(arguments.judge), "only": only}
    from prac.app.options import Options

    # Its fields have the names of options; those that are no option's have their defaults.
    names = {field.name for field in dataclasses.fields(Options)}
    return Options(**{name: value for name, value in told.items() if name in names})
