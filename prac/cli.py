"""`prac`: the pipelines as commands, recipes, tickets."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any

from prac.errors import PracError
from prac.options import (
    OneLineParser,
    add_pipeline_options,
    argument_words,
    judged_rounds,
    recipe_from,
)

if TYPE_CHECKING:
    import argparse

    from prac.distributed.graph import Kind


def main(words: Sequence[str] | None = None) -> int:
    """The console script. Returns the exit status."""
    parser = OneLineParser(prog="prac", description="Lottery tickets on PrAC sets.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="the whole pipeline, as pipelines/full.py")
    add_pipeline_options(run)
    plan = commands.add_parser("plan", help="print what a run would do, without starting anything")
    add_pipeline_options(plan)
    recipes = commands.add_parser("recipes", help="list the recipes, or show one whole")
    recipes.add_argument("name", nargs="?", help="a recipe to show with all its fields")
    show = commands.add_parser("ticket", help="show and verify a ticket")
    show.add_argument("where", help="a folder, models:/NAME/VERSION or models:/NAME@alias")
    arguments = parser.parse_args(argument_words(words))
    if arguments.command in ("run", "plan"):
        arguments.plan = arguments.plan or arguments.command == "plan"
        return guarded(lambda: _run(arguments, ()))
    if arguments.command == "recipes":
        return guarded(lambda: _recipes(arguments.name))
    return guarded(lambda: _ticket(arguments.where))


def pipeline(
    description: str,
    words: Sequence[str] | None = None,
    *,
    only: tuple[Kind, ...] = (),
    defaults: dict[str, Any] | None = None,
    required: Sequence[str] = (),
) -> int:
    """A pipeline's own command line: parse, run, say; returns the exit status.

    only: stop after stages of these kinds. defaults: of options. required: options to be given.
    """
    parser = OneLineParser(description=description)
    add_pipeline_options(parser)
    parser.set_defaults(**(defaults or {}))
    arguments = parser.parse_args(argument_words(words))
    for option in required:
        if getattr(arguments, option) is None:
            parser.error(f"--{option.replace('_', '-')} is needed")
    return guarded(lambda: _run(arguments, only))


def guarded(action: Callable[[], dict[str, Any] | None]) -> int:
    """Run something; a user's error ends in one line on stderr and its exit status.

    What the action returns is printed as one line of JSON, the last.
    """
    previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        result = action()
    except PracError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr, flush=True)
        return error.exit_status
    except KeyboardInterrupt:
        print(
            "error: interrupted; finished stages are kept, the same command goes on from there",
            file=sys.stderr,
            flush=True,
        )
        return 130
    finally:
        signal.signal(signal.SIGTERM, previous)
    if result:
        print(json.dumps(result), flush=True)
    return 0


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _run(arguments: argparse.Namespace, only: tuple[Kind, ...]) -> dict[str, Any]:
    recipe = recipe_from(arguments)
    judge = judged_rounds(arguments.judge)
    # From here on torch and MLflow are imported, which takes seconds.
    from rich.console import Console

    from prac.distributed.pipeline import Options, run_pipeline

    options = Options(
        home=arguments.home,
        storage=arguments.storage,
        storage_is_shared=arguments.storage_is_shared,
        workers=arguments.workers,
        cpus_per_round=arguments.cpus_per_round,
        gpus_per_worker=arguments.gpus_per_worker,
        gpus_per_round=arguments.gpus_per_round,
        transfer_from=arguments.transfer_from,
        judge=judge,
        plan=arguments.plan,
        only=only,
    )
    console = Console()
    if not console.is_terminal:
        # A job's log is no terminal of 80 columns: tables keep their width there.
        console = Console(width=160)
    return run_pipeline(recipe, options, console)


def _recipes(name: str | None) -> None:
    from prac.options import SECTIONS
    from prac.recipes import describe_recipes, get_recipe

    if name is None:
        for known, description in describe_recipes().items():
            print(f"{known:20} {description}")
        return
    recipe = get_recipe(name)
    print(f"{recipe.name}: {recipe.description}")
    print(f"architectures: {' '.join(recipe.architectures)}; compare: {' '.join(recipe.compare)}")
    for section in SECTIONS:
        for field, value in vars(getattr(recipe, section)).items():
            text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
            print(f"{section}.{field}={text.lower() if isinstance(value, bool) else text}")


def _ticket(where: str) -> dict[str, Any]:
    from prac.ticket import Ticket

    ticket = Ticket.load(where)
    ticket.verify()
    return {"sparsity": ticket.sparsity, "weights_alive": ticket.mask.num_alive, **ticket.lineage}


if __name__ == "__main__":
    sys.exit(main())
