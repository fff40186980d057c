"""What no finished stage needs: orphaned runs, their artifacts, leftover events and checkpoints.

Only the experiments, registered models and folders that this library makes are looked at.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from prac.lottery.kinds import KINDS
from prac.storage import Folder
from prac.tracking.connection import DESCRIPTIONS, SWEEPS, TICKETS, Connection, local_folder
from prac.tracking.mlflow_internals import delete_artifacts
from prac.tracking.pages import pages

# MLflow takes a second to import: whoever only names a store, as a plan does, needs none of it.

GarbageKind = Literal["run", "version", "artifacts", "folder"]
_KEY = re.compile(r"[0-9a-f]{32}")
_CLEANED_KINDS = frozenset(k.name for k in KINDS.values() if k.works and k.keeps == "nothing")
"""Stages that need nothing of the storage once they are finished."""
_OPEN_SECONDS = {SWEEPS: 7 * 24 * 3600}
"""A sweep's runs are open while it goes on; a stage's for the seconds in which it is written."""


@dataclass(frozen=True, kw_only=True)
class Garbage:
    """Something that may go.

    kind: a `run` of MLflow with its artifacts, a model `version`, a folder of `artifacts` without a
    run, or a `folder` of the storage. size: bytes, None where counting would cost requests.
    """

    kind: GarbageKind
    name: str
    where: str
    why: str
    size: int | None
    item: Any = field(repr=False, compare=False)


def find_garbage(
    store: Connection,
    storage: Folder | None,
    *,
    min_age_seconds: float,
    storage_is_ours: bool = False,
) -> list[Garbage]:
    """What could be deleted now.

    storage: where events and checkpoints are; None leaves it alone. min_age_seconds: younger things
    are left alone, for a pipeline may be at work on them. storage_is_ours: without it a storage in
    which no finished stage of this store has a folder is taken for another store's, and left alone.
    """
    before = time.time() - min_age_seconds
    with store.reached():
        by_name = {name: _runs(store, name) for name in DESCRIPTIONS}
        runs = [run for found in by_name.values() for run in found]
        dead = [
            (run, why)
            for name, some in by_name.items()
            for run in some
            if (why := _why_dead(run, min(before, time.time() - _OPEN_SECONDS.get(name, 0))))
        ]
        gone = {run.info.run_id for run, _ in dead}
        binned = [run for name in DESCRIPTIONS for run in _runs(store, name, binned=True)]
        found = [
            Garbage(
                kind="run",
                name=run.info.run_name or run.info.run_id,
                where=run.info.run_id,
                why=why,
                size=_local_size(run.info.artifact_uri),
                item=run,
            )
            for run, why in dead
        ]
        found += _dead_versions(store, {r.info.run_id for r in [*runs, *binned]} - gone, before)
        found += _runless_artifacts(store, before)
    if storage is not None:
        kinds = {
            run.data.tags["prac.key"]: run.data.tags.get("kind", "")
            # What is in MLflow's bin can be restored, and then needs its events.
            for run in [*binned, *runs]
            if run.info.run_id not in gone
            and run.info.status == "FINISHED"
            and "prac.key" in run.data.tags
        }
        if storage_is_ours or not kinds.keys().isdisjoint(storage.folders()):
            found += _leftovers(storage, kinds, before)
    return found


def delete_garbage(store: Connection, garbage: Iterable[Garbage]) -> None:
    """Delete what `find_garbage` found, and nothing else. A run's artifacts go with it."""
    with store.reached():
        for piece in garbage:
            if piece.kind == "run":
                # The run first: artifacts of a run that is gone are found again, not the reverse.
                store.client.delete_run(piece.where)
                uri = piece.item.info.artifact_uri
                folder = local_folder(uri)
                if folder is None or store.owns(folder):
                    delete_artifacts(uri, store.tracking_uri)
            elif piece.kind == "version":
                store.client.delete_model_version(piece.item.name, piece.item.version)
            elif piece.kind == "artifacts":
                shutil.rmtree(piece.item)
            else:
                piece.item.delete()


def _runs(store: Connection, experiment: str, *, binned: bool = False) -> list[Any]:
    from mlflow.entities import ViewType

    found = store.client.get_experiment_by_name(experiment)
    view = ViewType.DELETED_ONLY if binned else ViewType.ACTIVE_ONLY
    search = partial(store.client.search_runs, run_view_type=view)
    return [] if found is None else pages(search, [found.experiment_id])


def _why_dead(run: Any, before: float) -> str | None:
    if max(run.info.start_time, run.info.end_time or 0) / 1000 > before:
        return None
    if "prac.revoked" in run.data.tags:
        return f"revoked: {run.data.tags['prac.revoked']}"
    if run.info.status == "FINISHED":
        return None
    state = "never ended" if run.info.status == "RUNNING" else run.info.status.lower()
    return f"{state}: its stage is not finished"


def _dead_versions(store: Connection, alive: set[str], before: float) -> Iterator[Garbage]:
    if store.client.get_experiment_by_name(TICKETS) is None:
        return
    for version in pages(store.client.search_model_versions, "name LIKE 'prac-%'"):
        ours = "prac.key" in version.tags and version.run_id not in alive
        if ours and version.creation_timestamp / 1000 <= before:
            yield Garbage(
                kind="version",
                name=f"models:/{version.name}/{version.version}",
                where=f"models:/{version.name}/{version.version}",
                why="the run it belongs to is not finished, or gone for good",
                size=None,
                item=version,
            )


def _runless_artifacts(store: Connection, before: float) -> Iterator[Garbage]:
    """Folders of artifacts on this machine that belong to no run, deleted ones included."""
    from mlflow.exceptions import MlflowException

    for name in DESCRIPTIONS:
        found = store.client.get_experiment_by_name(name)
        root = None if found is None else local_folder(found.artifact_location)
        if root is None or not root.is_dir() or not store.owns(root):
            continue
        for folder in sorted(root.iterdir()):
            if not (_KEY.fullmatch(folder.name) and folder.is_dir()):
                continue
            if folder.stat().st_mtime > before:
                continue
            try:
                # A run in MLflow's bin can still be restored.
                store.client.get_run(folder.name)
            except MlflowException as error:
                # A store that can't say is no store without this run.
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
                yield Garbage(
                    kind="artifacts",
                    name=f"{name}/{folder.name}",
                    where=str(folder),
                    why="no run has these artifacts",
                    size=_local_size(str(folder)),
                    item=folder,
                )


def _leftovers(storage: Folder, kinds: dict[str, str], before: float) -> Iterator[Garbage]:
    """Folders named by a stage's key whose stage isn't finished, or has no use for them."""
    # Runs without a cluster keep their finished stages beside them, which MLflow doesn't know.
    beside = set(storage.child("stages").folders())
    for key in storage.folders():
        if not _KEY.fullmatch(key) or key in beside:
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
            kind="folder", name=key, where=folder.describe(), why=why, size=size, item=folder
        )


def _local_size(uri: str) -> int | None:
    folder = local_folder(uri)
    if folder is None:
        return None
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
