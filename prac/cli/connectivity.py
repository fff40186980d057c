"""`prac connectivity`: is training stable at a rewind point? Two orders, and the line between."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from prac.app.console import say
from prac.cli.options import split_settings, with_settings
from prac.cli.stored import (
    WHERE_HELP,
    add_data_options,
    add_store_options,
    add_trust_option,
    load_data,
    open_ticket,
    percent,
    print_rows,
)
from prac.config.checks import require
from prac.config.recipes import RECIPES, get_recipe
from prac.errors import ConfigError

# Slow imports stand in functions: see `prac.cli`.
if TYPE_CHECKING:
    from prac.analysis.connectivity import Line
    from prac.config.recipe import Recipe
    from prac.config.values import RewindPoint
    from prac.data.batches import DeviceImages
    from prac.ticket.format import Ticket

_DESCRIPTION = """\
From the same weights the network is trained twice for the full budget, in two orders of the data.
The error barrier is how far the error rises on the straight line between the two results, above the
mean of its ends. Below 2 points both are in one valley: magnitude pruning finds matching tickets
from such rewind points (Frankle et al. 2020, arXiv:1912.05671).

Without a ticket: the dense network, for each rewind point of a recipe. With a ticket: its rewind
weights under its mask. Runs in this process; test images are not looked at."""

_EXAMPLES = """\
examples:
  prac connectivity                                        (digits, resnet8: about a minute)
  prac connectivity --recipe digits --architecture conv4 --rewinds init,epoch:1,epoch:4
  prac connectivity prac-digits-resnet8@smallest
"""


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "connectivity",
        help="error barriers between two trainings, to choose the rewind point",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("where", nargs="?", metavar="TICKET", help=WHERE_HELP)
    parser.add_argument("--recipe", metavar="NAME", help="how to train (digits; a ticket's own)")
    parser.add_argument("--architecture", metavar="A", help="a network (the recipe's first)")
    parser.add_argument(
        "--rewinds",
        metavar="POINT,...",
        help="rewind points to compare: init, epoch:N, step:N (init and the recipe's)",
    )
    parser.add_argument("--epochs", type=int, metavar="N", help="full training budget")
    parser.add_argument("--seed", type=int, metavar="S", help="of weights, order and augmentation")
    parser.add_argument(
        "--points", type=int, default=11, metavar="N", help="places on the line (%(default)s)"
    )
    parser.add_argument("--device", default="auto", metavar="D", help="auto, cpu, cuda (auto)")
    add_data_options(parser, required=False, help="another data set than the recipe's")
    add_trust_option(parser)
    add_store_options(parser)
    parser.set_defaults(action=connectivity_command)


def connectivity_command(arguments: argparse.Namespace) -> dict[str, Any] | None:
    """Train, measure, print a row a rewind point."""
    require(arguments.points >= 3, "--points", arguments.points, "3 or more")
    ticket = None
    if arguments.where is not None:
        ticket = open_ticket(arguments.where, arguments.home, trust_code=arguments.trust_code)
    recipe = _recipe(arguments, ticket)
    if ticket is not None:
        architecture, lines = _of_ticket(arguments, recipe, ticket)
    else:
        architecture, lines = _of_recipe(arguments, recipe)
    if arguments.json:
        return {
            "architecture": architecture,
            "epochs": recipe.train.epochs,
            "lines": {name: _as_json(line) for name, line in lines.items()},
        }
    columns = ("from", "training barrier", "validation barrier", "error at the ends", "stable")
    rows = [
        (
            name,
            percent(line.training_barrier),
            percent(line.validation_barrier),
            f"{percent(line.validation_errors[0])}, {percent(line.validation_errors[-1])}",
            "yes" if line.stable else "no",
        )
        for name, line in lines.items()
    ]
    print_rows(f"{architecture}, {recipe.train.epochs} epochs, two orders", columns, rows)
    return None


def _recipe(arguments: argparse.Namespace, ticket: Ticket | None) -> Recipe:
    own = "" if ticket is None else str(ticket.lineage.get("recipe", ""))
    recipe = get_recipe(arguments.recipe or (own if own in RECIPES else "digits"))
    if arguments.epochs is not None:
        recipe = recipe.with_epochs(arguments.epochs)
    changes = split_settings(arguments.settings)
    if arguments.data is not None:
        changes.insert(0, ("data.source", arguments.data))
    if arguments.seed is not None:
        changes.append(("search.seed", str(arguments.seed)))
    return with_settings(recipe, changes)


def _images(recipe: Recipe, shape: Any, device: str) -> DeviceImages:
    from prac.data.batches import DeviceImages
    from prac.training.precision import pick_device

    return DeviceImages(load_data(recipe.data, shape), recipe.augment, pick_device(device))


def _of_ticket(
    arguments: argparse.Namespace, recipe: Recipe, ticket: Ticket
) -> tuple[str, Mapping[str, Line]]:
    from prac.analysis.connectivity import connectivity
    from prac.training.precision import resolve_precision

    if arguments.rewinds is not None or arguments.architecture is not None:
        raise ConfigError(
            "a ticket has its own network and rewind weights; --architecture and --rewinds are for "
            "a recipe"
        )
    try:
        architecture = ticket.network_name()
        shape, classes = ticket.lineage["image_shape"], int(ticket.lineage["num_classes"])
    except KeyError as error:
        raise ConfigError(f"the ticket's lineage has no {error}") from error
    images = _images(recipe, shape, arguments.device)
    if list(images.image_shape) != list(shape) or images.num_classes != classes:
        raise ConfigError(
            f"{recipe.data.source} has images of {images.image_shape} in {images.num_classes} "
            f"classes; the ticket was made for {tuple(shape)} in {classes}"
        )
    config = dataclasses.replace(
        recipe.train, precision=resolve_precision(recipe.train.precision, images.device)
    )
    line = connectivity(
        architecture,
        ticket.weights,
        ticket.mask,
        images,
        config,
        seed=recipe.search.seed,
        points=arguments.points,
    )
    rewind = ticket.lineage.get("rewind", "rewind weights")
    return architecture, {f"{rewind}, {percent(ticket.sparsity, 1)} sparse": line}


def _of_recipe(arguments: argparse.Namespace, recipe: Recipe) -> tuple[str, Mapping[str, Line]]:
    architecture = arguments.architecture or recipe.architectures[0]
    rewinds = _rewinds(arguments.rewinds, recipe)
    from prac.analysis.connectivity import rewind_connectivity
    from prac.training.precision import resolve_precision

    images = _images(recipe, None, arguments.device)
    precision = resolve_precision(recipe.train.precision, images.device)

    def report(rewind: RewindPoint, line: Line) -> None:
        if not arguments.json:
            say(f"{rewind}: barrier {percent(line.training_barrier)}")

    lines = rewind_connectivity(
        recipe, architecture, images, rewinds, precision, points=arguments.points, on_line=report
    )
    return architecture, lines


def _rewinds(text: str | None, recipe: Recipe) -> list[RewindPoint]:
    from prac.config.values import RewindPoint

    if text is not None:
        return [RewindPoint.parse(word.strip()) for word in dict.fromkeys(text.split(","))]
    own = recipe.search.rewind
    return [*dict.fromkeys((RewindPoint("init"), *([own] if own.rewinds else [])))]


def _as_json(line: Line) -> dict[str, Any]:
    return {
        **dataclasses.asdict(line),
        "training_barrier": line.training_barrier,
        "validation_barrier": line.validation_barrier,
        "stable": line.stable,
    }
