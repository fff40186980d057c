"""What no pipeline that is kept needs of a local run's folder."""

from __future__ import annotations

import dataclasses
import math
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from prac.errors import StoreError
from prac.lottery.folder_store import MAKING, kind_and_data
from prac.lottery.kept import FolderKept, Pipeline, let_go, unlisted
from prac.lottery.store import StoreAway
from prac.schema import SchemaError
from prac.storage import Folder
from prac.tracking.leftovers import KEY, Garbage, find_leftovers, garbage_at

_GOING = ".going-"


def find_in_folder(
    root: Path, storage: Folder, *, min_age_seconds: float, also_unlisted: bool = False
) -> list[Garbage]:
    """What could be deleted of a `FolderStore` and of its storage now.

    root: of the store. min_age_seconds: younger things are left alone. also_unlisted: finished
    stages too that no pipeline's note lists. Raises StoreError where it can't be told what is
    needed.
    """
    before = time.time() - min_age_seconds
    kept = FolderKept(root)
    pipelines = kept.pipelines()
    going = _going(root, pipelines, also_unlisted)
    stages = {folder.name: folder for folder in _folders(root) if KEY.fullmatch(folder.name)}
    names = {key: name for pipeline in pipelines for key, name in pipeline.needs.items()}
    found = [
        dataclasses.replace(
            garbage_at(stages[key], "stage", why, key), name=names.get(key) or _kind(stages[key])
        )
        for key, why in going.items()
        if key in stages and stages[key].stat().st_mtime <= before
    ]
    gone = {piece.key for piece in found}
    found += _aside(root, before)
    needed = {key for p in pipelines if not p.forgotten for key in p.needs}
    left = stages.keys() - gone
    forgotten = {p.key for p in pipelines if p.forgotten and not (p.needs.keys() - needed) & left}
    found += find_leftovers(
        storage,
        kept.identity().names_in(storage, alone=True),
        {key: _kind(stages[key]) for key in left},
        before,
        let_go=forgotten,
    )
    why = "forgotten, and nothing of it is left"
    return found + [garbage_at(kept.file(key), "note", why, key) for key in sorted(forgotten)]


def _going(root: Path, pipelines: list[Pipeline], also_unlisted: bool) -> dict[str, str]:
    """Stages that may go: key to why."""
    going = let_go(pipelines)
    if also_unlisted:
        there: dict[str, tuple[str, str]] = {}
        for folder in _folders(root):
            if not KEY.fullmatch(folder.name):
                continue
            try:
                there[folder.name] = kind_and_data(folder)
            except (OSError, SchemaError, StoreAway) as error:
                # It may be a report, which keeps all of its data.
                raise StoreError(
                    f"{folder} can't be read ({error}): what no pipeline's note lists can't be "
                    "told apart from what it needs"
                ) from error
        going |= unlisted(pipelines, there)
    return going


def _folders(root: Path) -> list[Path]:
    try:
        # What a link leads to is somebody else's.
        return sorted(p for p in root.iterdir() if p.is_dir() and not p.is_symlink())
    except OSError as error:
        raise StoreError(f"the store {root} can't be read ({error})") from error


def _aside(root: Path, before: float) -> Iterator[Garbage]:
    """What was revoked, or left by a process that was killed while it wrote or deleted."""
    whys = {MAKING: "never made whole", _GOING: "half deleted"}
    for folder in _folders(root):
        why = next((why for start, why in whys.items() if folder.name.startswith(start)), None)
        if why is not None and _newest(folder) <= before:
            yield garbage_at(folder, "stage", why, "")
    revoked = root / "revoked"
    for folder in _folders(revoked) if revoked.is_dir() else []:
        if folder.stat().st_mtime <= before:
            yield garbage_at(folder, "stage", "revoked: it was damaged", "")


def _newest(folder: Path) -> float:
    try:
        return max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))
    except OSError:
        return math.inf  # somebody is at work there


def _kind(folder: Path) -> str:
    try:
        return kind_and_data(folder)[0]
    except (OSError, SchemaError, StoreAway):
        return "dense"  # of what can't be read, all is kept


def delete_in_folder(
    root: Path, garbage: Iterable[Garbage], *, also_unlisted: bool = False
) -> None:
    """Delete what `find_in_folder` found; what a pipeline needs that was begun meanwhile stays."""
    pipelines: list[Pipeline] = FolderKept(root).pipelines()
    going = _going(root, pipelines, also_unlisted)
    forgotten = {p.key for p in pipelines if p.forgotten}
    spared: set[str] = set()
    for piece in garbage:
        if piece.kind == "stage" and piece.key and piece.key not in going:
            spared.add(piece.key)
        elif piece.key in spared or (
            piece.kind in ("note", "claim") and piece.key not in forgotten
        ):
            continue
        elif piece.kind == "stage":
            # A folder that is named by a key is whole.
            away = root / f"{_GOING}{piece.item.name.removeprefix(_GOING)}"
            piece.item.rename(away)
            shutil.rmtree(away)
        elif piece.kind == "note":
            piece.item.unlink(missing_ok=True)
        else:
            piece.item.delete()
