"""`prac run` and `prac plan`, and the pipelines' own command lines."""

from __future__ import annotations

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
    judge = judged_rounds(arguments.judge)
    from prac.app.options import Options

    return Options(
        executor=arguments.executor,
        home=arguments.home,
        storage=arguments.storage,
        storage_is_shared=arguments.storage_is_shared,
        workers=arguments.workers,
        min_workers=arguments.min_workers,
        cpus_per_round=arguments.cpus_per_round,
        gpus=arguments.gpus,
        deterministic=arguments.deterministic,
        gpus_per_worker=arguments.gpus_per_worker,
        gpus_per_round=arguments.gpus_per_round,
        transfer_from=arguments.transfer_from,
        judge=judge,
        seeds=arguments.seeds,
        searches=arguments.searches,
        margin=arguments.margin,
        plan=arguments.plan,
        only=only,
    )
