"""What no finished stage needs: orphaned runs, their artifacts, leftover events and checkpoints.

Only the experiments, registered models and folders that this library makes are looked at.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from prac.errors import StoreError
from prac.lottery.kept import Pipeline, let_go, unlisted
from prac.storage import Folder
from prac.tracking.connection import (
    DESCRIPTIONS,
    KEPT,
    PIPELINES,
    STAGES,
    SWEEPS,
    TICKETS,
    Connection,
)
from prac.tracking.kept import MlflowKept
from prac.tracking.leftovers import KEY, Garbage, bytes_at, find_leftovers
from prac.tracking.local import local_folder
from prac.tracking.mlflow_internals import delete_artifacts
from prac.tracking.pages import pages, unreadable
from prac.tracking.store import MlflowStore

# MLflow takes a second to import: whoever only names a store, as a plan does, needs none of it.

_OPEN_SECONDS = {SWEEPS: 7 * 24 * 3600}
"""A sweep's runs are open while it goes on; a stage's for the seconds in which it is written."""


def find_garbage(
    store: MlflowStore,
    storage: Folder | None,
    *,
    min_age_seconds: float,
    storage_is_ours: bool = False,
    also_unlisted: bool = False,
) -> list[Garbage]:
    """What could be deleted now.

    storage: where events and checkpoints are; None leaves it alone. min_age_seconds: younger things
    are left alone, for a pipeline may be at work on them. storage_is_ours: also folders that no
    store claims; without it only in a storage in which a finished stage of this store has one.
    What another store claims is left alone. also_unlisted: finished stages too that no pipeline's
    note lists.
    """
    before = time.time() - min_age_seconds
    kept = MlflowKept(store)
    pipelines = kept.pipelines()
    with store.reached():
        going = _going(store, pipelines, also_unlisted)
        every = {name: _runs(store, name) for name in DESCRIPTIONS}
        runs = [run for found in every.values() for run in found]
        # Of what can't be read, nothing goes.
        by_name = {name: [r for r in some if not unreadable(r)] for name, some in every.items()}
        promoted = _promoted(store, by_name[TICKETS])
        dead = [
            (run, why)
            for name, some in by_name.items()
            for run in some
            if (why := _why_dead(run, before, going, _OPEN_SECONDS.get(name, 0)))
            and not (run.info.status == "FINISHED" and run.info.run_id in promoted)
        ]
        dead += _dead_notes(by_name[KEPT], pipelines, runs, {run.info.run_id for run, _ in dead})
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
                key=_need(run),
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
            and not (run.info.lifecycle_stage == "deleted" and "prac.revoked" in run.data.tags)
        }
        found += find_leftovers(
            storage,
            kept.identity().names_in(storage, alone=_is_alone(store)),
            kinds,
            before,
            let_go={run.data.tags.get("prac.pipeline", "") for run, _ in dead},
            # Runs without a cluster keep their finished stages there, which MLflow doesn't know.
            beside=storage.child("stages").folders(),
            unclaimed=storage_is_ours or not kinds.keys().isdisjoint(storage.folders()),
        )
    return found


def _is_alone(store: Connection) -> bool:
    """Whether no other database lies beside this one, whose artifacts could lie there as well."""
    file = store.database
    if file is None:
        return False
    return not any(
        other.is_file() and not other.samefile(file) and _is_database(other)
        for other in file.parent.iterdir()
    )


def _is_database(file: Path) -> bool:
    with open(file, "rb") as opened:
        return opened.read(16) == b"SQLite format 3\0"


def _going(store: Connection, pipelines: list[Pipeline], also_unlisted: bool) -> Mapping[str, str]:
    """Stages that may go: key to why."""
    going = let_go(pipelines)
    if also_unlisted:
        runs = [run for name in (STAGES, PIPELINES) for run in _runs(store, name)]
        there: dict[str, set[tuple[str, str]]] = {}
        for run in runs:
            tags = run.data.tags
            if any(tags.get(name) is None for name in ("prac.key", "prac.stage", "prac.data")):
                # It may be a report's, which keeps all of its data.
                raise StoreError(
                    f"run {run.info.run_id} doesn't say of what stage and data it is: what no "
                    "pipeline's note lists can't be told apart from what it needs"
                )
            kind = tags["prac.stage"].partition(":")[0]
            there.setdefault(tags["prac.key"], set()).add((kind, tags["prac.data"]))
        told = {key: found.pop() for key, found in there.items() if len(found) == 1}
        going |= unlisted(pipelines, told)
    return going


def delete_garbage(
    store: MlflowStore, garbage: Iterable[Garbage], *, also_unlisted: bool = False
) -> None:
    """Delete what `find_garbage` found, and nothing else. A run's artifacts go with it.

    What a pipeline needs that was begun meanwhile stays.
    """
    pipelines = MlflowKept(store).pipelines()
    spared: set[str] = set()
    with store.reached():
        going = _going(store, pipelines, also_unlisted)
        for piece in garbage:
            if piece.kind == "run":
                if not _still_dead(piece.item, pipelines, going):
                    spared.add(piece.key)
                    continue
                # Restored from MLflow's bin, it would count as finished without its artifacts.
                if "prac.revoked" not in piece.item.data.tags:
                    store.client.set_tag(piece.where, "prac.revoked", "deleted by prac gc")
                # The run first: artifacts of a run that is gone are found again, not the reverse.
                store.client.delete_run(piece.where)
                uri = piece.item.info.artifact_uri
                folder = local_folder(uri)
                if folder is None or store.owns(folder):
                    delete_artifacts(uri, store.tracking_uri)
            elif piece.key in spared:
                continue
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


def _promoted(store: Connection, tickets: Iterable[Any]) -> set[str]:
    """Runs of tickets whose version was copied to another registered model: somebody uses them."""
    own = {run.info.run_id: run.data.tags.get("prac.ticket", "") for run in tickets}
    if not own:
        return set()
    versions = pages(store.client.search_model_versions, "tag.`prac.key` LIKE '%'")
    return {
        v.run_id
        for v in versions
        if v.run_id in own and not own[v.run_id].startswith(f"models:/{v.name}/")
    }


def _why_dead(
    run: Any, before: float, going: Mapping[str, str], open_seconds: float = 0
) -> str | None:
    if run.info.status != "FINISHED":
        before = min(before, time.time() - open_seconds)
    if max(run.info.start_time, run.info.end_time or 0) / 1000 > before:
        return None
    if "prac.revoked" in run.data.tags:
        return f"revoked: {run.data.tags['prac.revoked']}"
    if run.info.status == "FINISHED":
        return going.get(_need(run))
    state = "never ended" if run.info.status == "RUNNING" else run.info.status.lower()
    return f"{state}: its stage is not finished"


def _need(run: Any) -> str:
    """By what pipelines name it: the key of its stage, or of the sweep whose trial it is."""
    tags = run.data.tags
    return str(tags.get("prac.key") or tags.get("prac.sweep") or tags.get("prac.pipeline", ""))


def _still_dead(run: Any, pipelines: list[Pipeline], going: Mapping[str, str]) -> bool:
    if "prac.pipeline" in run.data.tags and run.info.status == "FINISHED":
        return _need(run) in {p.key for p in pipelines if p.forgotten}
    return _why_dead(run, math.inf, going) is not None


def _dead_notes(
    notes: Iterable[Any], pipelines: Iterable[Pipeline], runs: Iterable[Any], dead: set[str]
) -> Iterator[tuple[Any, str]]:
    """Of forgotten pipelines of which nothing is left that others don't need."""
    there = {run.data.tags.get("prac.key") for run in runs if run.info.run_id not in dead}
    known = list(pipelines)
    needed = {key for p in known if not p.forgotten for key in p.needs}
    gone = {p.key for p in known if p.forgotten and not (p.needs.keys() - needed) & there}
    for run in notes:
        if run.data.tags.get("prac.pipeline") in gone and run.info.run_id not in dead:
            yield run, "forgotten, and nothing of it is left"


def _dead_versions(store: Connection, alive: set[str], before: float) -> Iterator[Garbage]:
    if store.client.get_experiment_by_name(TICKETS) is None:
        return
    for version in pages(store.client.search_model_versions, "name LIKE 'prac-%'"):
        ours = "prac.key" in version.tags and version.run_id not in alive
        made = version.creation_timestamp
        if ours and isinstance(made, int) and made / 1000 <= before:
            yield Garbage(
                kind="version",
                name=f"models:/{version.name}/{version.version}",
                where=f"models:/{version.name}/{version.version}",
                why="the run it belongs to is not finished, or gone for good",
                size=None,
                item=version,
                key=version.tags["prac.key"],
            )


def _runless_artifacts(store: Connection, before: float) -> Iterator[Garbage]:
    """Folders of artifacts on this machine that belong to no run, deleted ones included."""
    from mlflow.exceptions import MlflowException

    for name in DESCRIPTIONS:
        found = store.client.get_experiment_by_name(name)
        # Whoever writes to the database can leave its place out.
        root = None if found is None else local_folder(found.artifact_location or "")
        if root is None or not root.is_dir() or not store.owns(root) or not _is_alone(store):
            continue
        for folder in sorted(root.iterdir()):
            # What a link leads to is somebody else's.
            if not KEY.fullmatch(folder.name) or folder.is_symlink() or not folder.is_dir():
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


def _local_size(uri: str) -> int | None:
    folder = local_folder(uri)
    return None if folder is None else bytes_at(folder)
