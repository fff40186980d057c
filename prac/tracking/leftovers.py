"""Events and checkpoints that no finished stage needs, in a storage that others may use as well."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from prac.lottery.claims import Claim, claims
from prac.lottery.kinds import KINDS
from prac.storage import Folder

GarbageKind = Literal["run", "version", "artifacts", "folder", "claim", "stage", "note", "scratch"]
KEY = re.compile(r"[0-9a-f]{32}")
_CLEANED_KINDS = frozenset(k.name for k in KINDS.values() if k.works and k.keeps == "nothing")
"""Stages that need nothing of the storage once they are finished."""


@dataclass(frozen=True, kw_only=True)
class Garbage:
    """Something that may go.

    kind: a `run` of MLflow with its artifacts, a model `version`, a folder of `artifacts` without a
    run, a `folder` of the storage, a `claim` on some; of a local run's folder a `stage` or a `note`
    of what a pipeline needs; a `scratch` folder. size: bytes, None where counting would
    cost requests. key: of the stage or the pipeline that it is of, empty where nothing tells it.
    """

    kind: GarbageKind
    name: str
    where: str
    why: str
    size: int | None
    item: Any = field(repr=False, compare=False)
    key: str = ""


def garbage_at(path: Path, kind: GarbageKind, why: str, key: str = "") -> Garbage:
    """A file or a folder of this machine."""
    return Garbage(
        kind=kind, name=path.name, where=str(path), why=why, size=bytes_at(path), item=path, key=key
    )


def bytes_at(path: Path) -> int:
    """Of a file, or of all files in a folder."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


def find_leftovers(
    storage: Folder,
    ours: Collection[str],
    finished: Mapping[str, str],
    before: float,
    *,
    let_go: Collection[str],
    unclaimed: bool = False,
    beside: Collection[str] = (),
) -> list[Garbage]:
    """What could be deleted in a storage: no folder that another store claims.

    ours: the names under which this store claims. finished: kinds of its finished stages by key.
    before: seconds since the epoch; younger things stay. let_go: pipelines whose claims go.
    unclaimed: also folders that nobody claims. beside: what others have finished.
    """
    claimed = claims(storage)
    mine = [c for name, some in claimed.items() if name in ours for c in some]
    others = [c for name, some in claimed.items() if name not in ours for c in some]
    known, theirs = ({key for c in some for key in c.keys} for some in (mine, others))
    theirs |= set(beside)
    keys = [k for k in storage.folders() if (unclaimed or k in known) and k not in theirs]
    gone = [_claim(c) for c in mine if c.pipeline in let_go]
    return [*_leftovers(storage, keys, finished, before), *gone]


def _claim(claim: Claim) -> Garbage:
    return Garbage(
        kind="claim",
        name=claim.pipeline,
        where=claim.folder.describe(claim.file),
        why="its pipeline is forgotten, and nothing of it is left",
        size=None,
        item=claim,
        key=claim.pipeline,
    )


def _leftovers(
    storage: Folder, keys: Iterable[str], kinds: Mapping[str, str], before: float
) -> Iterator[Garbage]:
    """Folders named by a stage's key whose stage isn't finished, or has no use for them."""
    for key in keys:
        if not KEY.fullmatch(key):
            continue
        if key in kinds and kinds[key] not in _CLEANED_KINDS:
            continue
        folder = storage.child(key)
        size, newest = folder.extent()
        if newest > before:
            continue
        why = (
            "its stage is finished and keeps nothing here"
            if key in kinds
            else "no finished stage has this key; a run that is resumed would go on from here"
        )
        yield Garbage(
            kind="folder",
            name=key,
            where=folder.describe(),
            why=why,
            size=size,
            item=folder,
            key=key,
        )
