"""`prac stops`: where other early-bird stops would have ended the rounds, in seconds."""

from __future__ import annotations

import argparse
import dataclasses
from typing import TYPE_CHECKING, Any

from prac.cli.options import add_pipeline_options, recipe_from
from prac.cli.run import run_options
from prac.cli.stored import print_rows
from prac.cli.sweep import pipeline_command
from prac.config.checks import require

# Slow imports stand in functions: see `prac.cli`.
if TYPE_CHECKING:
    from prac.analysis.stops import ReplayedSearch
    from prac.pruning.replay import RecordedRound, Replayed

_DESCRIPTION = """\
What if the early-bird stop were another? For each tolerance: the epoch after which each finished
round would have ended, and its SGD steps. Nothing is trained and no cluster is started: the
distances between the rounds' tentative masks are read from the store.

A round is replayed as it was trained: with another stop, the rounds after it would have started
from another mask and set, which only a run can tell. Vanilla rounds have no stop, so their record
is whole; "+" marks a round that would have gone on past where its own stop cut the record. A
tolerance above all of a round's distances never stops it: the stop waits for one above it first."""

_EXAMPLES = """\
examples:
  prac stops --architectures resnet8 --compare vanilla
  prac stops --tolerances 0.02,0.04,0.08,none --patience 3 --json
"""


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "stops",
        help="where other tolerances and patiences would have ended the rounds, from finished ones",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    asked = parser.add_argument_group("what is asked")
    asked.add_argument(
        "--tolerances",
        default="0.02,0.04,0.06,0.07,0.08,0.1,0.15,none",
        metavar="EPS,...",
        help="(%(default)s)",
    )
    asked.add_argument(
        "--patience", type=int, metavar="N", help="distances in a row below it (the recipe's)"
    )
    asked.add_argument(
        "--json", action="store_true", help="print one line of JSON instead of tables"
    )
    add_pipeline_options(parser)
    parser.set_defaults(action=stops_command)


def stops_command(arguments: argparse.Namespace) -> dict[str, Any] | None:
    """Print the tables, or return them for `--json`."""
    recipe = recipe_from(arguments)
    options = run_options(arguments)
    from prac.pruning.replay import parse_tolerances

    tolerances = parse_tolerances(arguments.tolerances)
    patience = recipe.prune.patience if arguments.patience is None else arguments.patience
    require(patience >= 1, "--patience", patience, "1 or more")
    from prac.analysis.stops import Stops
    from prac.app.stops import replayed_searches

    searches = replayed_searches(
        recipe,
        options,
        Stops(tolerances=tolerances, patience=patience, record_at_once=recipe.prune.record_at_once),
        command=lambda: pipeline_command(arguments, "full"),
    )
    if arguments.json:
        return {"patience": patience, "searches": [_as_json(search) for search in searches]}
    for search in searches:
        _print(search, patience)
    return None


def _as_json(search: ReplayedSearch) -> dict[str, Any]:
    return {
        "architecture": search.architecture,
        "method": search.method,
        "tolerance": search.tolerance,
        "recorded": [{"epochs": one.epochs, "steps": _steps(one)} for one in search.rounds],
        "replayed": [
            {
                "tolerance": tolerance,
                "steps": sum(one.steps for one in rounds),
                "rounds": [dataclasses.asdict(one) for one in rounds],
            }
            for tolerance, rounds in search.replayed
        ],
    }


def _print(search: ReplayedSearch, patience: int) -> None:
    own = "none" if search.tolerance is None else f"{search.tolerance:g}"
    columns = ("tolerance", *(f"round {k}" for k in range(len(search.rounds))), "steps in all")
    recorded = [f"{one.epochs}: {_steps(one):,}" for one in search.rounds]
    total = sum(_steps(one) for one in search.rounds)
    rows = [(f"as run ({own})", *recorded, f"{total:,}")]
    for tolerance, rounds in search.replayed:
        steps = sum(one.steps for one in rounds)
        more = "+" if any(one.at_least for one in rounds) else ""
        name = "none" if tolerance is None else f"{tolerance:g}"
        rows.append((name, *map(_cell, rounds), f"{steps:,}{more}"))
    title = (
        f"{search.architecture}, {search.method}: epochs and SGD steps of each round that finds a "
        f"mask, patience {patience}"
    )
    print_rows(title, columns, rows)


def _cell(one: Replayed) -> str:
    return f"{one.epochs}{'+' if one.at_least else ''}: {one.steps:,}"


def _steps(one: RecordedRound) -> int:
    return one.epochs * one.steps_per_epoch
