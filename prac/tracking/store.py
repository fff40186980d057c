"""Finished stages in MLflow: a run each, found again by key, verified when they are read.

Finished means: artifacts are written, their checksums are in a manifest, the manifest's own
checksum is a tag, and the run's status is FINISHED. A run that was killed has none of these.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prac.analysis.metric import Metric
from prac.errors import without_passwords
from prac.lottery.graph import Stage
from prac.lottery.outputs import Made, TicketFacts
from prac.lottery.store import (
    MANIFEST,
    DamagedArtifact,
    Finished,
    Manifest,
    StoreAway,
    read_manifest,
    read_stage,
    seal,
    sha256,
    write_stage,
)
from prac.scratch import scratch_folder
from prac.tracking.connection import PIPELINES, STAGES, SWEEPS, TICKETS, Connection, finished_run
from prac.tracking.local import local_folder
from prac.tracking.mlflow_internals import finished_in_database
from prac.tracking.pages import unreadable
from prac.tracking.shown import Shown, shown

# A plan and a replay open a store and do without torch.
if TYPE_CHECKING:
    from prac.tracking.ticket_run import Dress

_PARAMETER_LIMIT = 100
_BATCH_LIMIT = 1000


class MlflowStore(Connection):
    """The finished stages in one MLflow tracking server or database.

    dress: what is added to tickets before they are kept; a function of a module, since stores go to
    other processes.
    """

    def __init__(self, tracking_uri: str, dress: Dress | None = None) -> None:
        super().__init__(tracking_uri)
        self._dress = dress

    def __reduce__(self) -> tuple[Any, ...]:
        return MlflowStore, (self.tracking_uri, self._dress)

    def find(self, data: str, keys: Iterable[str]) -> dict[str, Finished]:
        """The finished stages among `keys` that were made from the data with this fingerprint.

        Of several runs that made the same, the one that began last counts, and of those that began
        in the same millisecond the one whose id comes first.
        """
        wanted = set(keys)
        found: dict[str, Finished] = {}
        for name in (STAGES, TICKETS, PIPELINES):
            for finished in self._finished(name, data):
                if finished.key in wanted:
                    found.setdefault(finished.key, finished)
        return found

    def _finished(self, experiment: str, data: str) -> list[Finished]:
        """All of an experiment that count, the newest first."""
        with self.reached():
            if self.database is not None:
                known = finished_in_database(self.database, self.experiment(experiment), data)
                if known is not None:
                    return known
            runs = self.search(
                experiment, f"tags.`prac.data` = '{data}' and attributes.status = 'FINISHED'"
            )
        tagged = ((run, run.data.tags) for run in runs)
        return [
            finished_run(run)
            for run, tags in tagged
            if "prac.key" in tags and "prac.revoked" not in tags and not unreadable(run)
        ]

    def find_one(self, stage: Stage) -> Finished | None:
        with self.reached():
            runs = self.search(
                experiment_of(stage),
                f"tags.`prac.key` = '{stage.key}' and attributes.status = 'FINISHED'",
            )
        whole = (r for r in runs if "prac.revoked" not in r.data.tags and not unreadable(r))
        return next((finished_run(run) for run in whole), None)

    def commit(self, stage: Stage, made: Made, *, data: str, started: float) -> Finished:
        """Log a stage that has run as a finished run; a ticket is a version of its model."""
        with scratch_folder() as scratch:
            folder = Path(scratch)
            if isinstance(made.facts, TicketFacts):
                from prac.tracking.ticket_run import dressed

                told, before_finish = dressed(self, stage, made, folder, self._dress)
                manifest = seal(folder, stage, made)
                finished = self.log(
                    stage, folder, told, data=data, started=started, before_finish=before_finish
                )
            else:
                manifest = write_stage(folder, stage, made)
                finished = self.log(stage, folder, shown(stage, made), data=data, started=started)
        return dataclasses.replace(finished, manifest=manifest)

    def log(
        self,
        stage: Stage,
        folder: Path,
        told: Shown,
        *,
        data: str,
        started: float,
        experiment: str | None = None,
        before_finish: Callable[[str, str], None] | None = None,
    ) -> Finished:
        """Log a folder with its manifest as a finished run; its files become artifacts.

        before_finish: called with the run's id and artifact URI when all is logged. Nothing is
        visible as finished before all is written.
        """
        manifest = sha256(folder / MANIFEST)
        tags = {
            "mlflow.runName": told.title,
            "mlflow.source.name": "prac",
            "prac.key": stage.key,
            "prac.data": data,
            "prac.stage": stage.name,
            **({"mlflow.note.content": told.note} if told.note else {}),
            **told.tags,
        }
        with self.reached():
            run = self.client.create_run(
                self.experiment(experiment or experiment_of(stage)),
                start_time=int(started * 1000),
                tags=tags,
                run_name=told.title,
            )
            run_id = run.info.run_id
            try:
                self.log_values(run_id, told.parameters, told.metrics)
                self.client.log_artifacts(run_id, str(folder))
                self._show(run_id, told)
                self.client.set_tag(run_id, "prac.manifest", manifest)
                if before_finish is not None:
                    before_finish(run_id, run.info.artifact_uri)
                self.client.set_terminated(run_id, "FINISHED")
            except BaseException:
                # What went wrong is told, not that the store couldn't be told of it.
                with contextlib.suppress(Exception):
                    self.client.set_terminated(run_id, "FAILED")
                raise
            return finished_run(self.client.get_run(run_id))

    def log_values(
        self,
        run_id: str,
        parameters: Mapping[str, Any] | None = None,
        metrics: Iterable[Metric] = (),
    ) -> None:
        """Parameters and metrics of a run, in as many requests as MLflow takes them in."""
        from mlflow.entities import Metric as MlflowMetric
        from mlflow.entities import Param

        now = int(time.time() * 1000)
        logged = [MlflowMetric(m.name, float(m.value), now, m.step) for m in metrics]
        settings = [Param(k, str(v)[:6000]) for k, v in (parameters or {}).items()]
        for start in range(0, len(settings), _PARAMETER_LIMIT):
            self.client.log_batch(run_id, params=settings[start : start + _PARAMETER_LIMIT])
        for start in range(0, len(logged), _BATCH_LIMIT):
            self.client.log_batch(run_id, metrics=logged[start : start + _BATCH_LIMIT])

    def _show(self, run_id: str, told: Shown) -> None:
        from PIL import Image

        for picture in told.pictures:
            image = Image.open(io.BytesIO(picture.png))
            self.client.log_image(run_id, image, key=picture.key, step=picture.step)

    def read(self, finished: Finished) -> Made:
        """What the stage made; its files are fetched and verified when they are asked for."""
        scratch: list[tempfile.TemporaryDirectory[str]] = []

        def bring(file: str) -> Path:
            # Kept as long as the files may be asked for.
            if not scratch:
                scratch.append(scratch_folder())
            return self._fetch(finished, file, scratch[0].name)

        return read_stage(finished, bring)

    def manifest(self, finished: Finished) -> Manifest:
        """The manifest of a finished stage, verified."""
        with scratch_folder() as scratch:
            return read_manifest(finished, lambda file: self._fetch(finished, file, scratch))

    def _fetch(self, finished: Finished, file: str, scratch: str) -> Path:
        local = local_folder(finished.where)
        if local is not None:
            path = local / file
            if not path.is_file() and not local.is_dir():
                raise _away(finished, f"{local} is not there")
        else:
            from mlflow.exceptions import MlflowException

            try:
                path = Path(self.client.download_artifacts(finished.run_id, file, scratch))
            except (MlflowException, OSError) as error:
                # A store that is away is no reason to make anything again.
                if file in self._listed(finished, file.rpartition("/")[0]):
                    told = (str(error).splitlines() or [type(error).__name__])[-1]
                    reason = without_passwords(told)[:300]
                    raise StoreAway(
                        f"{file} of stage {finished.name} can't be fetched from the MLflow store "
                        f"{self.shown_uri} ({reason})"
                    ) from error
                # A server whose artifacts are away lists none.
                if not self._listed(finished, ""):
                    raise _away(finished, f"{self.shown_uri} lists none") from error
                raise DamagedArtifact(finished, f"{file} is missing") from error
        if not path.is_file():
            raise DamagedArtifact(finished, f"{file} is missing")
        return path

    def _listed(self, finished: Finished, parent: str) -> set[str]:
        """What the store says the run has in a folder. Raises StoreAway."""
        with self.reached():
            listed = self.client.list_artifacts(finished.run_id, parent or None)
        return {info.path for info in listed}

    def revoke(self, finished: Finished, reason: str) -> None:
        """Keep a damaged run out of every later look-up, and say why in its tags."""
        with self.reached():
            self.client.set_tag(finished.run_id, "prac.revoked", reason[:5000])


def experiment_of(stage: Stage) -> str:
    """The experiment in which a stage's runs are."""
    return {"ticket": TICKETS, "report": PIPELINES, "sweep": SWEEPS}.get(stage.kind, STAGES)


def _away(finished: Finished, what: str) -> StoreAway:
    """No file of a run is there: that is no damage, and what to do is the user's to say."""
    return StoreAway(
        f"the artifacts of stage {finished.name} are away: {what}; bring them back (is the disk "
        "mounted?), or where they are lost for good, have the stage made again: "
        f"mlflow runs delete --run-id {finished.run_id}"
    )
