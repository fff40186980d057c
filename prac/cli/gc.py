"""`prac gc`: what no finished stage needs any more."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from prac.app.console import say
from prac.cli.stored import add_command, add_store_options, open_store, print_rows
from prac.errors import ConfigError

# Slow imports stand in functions: see `prac.cli`.
if TYPE_CHECKING:
    import argparse

    from prac.storage import Folder
    from prac.tracking.leftovers import Garbage
    from prac.tracking.store import MlflowStore


def add(commands: Any) -> None:
    parser = add_command(
        commands,
        "gc",
        help="list what killed and forgotten pipelines left behind; with --delete it goes",
        examples=[
            "prac gc",
            "prac gc --delete",
            "prac gc --older-than 48 --storage /mnt/prac-runs",
        ],
        action=collect,
    )
    parser.description = (
        "Lists runs that never finished, failed or were revoked, with their artifacts; stages that "
        "only forgotten pipelines need (`prac pipelines forget`); versions of registered tickets "
        "and artifacts that belong to no run; events and checkpoints of stages that no finished "
        "run stands for, where no other store claims them; scratch folders of processes that are "
        "gone. Nothing is deleted without --delete, "
        "and only prac's own experiments, models and folders are looked at. Deleted runs stay in "
        "MLflow's bin (`mlflow gc` empties it)."
    )
    parser.add_argument("--delete", action="store_true", help="delete what is listed")
    parser.add_argument(
        "--unlisted",
        action="store_true",
        help="finished stages too that no pipeline's note lists, such as those of searches in "
        "Python before they noted what they need; tickets stay",
    )
    parser.add_argument(
        "--older-than",
        type=float,
        default=1.0,
        metavar="HOURS",
        help="leave younger things alone: a pipeline may be at work on them (%(default)s)",
    )
    parser.add_argument(
        "--storage",
        metavar="WHERE",
        help="folder or URI of events and checkpoints (HOME/prac-runs, if this store's stages are "
        "in it)",
    )
    add_store_options(parser)


def collect(arguments: argparse.Namespace) -> dict[str, Any] | None:
    """Print the garbage, or delete it."""
    if not arguments.older_than >= 0:
        raise ConfigError(f"--older-than {arguments.older_than} is not allowed; 0 or more hours")
    from prac.storage import Folder

    work = Path(arguments.home or Path.cwd()).absolute() / "prac-runs"
    root, storage = work / "stages", Folder(arguments.storage or work)
    garbage: list[Garbage] = []
    if root.is_dir():
        garbage += _of_folder(arguments, root, storage)
    try:
        store = open_store(arguments.home)
    except ConfigError:
        if not root.is_dir():
            raise
    else:
        garbage += _of_mlflow(arguments, store, storage)
    garbage += _of_killed(arguments.delete)
    if arguments.json:
        return {"deleted": arguments.delete, "garbage": [_facts(piece) for piece in garbage]}
    from prac.lottery.footprint import shown_bytes

    rows = [[p.kind, p.name, p.why, shown_bytes(p.size), p.where] for p in garbage]
    title = "deleted" if arguments.delete else "garbage"
    print_rows(title, ("kind", "what", "why", "size", "where"), rows)
    if garbage and not arguments.delete:
        total = shown_bytes(sum(piece.size or 0 for piece in garbage))
        say(f"{len(garbage)} things, {total} on this machine; --delete deletes them")
    return None


def _of_mlflow(arguments: argparse.Namespace, store: MlflowStore, storage: Folder) -> list[Garbage]:
    from prac.tracking.garbage import delete_garbage, find_garbage

    garbage = find_garbage(
        store,
        storage,
        min_age_seconds=arguments.older_than * 3600,
        storage_is_ours=arguments.storage is not None,
        also_unlisted=arguments.unlisted,
    )
    if arguments.delete:
        delete_garbage(store, garbage, also_unlisted=arguments.unlisted)
    return garbage


def _of_folder(arguments: argparse.Namespace, root: Path, storage: Folder) -> list[Garbage]:
    from prac.app.folder_garbage import delete_in_folder, find_in_folder

    age, unlisted = arguments.older_than * 3600, arguments.unlisted
    garbage = find_in_folder(root, storage, min_age_seconds=age, also_unlisted=unlisted)
    if arguments.delete:
        delete_in_folder(root, garbage, also_unlisted=unlisted)
    return garbage


def _of_killed(delete: bool) -> list[Garbage]:
    import shutil

    from prac.scratch import abandoned_folders, is_abandoned
    from prac.tracking.leftovers import garbage_at

    folders = abandoned_folders()
    garbage = [garbage_at(f, "scratch", "the process that made it was killed") for f in folders]
    for folder in folders if delete else []:
        if is_abandoned(folder):
            shutil.rmtree(folder)
    return garbage


def _facts(piece: Garbage) -> dict[str, Any]:
    return {name: getattr(piece, name) for name in ("kind", "name", "where", "why", "size")}
