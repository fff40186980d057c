"""`prac tickets`: find, look at, take, check, compare; `prac.cli.ticket_use` trains and exports."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prac.app.console import say
from prac.cli import ticket_use
from prac.cli.stored import (
    WHERE_HELP,
    add_command,
    add_store_options,
    add_trust_option,
    check_limit,
    open_store,
    open_ticket,
    percent,
    place_for,
    print_lines,
    print_rows,
    say_refused,
    share,
    stages_of,
    ticket_folder,
)
from prac.errors import ConfigError, StoreError

# Slow imports stand in functions: see `prac.cli`.
if TYPE_CHECKING:
    import argparse

    from prac.ticket.format import Ticket
    from prac.ticket.listed import TicketEntry

_ORDERS = ("accuracy", "sparsity", "steps-saved", "set-size", "newest", "name")


def add(commands: Any) -> None:
    tickets = commands.add_parser("tickets", help="find, take, check, train and export tickets")
    actions = tickets.add_subparsers(dest="ticket_command", required=True, metavar="COMMAND")
    _add_list(actions)
    show = add_command(
        actions,
        "show",
        help="what a ticket is, what it cost and where it comes from; it is verified first",
        examples=["prac tickets show prac-digits-resnet8@smallest", "prac tickets show my-folder"],
        action=show_ticket,
    )
    show.add_argument("where", help=WHERE_HELP)
    add_trust_option(show)
    add_store_options(show)
    pull = add_command(
        actions,
        "pull",
        help="copy a ticket into a folder, whole or not at all",
        examples=[
            "prac tickets pull prac-digits-resnet8 --out ticket",
            "prac tickets pull prac-digits-resnet8/3 --out ticket --force",
        ],
        action=pull_ticket,
    )
    pull.add_argument("where", metavar="NAME", help=WHERE_HELP)
    pull.add_argument("--out", required=True, metavar="DIR", help="the folder to make")
    pull.add_argument("--force", action="store_true", help="replace a ticket that is there")
    add_store_options(pull)
    ticket_use.add_verify(actions)
    ticket_use.add_train(actions)
    ticket_use.add_export(actions)
    compare = add_command(
        actions,
        "compare",
        help="how much two masks overlap, layer by layer",
        examples=["prac tickets compare prac-digits-resnet8@best prac-digits-resnet8@smallest"],
        action=compare_tickets,
    )
    compare.add_argument("first", metavar="A", help=WHERE_HELP)
    compare.add_argument("second", metavar="B", help="another ticket of the same architecture")
    add_store_options(compare)


def _add_list(actions: Any) -> None:
    parser = add_command(
        actions,
        "list",
        help="the tickets in the store, best first",
        examples=[
            "prac tickets list --architecture resnet8 --min-sparsity 75%",
            "prac tickets list --data digits --sort sparsity --limit 5",
        ],
        action=list_command,
    )
    parser.add_argument("--data", metavar="NAME", help="of this data set: digits, cifar10, ...")
    parser.add_argument("--architecture", metavar="A", help="of this architecture")
    parser.add_argument("--method", metavar="M", help="found by: prac, vanilla, ...")
    parser.add_argument(
        "--min-sparsity", type=share, metavar="S", help="at least this share pruned: 0.75 or 75%%"
    )
    parser.add_argument(
        "--min-accuracy", type=share, metavar="A", help="judged, with at least this test accuracy"
    )
    parser.add_argument(
        "--sort", choices=_ORDERS, default="accuracy", help="what comes first (%(default)s)"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="no more than these")
    add_store_options(parser)


def list_command(arguments: argparse.Namespace) -> dict[str, Any] | None:
    """Print the tickets of the store."""
    import dataclasses

    check_limit(arguments.limit)
    from prac.ticket.listed import choose

    refused: list[str] = []
    tickets = choose(
        _listed(arguments.home, refused),
        data=arguments.data,
        architecture=arguments.architecture,
        method=arguments.method,
        min_sparsity=arguments.min_sparsity,
        min_accuracy=arguments.min_accuracy,
        sort=arguments.sort,
        limit=arguments.limit,
    )
    say_refused(refused)
    if arguments.json:
        return {"tickets": [dataclasses.asdict(ticket) for ticket in tickets], "refused": refused}
    columns = (
        "ticket",
        "aliases",
        "data",
        "architecture",
        "method",
        "sparsity",
        "test accuracy",
        "judged",
        "to dense",
        "set",
        "steps",
        "saved",
        "seed",
    )
    print_rows("tickets", columns, [_row(ticket) for ticket in tickets])
    return None


def _listed(home: str | None, refused: list[str]) -> Iterator[TicketEntry]:
    """MLflow's and those of local runs, where they are. Raises ConfigError without any store.

    refused: takes a line for each that can't be read.
    """
    from prac.ticket.listed import tickets_in

    stages = stages_of(home)
    try:
        store = open_store(home)
    except ConfigError:
        if not stages.is_dir():
            raise
    else:
        from prac.tracking.registry import list_tickets

        yield from list_tickets(store, refused)
    yield from tickets_in(stages, refused)


def _row(ticket: TicketEntry) -> list[str]:
    to_dense = ""
    if ticket.test_accuracy is not None and ticket.dense_test_accuracy is not None:
        to_dense = f"{100 * (ticket.test_accuracy - ticket.dense_test_accuracy):+.2f}"
    return [
        ticket.where.removeprefix("models:/"),
        " ".join(ticket.aliases),
        ticket.data,
        ticket.architecture,
        ticket.method,
        percent(ticket.sparsity, 1),
        percent(ticket.test_accuracy),
        ticket.judged,
        to_dense,
        f"{ticket.set_size:,}",
        f"{ticket.search_steps:,}",
        percent(ticket.steps_saved, 1),
        str(ticket.seed),
    ]


def show_ticket(arguments: argparse.Namespace) -> dict[str, Any] | None:
    """Load and verify a ticket; its lineage."""
    folder, named = ticket_folder(arguments.where, arguments.home)
    ticket = open_ticket(folder, arguments.home, trust_code=arguments.trust_code)
    computed = {"ticket": named, "trained_weights": ticket.trained is not None}
    facts: dict[str, Any] = {
        **computed,
        **ticket.lineage,
        **computed,  # what a lineage says of these doesn't count
        "sparsity": ticket.sparsity,
        "weights_alive": ticket.mask.num_alive,
        "sparsity_of_all": _sparsity_of_all(ticket),
        **_costs(ticket),
    }
    if arguments.json:
        return facts
    shares = ("sparsity", "sparsity_of_all", "steps_saved", "test_accuracy", "validation_accuracy")
    shown = {
        name: percent(value) if name in (*shares, "dense_test_accuracy") else value
        for name, value in facts.items()
        if value is not None
    }
    counts = ("flops_dense", "flops_sparse", "bytes_dense", "bytes_sparse", "weights_alive")
    shown |= {name: f"{shown[name]:,}" for name in counts if name in shown}
    print_lines((name.replace("_", " "), value) for name, value in shown.items())
    rows = [
        [name, "x".join(map(str, alive.shape)), f"{int(alive.sum()):,}", percent(_pruned(alive), 1)]
        for name, alive in ticket.mask.items()
    ]
    print_rows("prunable weights", ("weight", "shape", "alive", "pruned"), rows)
    return None


def _sparsity_of_all(ticket: Ticket) -> float | None:
    """The share of all parameters that is pruned; None where the lineage doesn't count them."""
    parameters = ticket.lineage.get("parameters")
    pruned = ticket.mask.size - ticket.mask.num_alive
    return pruned / parameters if isinstance(parameters, int) and parameters > 0 else None


def _costs(ticket: Ticket) -> dict[str, Any]:
    """FLOPs of an image and bytes of the weights; why not where the network can't be built.

    Of a trained network whose channels can be removed, also how many died.
    """
    from prac.errors import PracError
    from prac.ticket.cost import ticket_cost
    from prac.ticket.shrink import shrink

    try:
        model, shape = ticket.build(), tuple(ticket.lineage["image_shape"])
    except KeyError:
        return {}
    except PracError as error:
        return {"costs": f"not known: {error}"}
    costs: dict[str, Any] = vars(ticket_cost(model, ticket.mask, shape))
    if ticket.trained is None:
        return costs
    try:
        shrunk = shrink(ticket.build(trained=True).eval())
    except PracError:
        return costs
    return {**costs, "channels_died": shrunk.removed, "channels_inside": shrunk.channels}


def _pruned(alive: Any) -> float:
    return 1 - float(alive.double().mean())


def pull_ticket(arguments: argparse.Namespace) -> dict[str, Any] | None:
    """Copy a verified ticket into a folder."""
    from prac.ticket.reading import MANIFEST_FILE, check_folder

    out = place_for(arguments.out)
    if (out / MANIFEST_FILE).exists() and not arguments.force:
        raise ConfigError(f"{out} holds a ticket already; --force replaces it")
    if (
        out.exists()
        and not (out / MANIFEST_FILE).exists()
        and (not out.is_dir() or any(out.iterdir()))
    ):
        raise ConfigError(f"{out} is there and holds no ticket; give a folder that is new or empty")
    folder, named = ticket_folder(arguments.where, arguments.home)
    ticket = open_ticket(folder, arguments.home)
    check_folder(Path(folder))
    try:
        _copied(folder, out)
    except OSError as error:
        # Of a whole folder, `shutil.Error` has a list of what failed.
        first = error.args[0][0][-1] if isinstance(error, shutil.Error) else error
        raise StoreError(f"{named} can't be copied into {out} ({first})") from error
    facts = {"ticket": named, "folder": str(out), "sparsity": ticket.sparsity}
    if arguments.json:
        return facts
    say(f"{named} is in {out}: {ticket.sparsity:.2%} sparse, {ticket.mask.num_alive:,} weights")
    return None


def _copied(folder: str, out: Path) -> None:
    """Whole, or not at all."""
    out.absolute().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.absolute().parent, prefix=".prac-pull-") as scratch:
        new, old = Path(scratch) / "new", Path(scratch) / "old"
        shutil.copytree(folder, new, symlinks=True)
        # What was copied is what is checked: the source may have been at work.
        open_ticket(str(new), None)
        if out.exists():
            out.replace(old)
        new.replace(out)


def compare_tickets(arguments: argparse.Namespace) -> dict[str, Any] | None:
    """Overlap of two masks: in all, and by layer."""
    first = open_ticket(arguments.first, arguments.home)
    second = open_ticket(arguments.second, arguments.home)
    if first.mask.shapes != second.mask.shapes:
        names = [t.lineage.get("architecture", "unknown") for t in (first, second)]
        raise ConfigError(
            f"masks of {names[0]} and {names[1]} have no layers in common; compare tickets of one "
            "architecture on images of the same channels"
        )
    layers = [_overlap(n, alive, second.mask[n]) for n, alive in first.mask.items()]
    totals = {k: sum(layer[k] for layer in layers) for k in ("weights", "a", "b", "both", "either")}
    total = _overlap_row("all", **totals)
    if arguments.json:
        return {"first": arguments.first, "second": arguments.second, **total, "layers": layers}
    columns = ("weight", "in A", "in B", "in both", "IoU", "of A in B", "of B in A", "chance")
    rows = [
        [
            layer["weight"],
            percent(layer["a"] / layer["weights"], 1),
            percent(layer["b"] / layer["weights"], 1),
            percent(layer["both"] / layer["weights"], 1),
            percent(layer["intersection_over_union"], 1),
            percent(layer["share_of_a"], 1),
            percent(layer["share_of_b"], 1),
            percent(layer["by_chance"], 1),
        ]
        for layer in [*layers, total]
    ]
    print_rows(f"A {arguments.first}, B {arguments.second}", columns, rows)
    say("IoU: weights alive in both, over those alive in either; chance: that of")
    say("random masks of the same sparsities")
    return None


def _overlap(name: str, a: Any, b: Any) -> dict[str, Any]:
    return _overlap_row(
        name,
        weights=a.numel(),
        a=int(a.sum()),
        b=int(b.sum()),
        both=int((a & b).sum()),
        either=int((a | b).sum()),
    )


def _overlap_row(
    name: str, *, weights: int, a: int, b: int, both: int, either: int
) -> dict[str, Any]:
    """Two empty layers are the same layer: their overlap is whole."""
    by_chance = a * b / weights
    return {
        "weight": name,
        "weights": weights,
        "a": a,
        "b": b,
        "both": both,
        "either": either,
        "intersection_over_union": both / either if either else 1.0,
        "share_of_a": both / a if a else None,
        "share_of_b": both / b if b else None,
        "by_chance": by_chance / (a + b - by_chance) if either else 1.0,
    }
