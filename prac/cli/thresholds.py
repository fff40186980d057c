"""`prac thresholds`: the sets that other thresholds would make, in seconds."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prac.cli.options import add_pipeline_options, recipe_from
from prac.cli.run import run_options
from prac.cli.stored import print_rows
from prac.cli.sweep import pipeline_command
from prac.config.checks import require
from prac.errors import ConfigError

# Slow imports stand in functions: see `prac.cli`.
if TYPE_CHECKING:
    from prac.analysis.what_ifs import StoredSets, StoredThresholds

_DESCRIPTION = """\
What if the threshold E_F were another? For each one: how many samples the next round's set would
have, and which. Nothing is trained and no cluster is started: the statistics of a dense run's
events, and of the rounds that followed it, are read from the store.

CET: samples forgotten more than E_F times, or never learned. CEP: samples on which the dense and
the pruned model disagree (from round 1 on). The set is both together, without the easy samples that
select.easy draws beside them; overlap is in both. The first table (after round 0) is exact for
every threshold; a later one says what another threshold would have made of a round that was trained
with the recipe's own."""

_EXAMPLES = """\
examples:
  python pipelines/dense.py --architectures resnet8      (once: makes the dense run)
  prac thresholds --architectures resnet8
  prac thresholds --architectures resnet8 --thresholds 0,1,2,3 --after 0 --csv sets.csv
  prac thresholds --set select.threshold=2               (the rounds that were trained with 2)
"""


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "thresholds",
        help="set size, parts and classes for every threshold, from finished events",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    asked = parser.add_argument_group("what is asked")
    asked.add_argument(
        "--thresholds", default="0,1,2,4,6,8,10", metavar="E_F,...", help="(%(default)s)"
    )
    asked.add_argument(
        "--after", type=int, metavar="ROUND", help="sets made after this round only (all found)"
    )
    asked.add_argument("--csv", metavar="FILE", help="write the table there, every digit")
    asked.add_argument(
        "--json", action="store_true", help="print one line of JSON instead of tables"
    )
    add_pipeline_options(parser)
    parser.set_defaults(action=thresholds_command, compare=[])


def thresholds_command(arguments: argparse.Namespace) -> dict[str, Any] | None:
    """Print the what-if tables, or return them for `--json`."""
    recipe = recipe_from(arguments)
    options = run_options(arguments)
    from prac.selection.thresholds import parse_thresholds

    thresholds = parse_thresholds(arguments.thresholds)
    after, rounds = arguments.after, recipe.search.rounds
    require(after is None or 0 <= after < rounds, "--after", after, f"0 to {rounds - 1}")
    from prac.app.thresholds import stored_thresholds

    sets = stored_thresholds(
        recipe,
        options,
        thresholds=thresholds,
        after=arguments.after,
        command=lambda: pipeline_command(arguments, "dense"),
    )
    if arguments.csv is not None:
        _write_csv(sets, Path(arguments.csv))
    if arguments.json:
        return {
            "data": sets.data,
            "training_samples": sets.num_training,
            "classes": list(sets.class_names),
            "sets": [dataclasses.asdict(table) for table in sets.found],
        }
    for table in sets.found:
        _print(sets, table)
    return None


def _print(sets: StoredSets, table: StoredThresholds) -> None:
    from prac.report.wording import count, percent

    names = ("E_F", "set size", "share", "CET", "never learned", "CEP", "overlap")
    rows = []
    for row in table.rows:
        shares = sorted(zip(row.class_shares, sets.class_names, strict=True))
        (low, least), (high, most) = shares[0], shares[-1]
        spread = f"{least} {percent(low)} to {most} {percent(high)}"
        cells = (
            str(row.threshold),
            count(row.set_size),
            percent(row.share),
            count(row.cet_size),
            count(row.never_learned),
            count(row.cep_size),
            count(row.overlap),
            spread if row.set_size else "empty: nothing could be trained on it",
        )
        rows.append(cells)
    title = (
        f"{table.architecture} on {sets.data}: sets made after round {table.after} "
        f"({count(sets.num_training)} training samples)"
    )
    print_rows(title, (*names, "classes, smallest to largest share"), rows)


def _write_csv(sets: StoredSets, path: Path) -> None:
    from prac.report.csv_files import write_rows

    names = ("threshold", "set_size", "cet_size", "never_learned", "cep_size", "overlap", "share")
    shares = [f"share of {name}" for name in sets.class_names]
    rows = (
        (t.architecture, t.after, *(getattr(row, name) for name in names), *row.class_shares)
        for t in sets.found
        for row in t.rows
    )
    try:
        write_rows(path, ["architecture", "after_round", *names, *shares], rows)
    except OSError as error:
        raise ConfigError(f"--csv {path} can't be written: {error.strerror}") from error
