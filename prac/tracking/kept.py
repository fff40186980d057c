"""What pipelines need, noted in MLflow: a run each, in an experiment of their own."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prac.errors import StoreError
from prac.lottery.identity import Identity
from prac.lottery.kept import Forgotten, Pipeline, find_pipeline, from_json, merged, to_json
from prac.lottery.store import StoreAway
from prac.scratch import scratch_folder
from prac.tracking.connection import KEPT, PIPELINES, SWEEPS
from prac.tracking.local import local_folder
from prac.tracking.registry import finished_runs
from prac.tracking.store import MlflowStore

_FILE = "pipeline.json"
_FORGOTTEN, _IDENTITY = "prac.forgotten", "prac.store"


class MlflowKept:
    """Notes in the experiment `prac-kept`. A note is written once; what is forgotten is a tag.

    Pipelines of earlier versions have a report and no note: what they need is not known, so nothing
    that was made from their data goes.
    """

    def __init__(self, store: MlflowStore) -> None:
        self._store = store
        self._read: dict[str, Pipeline] = {}

    def identity(self, *, settle: bool = False) -> Identity:
        """In a tag of the experiment."""
        database = self._store.database
        place = "" if database is None else str(database.resolve())
        with self._store.reached():
            client = self._store.client
            known = client.get_experiment_by_name(KEPT)
            text = None if known is None else known.tags.get(_IDENTITY)
            where = f"the tag {_IDENTITY} of the experiment {KEPT} in {self._store.shown_uri}"
            found = Identity.read(text, place, where)
            if settle and not found.name:
                found = found.settled()
                client.set_experiment_tag(self._store.experiment(KEPT), _IDENTITY, found.text())
        return found

    def note(self, pipeline: Pipeline) -> None:
        """As a run, where it needs what was not noted yet."""
        known: set[str] = set()
        with self._store.reached():
            client = self._store.client
            for run_id, note in self._notes(None, pipeline.key):
                known |= note.needs.keys()
                if note.forgotten:
                    client.set_tag(run_id, _FORGOTTEN, "")
            if known >= pipeline.needs.keys():
                return
            run = client.create_run(
                self._store.experiment(KEPT),
                tags={
                    "mlflow.source.name": "prac",
                    "prac.pipeline": pipeline.key,
                    "prac.data": pipeline.data,
                    "data_set": pipeline.data_name,
                },
                run_name=pipeline.title,
            )
            client.log_text(run.info.run_id, to_json(pipeline), _FILE)
            client.set_terminated(run.info.run_id, "FINISHED")

    def _notes(
        self, refused: list[str] | None, key: str | None = None
    ) -> Iterator[tuple[str, Pipeline]]:
        """Run and note, of one pipeline or of all."""
        wanted = f"tags.`prac.pipeline` = '{key}'" if key is not None else ""
        for run in finished_runs(self._store, KEPT, wanted, refused=refused):
            try:
                note = self._read_note(run)
            except StoreError as error:
                if refused is None or isinstance(error, StoreAway):
                    raise
                refused.append(str(error))
                continue
            yield run.info.run_id, dataclasses.replace(note, forgotten=_forgotten(run))

    def _read_note(self, run: Any) -> Pipeline:
        run_id = run.info.run_id
        if run_id not in self._read:
            folder = local_folder(run.info.artifact_uri)
            with scratch_folder() as scratch:
                if folder is None:
                    with self._store.reached():
                        file = Path(self._store.client.download_artifacts(run_id, _FILE, scratch))
                else:
                    file = folder / _FILE
                try:
                    text = file.read_bytes()
                except OSError as error:
                    raise StoreAway(
                        f"the artifacts of the MLflow store {self._store.shown_uri} are away "
                        f"({error}); bring them back (is the disk mounted?)"
                    ) from error
            self._read[run_id] = from_json(text, f"{_FILE} of run {run_id}")
        return self._read[run_id]

    def pipelines(self, refused: list[str] | None = None) -> list[Pipeline]:
        """From notes, and from reports that have none."""
        noted = merged(note for _, note in self._notes(refused))
        keys = {pipeline.key for pipeline in noted}
        reports = [run for run in self._reports(refused) if run.data.tags["prac.key"] not in keys]
        return [*noted, *merged(map(_of_report, reports))]

    def _reports(self, refused: list[str] | None) -> Iterator[Any]:
        for experiment in (PIPELINES, SWEEPS):
            for run in finished_runs(self._store, experiment, refused=refused):
                if "prac.key" in run.data.tags:
                    yield run

    def forget(self, key: str, what: Forgotten) -> None:
        """In tags. A report without a note is revoked."""
        key = find_pipeline(self.pipelines([]), key).key
        notes = list(self._notes(None, key))
        with self._store.reached():
            for run_id, _ in notes:
                self._store.client.set_tag(run_id, _FORGOTTEN, what)
            if notes:
                return
            for run in self._reports([]):
                if run.data.tags["prac.key"] == key:
                    told = f"forgotten {time.strftime('%Y-%m-%d')}"
                    self._store.client.set_tag(run.info.run_id, "prac.revoked", told)

    def there(self, pipeline: Pipeline) -> dict[str, Path | None]:
        """What a look-up finds."""
        found = self._store.find(pipeline.data, pipeline.needs)
        return {key: local_folder(finished.where) for key, finished in found.items()}


def _forgotten(run: Any) -> Forgotten:
    told = run.data.tags.get(_FORGOTTEN, "")
    # Another version's word for it lets nothing go.
    return told if told in ("stages", "tickets") else ""


def _of_report(run: Any) -> Pipeline:
    tags = run.data.tags
    return Pipeline(
        key=tags["prac.key"],
        title=run.info.run_name or tags["prac.key"],
        data=tags.get("prac.data", ""),
        data_name=tags.get("data_set", ""),
        began=run.info.start_time / 1000,
        needs={},
    )
