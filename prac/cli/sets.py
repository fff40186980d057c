"""`prac sets`: the PrAC sets in the store, and sets found elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prac.app.console import say
from prac.cli.options import split_settings, with_settings
from prac.cli.stored import (
    add_command,
    add_data_options,
    add_json_option,
    add_store_options,
    check_limit,
    open_store,
    percent,
    place_for,
    print_lines,
    print_rows,
    say_refused,
)
from prac.config.recipes import get_recipe
from prac.errors import ConfigError

# Slow imports stand in functions: see `prac.cli`.
if TYPE_CHECKING:
    import argparse

    from prac.selection.prac_set import PracSet
    from prac.tracking.registry import SetEntry

_SET_HELP = "the first digits of a set's key, as `prac sets list` prints them, or its stage's name"
_USE = """
in Python:
  ids = pyarrow.parquet.read_table("set.parquet")["sample_id"].to_numpy()
  subset = torch.utils.data.Subset(train_split, ids)  # ids are rows of the original training split
"""


def add(commands: Any) -> None:
    sets = commands.add_parser("sets", help="find, take and check PrAC sets")
    actions = sets.add_subparsers(dest="set_command", required=True, metavar="COMMAND")
    listing = add_command(
        actions,
        "list",
        help="the sets in the store: critical for training, for pruning, and both",
        examples=["prac sets list --architecture resnet8 --round 3"],
        action=list_command,
    )
    listing.add_argument("--data", metavar="NAME", help="of this data set, or its fingerprint")
    listing.add_argument("--architecture", metavar="A", help="made for this architecture")
    listing.add_argument("--method", metavar="M", help="made for: prac, random-subset, ...")
    listing.add_argument("--round", type=int, metavar="K", help="that round K is trained on")
    listing.add_argument(
        "--sort", choices=("name", "size", "newest"), default="name", help="(%(default)s)"
    )
    listing.add_argument("--limit", type=int, metavar="N", help="no more than these")
    add_store_options(listing)
    show = add_command(
        actions,
        "show",
        help="how many samples a set has, and why they are in it",
        examples=["prac sets show 3fa91c02", "prac sets show select:resnet8:prac:3"],
        action=show_set,
    )
    show.add_argument("which", metavar="SET", help=_SET_HELP)
    add_store_options(show)
    pull = add_command(
        actions,
        "pull",
        help="write a set with its reasons as Parquet or Arrow",
        examples=["prac sets pull 3fa91c02 --out set.parquet"],
        action=pull_set,
    )
    pull.epilog = f"{pull.epilog}\n{_USE}"
    pull.add_argument("which", metavar="SET", help=_SET_HELP)
    pull.add_argument("--out", required=True, metavar="FILE", help=".parquet, .arrow or .feather")
    pull.add_argument("--force", action="store_true", help="replace a file that is there")
    add_store_options(pull)
    check = add_command(
        actions,
        "check",
        help="check a file of sample ids against a data set: rows, split, classes",
        examples=["prac sets check ids.txt --data digits"],
        action=check_set,
    )
    check.add_argument(
        "file", help=".parquet, .arrow or .csv with a column sample_id; .txt: an id a line"
    )
    add_data_options(check, required=True, help="the data set whose rows they are")
    add_json_option(check)


def list_command(arguments: argparse.Namespace) -> dict[str, Any] | None:
    """Print the sets of the store."""
    check_limit(arguments.limit)
    store = open_store(arguments.home)
    from prac.tracking.registry import list_sets

    refused: list[str] = []
    sets = list_sets(
        store,
        data=arguments.data,
        architecture=arguments.architecture,
        method=arguments.method,
        round_index=arguments.round,
        sort=arguments.sort,
        limit=arguments.limit,
        refused=refused,
    )
    say_refused(refused)
    if arguments.json:
        return {"sets": [entry.to_json() for entry in sets], "refused": refused}
    columns = ("set", "data", "architecture", "method", "round", "samples", "CET", "CEP", "made by")
    print_rows("sets", columns, [_row(entry) for entry in sets])
    return None


def _row(entry: SetEntry) -> list[str]:
    return [
        entry.key[:8],
        entry.data_name or entry.data[:8],
        entry.architecture,
        entry.method,
        str(entry.round),
        f"{entry.set_size:,}",
        f"{entry.cet_size:,}",
        f"{entry.cep_size:,}",
        entry.name,
    ]


def _find(arguments: argparse.Namespace) -> tuple[SetEntry, PracSet]:
    store = open_store(arguments.home)
    from prac.tracking.registry import find_set, read_set

    entry = find_set(store, arguments.which)
    return entry, read_set(store, entry)


def _reasons(chosen: PracSet) -> dict[str, int]:
    from prac.selection.prac_set import Reason

    return {str(reason.name).lower(): len(chosen.having(reason)) for reason in Reason}


def show_set(arguments: argparse.Namespace) -> dict[str, Any] | None:
    """A set's counts, by reason."""
    entry, chosen = _find(arguments)
    facts = {**entry.to_json(), **_reasons(chosen), "digest": chosen.digest}
    if arguments.json:
        return facts
    facts = {name: value for name, value in facts.items() if name not in ("created", "finished")}
    print_lines((name.replace("_", " "), value) for name, value in facts.items())
    return None


def pull_set(arguments: argparse.Namespace) -> dict[str, Any] | None:
    """Write a set into a file."""
    from prac.selection.set_file import write_set

    out = place_for(arguments.out)
    if out.exists() and not arguments.force:
        raise ConfigError(f"{out} is there already; --force replaces it")
    entry, chosen = _find(arguments)
    facts = {
        "prac.key": entry.key,
        "prac.set": chosen.digest,
        "data": entry.data_name or "",
        "data_fingerprint": entry.data,
        "architecture": entry.architecture,
        "method": entry.method,
        "round": str(entry.round),
    }
    write_set(chosen, out, facts)
    result = {"set": entry.key, "file": str(out), "samples": len(chosen), **_reasons(chosen)}
    if arguments.json:
        return result
    say(f"{out}: {len(chosen):,} samples of {entry.data_name or entry.data} ({entry.name})")
    return None


def check_set(arguments: argparse.Namespace) -> dict[str, Any] | None:
    """Check that ids are training rows of a data set, and show the classes they are of."""
    import numpy as np

    from prac.data.sources import open_source
    from prac.selection.set_file import read_set_file

    chosen = read_set_file(arguments.file)
    changes = [("data.source", arguments.data), *split_settings(arguments.settings)]
    recipe = with_settings(get_recipe("digits"), changes)
    dataset = open_source(recipe.data).load()
    rows, ids = len(dataset.train_labels), chosen.sample_ids
    if ids[-1] >= rows:
        raise ConfigError(
            f"{arguments.file} names row {ids[-1]}; rows of {dataset.name} are 0 to {rows - 1}"
        )
    held_out = np.intersect1d(ids, dataset.validation_ids)
    if len(held_out):
        raise ConfigError(
            f"{len(held_out):,} of {len(ids):,} samples of {arguments.file} are held out for "
            f"validation (the first: {held_out[0]}); a set may have training rows only"
        )
    inside = np.bincount(dataset.train_labels[ids], minlength=dataset.num_classes)
    training = dataset.train_labels[dataset.training_ids]
    total = np.bincount(training, minlength=dataset.num_classes)
    facts: dict[str, Any] = {
        "file": arguments.file,
        "data": dataset.name,
        "samples": len(chosen),
        "share_of_training": len(chosen) / len(training),
        "digest": chosen.digest,
        "classes": dict(zip(dataset.class_names, inside.tolist(), strict=True)),
    }
    if arguments.json:
        return facts
    part = percent(facts["share_of_training"], 1)
    say(f"{arguments.file}: {len(chosen):,} training rows of {dataset.name}, {part} of them")
    rows_shown = [
        [name, f"{count:,}", percent(count / max(1, of), 1)]
        for name, count, of in zip(dataset.class_names, inside, total, strict=True)
    ]
    print_rows("classes", ("class", "samples", "of its training rows"), rows_shown)
    return None
