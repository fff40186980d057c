"""`prac tickets verify`, `train` and `export`: a ticket put to use."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from prac.app.console import say
from prac.cli.options import split_settings, with_settings
from prac.cli.stored import (
    WHERE_HELP,
    add_command,
    add_data_options,
    add_store_options,
    add_trust_option,
    load_data,
    open_store,
    open_ticket,
    percent,
    place_for,
    print_lines,
    ticket_folder,
)
from prac.config.checks import require
from prac.config.recipes import RECIPES, get_recipe
from prac.errors import ConfigError, TicketError

# Slow imports stand in functions: see `prac.cli`.
if TYPE_CHECKING:
    import argparse

    from prac.config.recipe import Recipe
    from prac.ticket.format import Ticket
    from prac.training.observers import EpochEnd

_SAME = 0.001
_FORMATS = ("safetensors", "onnx", "pt2")


def add_verify(actions: Any) -> None:
    parser = add_command(
        actions,
        "verify",
        help="check a ticket: checksums, pruned weights exactly zero, and its recorded accuracy",
        examples=[
            "prac tickets verify prac-digits-resnet8@best",
            "prac tickets verify prac-digits-resnet8@best --data digits",
        ],
        action=verify_ticket,
    )
    parser.add_argument("where", help=WHERE_HELP)
    add_data_options(
        parser,
        required=False,
        help="measure the trained network again on this data set's test split",
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        default=_SAME,
        metavar="A",
        help="how far the accuracy may be from the recorded one (%(default)s); other processors "
        "round otherwise",
    )
    add_trust_option(parser)
    add_store_options(parser)


def verify_ticket(arguments: argparse.Namespace) -> dict[str, Any] | None:
    """Check everything that can be checked; TicketError for the first thing that is wrong."""
    folder, named = ticket_folder(arguments.where, arguments.home)
    ticket = open_ticket(folder, arguments.home, trust_code=arguments.trust_code)
    model = ticket.build()
    facts: dict[str, Any] = {
        "ticket": named,
        "checksums": "right",
        "pruned weights": f"{ticket.mask.size - ticket.mask.num_alive:,}, all exactly zero",
        "sparsity": ticket.sparsity,
        "parameters": sum(p.numel() for p in model.parameters()),
        "trained weights": ticket.trained is not None,
    }
    if named.startswith("models:/"):
        from prac.tracking.registry import check_files

        checked = check_files(open_store(arguments.home), named, Path(folder))
        facts["files as registered"] = checked
    if arguments.data is not None:
        facts |= _measure(ticket, arguments)
    if arguments.json:
        return {name.replace(" ", "_"): value for name, value in facts.items()}
    shares = ("sparsity", "recorded accuracy", "measured accuracy")
    print_lines((n, percent(v) if n in shares else v) for n, v in facts.items())
    return None


def _measure(ticket: Ticket, arguments: argparse.Namespace) -> dict[str, Any]:
    from prac.ticket.retrain import measure_ticket

    recorded = ticket.lineage.get("test_accuracy")
    if ticket.trained is None or recorded is None:
        raise ConfigError(
            "the ticket was not judged, so it has no accuracy to measure again; "
            "`prac tickets train` trains it"
        )
    # What the data needs to be told; another split than the ticket's is refused below.
    name = ticket.lineage.get("recipe")
    recipe = _recipe(ticket, name if name in RECIPES else "digits", arguments)
    dataset = load_data(recipe.data, ticket.lineage.get("image_shape"))
    if dataset.fingerprint != ticket.lineage.get("data_fingerprint"):
        raise ConfigError(
            f"{arguments.data} is not the data set of the ticket ({ticket.lineage.get('data')}), "
            "or is split otherwise; --set data.split_seed=N and the like change the split"
        )
    measured = measure_ticket(ticket, dataset)
    if abs(measured - recorded) > arguments.tolerance:
        raise TicketError(
            f"the trained network is right on {measured:.2%} of the test split; "
            f"{recorded:.2%} is recorded"
        )
    return {
        "recorded accuracy": recorded,
        "measured accuracy": measured,
        "test images": len(dataset.test_labels),
    }


def _recipe(ticket: Ticket, name: str | None, arguments: argparse.Namespace) -> Recipe:
    """The ticket's own recipe, or the one named, with the data set and all changes asked for."""
    from prac.ticket.retrain import own_recipe

    recipe = get_recipe(name) if name else own_recipe(ticket)
    if getattr(arguments, "epochs", None) is not None:
        recipe = recipe.with_epochs(arguments.epochs)
    changes = [("data.source", arguments.data), *split_settings(arguments.settings)]
    return with_settings(recipe, changes)


SMALL = 1_000_000
"""Weights of a network below which more threads than one make its training slower."""


def add_train(actions: Any) -> None:
    parser = add_command(
        actions,
        "train",
        help="train a ticket from its rewind weights on any data of the same image shape",
        examples=[
            "prac tickets train prac-digits-resnet8@smallest --data digits --out trained",
            "prac tickets train ticket --data folder:photos --epochs 30 --out trained",
        ],
        action=train_command,
    )
    parser.add_argument("where", help=WHERE_HELP)
    add_data_options(
        parser, required=True, help="digits, cifar10, cifar100, folder:PATH or parquet:PATH"
    )
    parser.add_argument(
        "--epochs", type=int, metavar="N", help="full training budget (the recipe's)"
    )
    parser.add_argument("--recipe", metavar="NAME", help="how to train (the ticket's own recipe)")
    parser.add_argument(
        "--threads",
        type=int,
        metavar="N",
        help="of a CPU (1 for networks of less than a million weights, whose threads mostly wait "
        "for each other; else torch's own)",
    )
    parser.add_argument(
        "--seed", type=int, metavar="S", help="of order and augmentation (ticket's)"
    )
    parser.add_argument(
        "--device", default="auto", metavar="D", help="auto, cpu, cuda (%(default)s)"
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="the folder to make")
    parser.add_argument("--force", action="store_true", help="replace a ticket that is there")
    add_trust_option(parser)
    add_store_options(parser)


def _set_threads(ticket: Ticket, asked: int | None) -> None:
    """Of a CPU, for the rest of this process. Raises ConfigError."""
    import torch

    require(asked is None or asked >= 1, "--threads", asked, "1 or more")
    small = sum(weight.numel() for weight in ticket.weights.values()) < SMALL
    if asked or small:
        torch.set_num_threads(asked or 1)


def train_command(arguments: argparse.Namespace) -> dict[str, Any] | None:
    """Train, print the accuracy, leave a ticket with trained weights."""
    from prac.ticket.format import TRAINED_FILE
    from prac.ticket.reading import MANIFEST_FILE
    from prac.ticket.retrain import train_ticket

    out = place_for(arguments.out)
    if (out / MANIFEST_FILE).exists() and not arguments.force:
        raise ConfigError(f"{out} holds a ticket already; --force replaces it")
    ticket = open_ticket(arguments.where, arguments.home, trust_code=arguments.trust_code)
    if "architecture" in ticket.lineage:
        ticket.network_name()  # consent comes before whatever else is missing
    recipe = _recipe(ticket, arguments.recipe, arguments)
    seed = arguments.seed if arguments.seed is not None else int(ticket.lineage.get("seed", 0))
    dataset = load_data(recipe.data, ticket.lineage.get("image_shape"))
    _set_threads(ticket, arguments.threads)

    def report(end: EpochEnd) -> None:
        if not arguments.json:
            record = end.record
            say(
                f"epoch {record.epoch + 1} of {end.budget.epochs}: loss {record.loss:.4f}, "
                f"validation {record.validation_accuracy:.2%}"
            )

    trained = train_ticket(
        ticket,
        dataset,
        recipe.train,
        recipe.augment,
        seed=seed,
        device=arguments.device,
        on_epoch=report,
    )
    trained.ticket.verify()
    trained.ticket.save(out)
    facts: dict[str, Any] = {
        "test accuracy": trained.test_accuracy,
        "validation accuracy": trained.validation_accuracy,
        "recorded accuracy": ticket.lineage.get("test_accuracy"),
        "sparsity": ticket.sparsity,
        "steps": trained.steps,
        "new layers": ", ".join(trained.new_layers) or None,
        "weights": str(out / TRAINED_FILE),
    }
    if arguments.json:
        return {name.replace(" ", "_"): value for name, value in facts.items()}
    print_lines((n, percent(v) if isinstance(v, float) else v) for n, v in facts.items())
    return None


def add_export(actions: Any) -> None:
    parser = add_command(
        actions,
        "export",
        help="write a ticket's network into one file, checked by running the file",
        examples=[
            "prac tickets export prac-digits-resnet8 --format onnx --out digits.onnx",
            "prac tickets export trained --format pt2 --shrink --out network.pt2",
        ],
        action=export_command,
    )
    parser.add_argument("where", help=WHERE_HELP)
    parser.add_argument(
        "--format",
        required=True,
        choices=_FORMATS,
        help="safetensors: the weights; onnx (extra `export`) and pt2 (torch.export): graphs from "
        "uint8 images (N, H, W, C) to logits, with the normalisation inside",
    )
    parser.add_argument("--out", required=True, metavar="FILE", help="the file to write")
    parser.add_argument("--force", action="store_true", help="replace a file that is there")
    parser.add_argument(
        "--weights",
        choices=("trained", "rewind"),
        help="trained: to predict; rewind: to train (trained where the ticket was judged)",
    )
    parser.add_argument(
        "--shrink",
        action="store_true",
        help="remove the channels that died: a dense network of fewer FLOPs with the same logits "
        "(trained weights of our residual networks, VGG and plain stacks)",
    )
    add_trust_option(parser)
    add_store_options(parser)


def export_command(arguments: argparse.Namespace) -> dict[str, Any] | None:
    """Export and check."""
    from prac.ticket.export import export_ticket

    if place_for(arguments.out).exists() and not arguments.force:
        raise ConfigError(f"{arguments.out} is there already; --force replaces it")
    ticket = open_ticket(arguments.where, arguments.home, trust_code=arguments.trust_code)
    made = export_ticket(
        ticket, arguments.out, arguments.format, part=arguments.weights, shrink=arguments.shrink
    )
    facts = {
        "file": str(made.file),
        "format": made.format,
        "weights": made.part,
        "bytes": made.size,
        "largest difference": made.largest_difference,
        "parameters": made.parameters,
        "channels removed": made.channels_removed,
    }
    if arguments.json:
        return {name.replace(" ", "_"): value for name, value in facts.items()}
    removed = "" if made.channels_removed is None else f", {made.channels_removed:,} channels fewer"
    say(
        f"{made.file}: {made.size:,} bytes, {made.part} weights, {made.parameters:,} "
        f"parameters{removed}; run on random images, its logits differ from the network's by at "
        f"most {made.largest_difference:.1e}"
    )
    return None
