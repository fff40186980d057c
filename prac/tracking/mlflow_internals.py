"""What of MLflow's inside is used, because nothing public does it. Seen in MLflow 3.9 and 3.17."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from prac.lottery.store import Finished, StoreAway
from prac.tracking.local import local_folder

# MLflow takes a second to import: whoever only names a store, as a plan does, needs none of it.

CODE_LOADER = "mlflow.pyfunc.loaders.code_model"
"""What loads a model that is kept as code: `mlflow.pyfunc.save_model` writes its name."""

ADDED_FILE = "registered_model_meta"
"""The file that MLflow writes beside a registered model which it downloads."""

VIEW_TAG = "mlflow.sharedViewState."
"""With a view's name behind it: the tag of an experiment in which its page looks for the view."""


_FINISHED = """
SELECT run.run_uuid, run.artifact_uri, run.name, key.value, stage.value, manifest.value
FROM runs AS run
JOIN tags AS data ON data.run_uuid = run.run_uuid AND data.key = 'prac.data'
JOIN tags AS key ON key.run_uuid = run.run_uuid AND key.key = 'prac.key'
LEFT JOIN tags AS stage ON stage.run_uuid = run.run_uuid AND stage.key = 'prac.stage'
LEFT JOIN tags AS manifest ON manifest.run_uuid = run.run_uuid AND manifest.key = 'prac.manifest'
LEFT JOIN tags AS revoked ON revoked.run_uuid = run.run_uuid AND revoked.key = 'prac.revoked'
WHERE run.experiment_id = ? AND data.value = ? AND run.status = 'FINISHED'
    AND run.lifecycle_stage = 'active' AND revoked.run_uuid IS NULL
    AND run.artifact_uri <> '' AND key.value IS NOT NULL
    AND typeof(run.start_time) = 'integer' AND typeof(run.end_time) IN ('integer', 'null')
ORDER BY run.start_time DESC, run.run_uuid
"""


def finished_in_database(file: Path, experiment_id: str, data: str) -> list[Finished] | None:
    """The finished runs of an experiment that were made from the data with this fingerprint, the
    newest first, read from MLflow's tables; None where this database has others.

    MLflow's own search makes an object of each tag, metric and parameter of each run: 18 s of
    processor time for 13,685 runs (3.17), of which this takes 0.2 s.
    """
    try:
        with contextlib.closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as database:
            rows = database.execute(_FINISHED, (int(experiment_id), data)).fetchall()
    except (sqlite3.Error, ValueError):
        return None
    return [
        Finished(
            key=key,
            name=name if stage is None else stage,
            run_id=run_id,
            where=where,
            manifest_sha256=manifest or "",
        )
        for run_id, where, name, key, stage, manifest in rows
    ]


_PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Where an MLflow database names folders: whole paths, those of a run below its experiment's."""


def settle_places(file: Path, experiments: Iterable[str]) -> None:
    """Let a database that was copied or moved with its artifacts name those that lie beside it.

    experiments: names of those whose place is `mlruns/NAME` beside the database. Their places are
    rewritten, in one transaction, where they lie elsewhere and a run that the database knows has
    its folder beside; or where it knows no run, so that nothing could be lost from sight. Raises
    StoreAway where the database can't be read or written.
    """
    names = tuple(experiments)
    try:
        with contextlib.closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as database:
            if not _strayed(database, file, names):
                return
        with contextlib.closing(sqlite3.connect(file, timeout=30)) as database, database:
            database.execute("BEGIN IMMEDIATE")
            # Asked again: another process may have done it a moment ago.
            for old, new in _strayed(database, file, names).items():
                for table, column in _PLACES:
                    if _has(database, table, column):
                        database.execute(
                            f"UPDATE {table} SET {column} = :new || substr({column}, :rest) "
                            f"WHERE {column} = :old OR substr({column}, 1, :rest) = :old || '/'",
                            {"old": old, "new": new, "rest": len(old) + 1},
                        )
    except sqlite3.Error as error:
        raise StoreAway(
            f"the store {file} can't be read, or was moved and can't be told so ({error}); "
            "open it once where it can be written"
        ) from error


def _strayed(database: sqlite3.Connection, file: Path, names: tuple[str, ...]) -> dict[str, str]:
    """Places that are to be rewritten: old to new."""
    if not _has(database, "experiments", "artifact_location"):
        return {}  # MLflow says what is wrong with it
    found: dict[str, str] = {}
    runs: list[Path] = []
    for number, name, old in database.execute(
        "SELECT experiment_id, name, artifact_location FROM experiments"
    ):
        here = file.parent / "mlruns" / str(name)
        there = local_folder(str(old))
        if there is None or name not in names or there.parts[-2:] != here.parts[-2:]:
            continue
        if there.resolve() == here.resolve():
            continue
        if here.is_dir() and there.is_dir() and here.samefile(there):
            continue  # one folder by two ways
        found[str(old)] = str(here)
        ids = database.execute("SELECT run_uuid FROM runs WHERE experiment_id = ?", (number,))
        runs += [here / run_id for (run_id,) in ids]
    return found if not runs or any(run.is_dir() for run in runs) else {}


def _has(database: sqlite3.Connection, table: str, column: str) -> bool:
    rows = database.execute("SELECT 1 FROM pragma_table_info(?) WHERE name = ?", (table, column))
    return rows.fetchone() is not None


def artifacts(uri: str, tracking_uri: str) -> Any:
    """The files at an artifact URI: `log_artifact`, `delete_artifacts`."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    return get_artifact_repository(uri, tracking_uri=tracking_uri)


def delete_artifacts(artifact_uri: str, tracking_uri: str) -> None:
    """Delete all files of a run; deleting the run leaves them, for `mlflow gc` on the server."""
    artifacts(artifact_uri, tracking_uri).delete_artifacts()
