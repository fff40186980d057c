"""`prac data`: look at a data set before anything is trained on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from prac.app.console import say
from prac.cli.options import add_settings, split_settings, with_settings
from prac.cli.stored import add_command, add_json_option, place_for, print_lines, print_rows
from prac.config.recipes import get_recipe
from prac.errors import ConfigError, shown

# Slow imports stand in functions: see `prac.cli`.
if TYPE_CHECKING:
    import argparse


def add(commands: Any) -> None:
    data = commands.add_parser("data", help="look at a data set before training on it")
    actions = data.add_subparsers(dest="data_command", required=True, metavar="COMMAND")
    show = add_command(
        actions,
        "show",
        help="rows of each split and where they come from, classes, images, warnings, a sheet",
        examples=[
            "prac data show folder:photos",
            "prac data show parquet:imagenette#160px --json",
            "prac data show parquet:DIR --set data.label_column=species --sheet sheet.png",
        ],
        action=show_data,
    )
    show.add_argument("source", metavar="SOURCE", help="as --data takes it")
    add_settings(show, "change a field, e.g. data.test=holdout, data.image_size=32")
    show.add_argument(
        "--sheet",
        metavar="FILE",
        help="where the contact sheet goes, a PNG (prac-runs/data/NAME-FINGERPRINT.png)",
    )
    add_json_option(show)


def show_data(arguments: argparse.Namespace) -> dict[str, Any] | None:
    """Print what a data set is."""
    changes = [("data.source", arguments.source), *split_settings(arguments.settings)]
    config = with_settings(get_recipe("digits"), changes).data
    if arguments.sheet and place_for(arguments.sheet, "--sheet").exists():
        raise ConfigError(f"--sheet {arguments.sheet} is there already; allowed: a new file")
    from prac.data.shown import facts, write_sheet
    from prac.data.sources import open_source

    dataset = open_source(config).load()
    told = facts(dataset)
    default = f"prac-runs/data/{dataset.name}-{dataset.fingerprint[:8]}.png"
    sheet = Path(arguments.sheet or default)
    try:
        write_sheet(dataset, sheet)
    except (OSError, ValueError) as error:
        raise ConfigError(f"the sheet {shown(str(sheet))} can't be written ({error})") from error
    told["contact_sheet"] = str(sheet)
    if arguments.json:
        return told
    lists = ("classes", "class_counts", "test_class_counts", "warnings", "splits")
    print_lines((k.replace("_", " "), v) for k, v in told.items() if k not in lists)
    print_lines((f"{split} from", place) for split, place in told["splits"].items())
    rows = zip(told["classes"], told["class_counts"], told["test_class_counts"], strict=True)
    print_rows(
        "classes",
        ("class", "training rows", "test rows"),
        [[name, f"{count:,}", f"{tested:,}"] for name, count, tested in rows],
    )
    for warning in told["warnings"]:
        say(f"warning: {warning}")
    return None
