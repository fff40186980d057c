"""What commands that look into the store share: its options, shares in percent, tables, tickets."""

from __future__ import annotations

import argparse
import errno
import os
import re
import shutil
import sys
import tempfile
import textwrap
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prac.app.console import say
from prac.cli.options import add_settings
from prac.config.checks import require
from prac.errors import ConfigError, printable, shown

# Slow imports stand in functions: see `prac.cli`.
if TYPE_CHECKING:
    from prac.config.sections import DataConfig
    from prac.data.dataset import ImageDataset
    from prac.ticket.format import Ticket
    from prac.tracking.store import MlflowStore

WHERE_HELP = (
    "a folder that holds a ticket; a registered name such as prac-digits-resnet8 (its ticket "
    "`best`), NAME@alias or NAME/version; or the same with models:/ before it"
)


def add_command(
    commands: Any, name: str, *, help: str, examples: Sequence[str] = (), **defaults: Any
) -> argparse.ArgumentParser:
    """A command whose help shows how it is used."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=help,
        description=f"{help[0].upper()}{help[1:]}.",
        epilog="examples:\n" + "\n".join(f"  {line}" for line in examples) if examples else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(**defaults)
    return parser


def add_store_options(parser: argparse.ArgumentParser) -> None:
    """Where the store is, and how the answer is printed."""
    parser.add_argument(
        "--home",
        metavar="DIR",
        help="the folder with mlflow.db (working folder); MLFLOW_TRACKING_URI goes first",
    )
    add_json_option(parser)


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """For scripts."""
    parser.add_argument("--json", action="store_true", help="print one line of JSON, no table")


def add_trust_option(parser: argparse.ArgumentParser) -> None:
    """Consent to what a ticket names."""
    parser.add_argument(
        "--trust-code",
        action="store_true",
        help="import and run the network that the ticket names as package.module:name",
    )


def check_limit(limit: int | None) -> None:
    """Of a listing. Raises ConfigError."""
    require(limit is None or limit >= 1, "--limit", limit, "1 or more")


def open_store(home: str | None) -> MlflowStore:
    """The store that the environment or the folder names. Raises ConfigError where there is none.

    MLflow would make an empty database and find nothing in it.
    """
    from prac.tracking.address import default_tracking_uri
    from prac.tracking.store import MlflowStore

    uri = default_tracking_uri(None if home is None else Path(home).absolute())
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).is_file():
        raise ConfigError(
            f"no MLflow store at {uri}; give its folder with --home, or set MLFLOW_TRACKING_URI"
        )
    store = MlflowStore(uri)
    store.ask()
    return store


def stages_of(home: str | None) -> Path:
    """Where runs in one process keep their stages, which may not be there."""
    return Path(home or Path.cwd()).absolute() / "prac-runs" / "stages"


def say_refused(lines: Iterable[str]) -> list[str]:
    """Tell of what a list leaves out because it can't be read; all else is listed."""
    told = list(lines)
    for line in told:
        say(f"left out: {shown(line)}", error=True)
    return told


def open_ticket(where: str, home: str | None, *, trust_code: bool = False) -> Ticket:
    """A verified ticket: from a folder, or by its registered name. Raises PracError."""
    from prac.ticket.format import Ticket

    ticket = Ticket.load(ticket_folder(where, home)[0], trust_code=trust_code)
    ticket.verify()
    return ticket


def ticket_folder(where: str, home: str | None) -> tuple[str, str]:
    """The local folder of a ticket, and how a user would name it."""
    scheme = where.startswith("models:/")
    looks_registered = re.fullmatch(r"[A-Za-z0-9_-]+(@[A-Za-z0-9_-]+|/\d+)?", where)
    if not scheme and (Path(where).is_dir() or not looks_registered):
        return where, where
    if os.sep in where and not scheme and Path(where).parent.is_dir():
        return where, where
    from prac.tracking.registry import find_ticket
    from prac.tracking.tickets import download_ticket

    store = open_store(home)
    found = find_ticket(store, where)
    return download_ticket(found, store), found


def place_for(out: str, option: str = "--out") -> Path:
    """Where a command writes what it makes. Raises ConfigError where nothing can be written: that
    is known before anything is read or trained for it."""
    path = Path(out)
    try:
        if "://" in out:
            raise OSError(errno.EINVAL, "it is an address")
        if len(path.parts) > 250:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        path.exists()  # its name may be too long
        above = path.absolute().parents or [path.absolute()]
        near = next(folder for folder in above if folder.exists())
        with tempfile.TemporaryFile(dir=near):
            pass
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(
            f"{option} {out[:200]!r} can't be written ({reason}); allowed: a place that you may "
            "write to"
        ) from error
    return path


def share(text: str) -> float:
    """`0.79` or `79%` to 0.79, for argparse."""
    number = text.strip().removesuffix("%")
    try:
        value = float(number) / (100 if text.strip().endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a share; allowed: 0 to 1, or a percentage such as 79%"
        )
    return value


def percent(value: float | None, digits: int = 2) -> str:
    """For a table; a dash where there is no number."""
    return "–" if value is None else f"{value:.{digits}%}"


def print_rows(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table; numbers to the right. Without rows one line says so. Without rich, tabs.

    In a terminal that is narrower, a block a row.
    """
    # Here as well, so that a cell's width is that of what is shown.
    shown = [[printable(cell) for cell in row] for row in rows]
    if not shown:
        say(f"{title}: nothing")
        return
    if find_spec("rich") is None:
        for cells in ([title], columns, *shown):
            say("\t".join(cells))
        return
    from rich.text import Text

    from prac.app.console import make_console
    from prac.report.fitting import make_table, print_fitting

    numeric = {n: all(_numeric(row[place]) for row in shown) for place, n in enumerate(columns)}
    table = make_table(printable(title), numeric)
    for row in shown:
        table.add_row(*map(Text, row))
    print_fitting(table, make_console())


def _numeric(text: str) -> bool:
    return text in ("", "–") or text[0].isdigit() or text[0] in "+-−"


def print_lines(pairs: Iterable[tuple[str, object]]) -> None:
    """Names and values, aligned; a terminal breaks long ones between words, under their column."""
    known = [(name, str(value)) for name, value in pairs if value is not None]
    width = max((len(name) for name, _ in known), default=0)
    room = shutil.get_terminal_size().columns - width - 2 if sys.stdout.isatty() else 0
    for name, value in known:
        parts = [value] if len(value) <= room or room < 20 else _broken(value, room)
        for label, part in zip((name, *[""] * len(parts)), parts, strict=False):
            say(f"{label:{width}}  {part}")


def _broken(value: str, room: int) -> list[str]:
    return textwrap.wrap(value, room, break_long_words=False, break_on_hyphens=False)


def add_data_options(parser: argparse.ArgumentParser, *, required: bool, help: str) -> None:
    """A data set by name, with any field of its configuration."""
    parser.add_argument("--data", required=required, metavar="NAME", help=help)
    add_settings(
        parser, "change a field of the recipe, e.g. data.split_seed=1 (see `prac recipes NAME`)"
    )


def load_data(config: DataConfig, image_shape: Sequence[int] | None) -> ImageDataset:
    """A data set, its images brought to a ticket's shape where the configuration says nothing."""
    import dataclasses

    from prac.data.refusals import OtherSizesError
    from prac.data.sources import open_source

    source = open_source(config)
    shape: tuple[int, ...] | None
    try:
        shape = source.summary().image_shape
    except OtherSizesError:
        if not image_shape:
            raise
        shape = ()
    if image_shape and shape is not None and tuple(shape) != tuple(image_shape):
        height, width, channels = image_shape
        size = height if height == width and config.image_size is None else config.image_size
        fitted = dataclasses.replace(config, image_size=size, channels=config.channels or channels)
        source = open_source(fitted)
    return source.load()
