"""Finished stages in MLflow: looked up by key before they run, verified when they are read.

Finished means: artifacts are written, their checksums are in a manifest, the manifest's own
checksum is a tag, and the run's status is FINISHED. A run that was killed has none of these.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from prac.errors import StoreError
from prac.quick_import import quick_import
from prac.tracking.views import ticket_view

if TYPE_CHECKING:
    from mlflow import MlflowClient

STAGES, PIPELINES, TICKETS = "prac-stages", "prac-pipelines", "prac-tickets"
SWEEPS = "prac-sweeps"
DESCRIPTIONS = {
    STAGES: "Finished stages of all pipelines, one run each, found again by their key.",
    PIPELINES: "One run for each pipeline: its table, figures and report.",
    SWEEPS: (
        "Sweeps: one run for each trial (tagged with its sweep), and one for each whole sweep with "
        "its table and Pareto front. Compare trials by test accuracy, search steps and set size."
    ),
    TICKETS: (
        "Lottery tickets: a mask and rewind weights each, ready to train. Compare them by sparsity "
        "and test accuracy; `Ticket.load('models:/NAME@best')` takes one away."
    ),
}
MANIFEST = "manifest.json"
_PARAMETER_LIMIT = 100
_BATCH_LIMIT = 1000

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A finished stage: where its artifacts are, and the numbers it left."""

    key: str
    name: str
    run_id: str
    artifact_uri: str
    manifest_sha256: str
    values: Mapping[str, Any] = field(default_factory=dict)


class StoreAway(StoreError):
    """The tracking server or database failed, after MLflow's own retries."""


class DamagedArtifact(StoreError):
    """An artifact that is missing or fails its checksum; the stage has to run again."""

    def __init__(self, finished: Finished, what: str) -> None:
        super().__init__(f"{what} of stage {finished.name} (MLflow run {finished.run_id})")
        self.finished = finished
        self.what = what

    def __reduce__(self) -> tuple[Any, ...]:
        return DamagedArtifact, (self.finished, self.what)


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One value of one metric; step counts epochs or rounds."""

    name: str
    value: float
    step: int = 0


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A PNG that the tracker shows; step counts rounds."""

    key: str
    png: bytes
    step: int = 0


def default_tracking_uri(home: Path | None = None) -> str:
    """MLFLOW_TRACKING_URI where it is set, else an embedded SQLite store in a folder.

    home: the folder; None is the working folder.
    """
    embedded = f"sqlite:///{(home or Path.cwd()) / 'mlflow.db'}"
    return os.environ.get("MLFLOW_TRACKING_URI") or embedded


class Store:
    """The finished stages in one MLflow tracking server or database."""

    def __init__(self, tracking_uri: str) -> None:
        # MLflow's own notices are of no use to the user of a pipeline and hide its lines.
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
        self.tracking_uri = tracking_uri
        self._client: MlflowClient | None = None
        self._experiments: dict[str, str] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return Store, (self.tracking_uri,)

    @property
    def client(self) -> MlflowClient:
        """The client, connected when first used."""
        if self._client is None:
            with quick_import():
                from mlflow import MlflowClient

                client = MlflowClient(self.tracking_uri)
            if os.environ.get("MLFLOW_LOGGING_LEVEL") == "ERROR":
                # Where MLflow was imported before, it has read the variable already.
                logging.getLogger("mlflow").setLevel(logging.ERROR)
            self._client = client
        return self._client

    @property
    def is_local(self) -> bool:
        """Whether only this machine has it."""
        return not self.tracking_uri.startswith(("http://", "https://", "databricks"))

    @property
    def is_unmade(self) -> bool:
        """Whether it is an embedded database that has not been made yet."""
        scheme, separator, path = self.tracking_uri.partition(":///")
        return scheme == "sqlite" and bool(separator) and not Path(path).is_file()

    def prepare(self) -> None:
        """Create the experiments, before any worker could race for it. Raises StoreError."""
        try:
            with _few_retries():
                for name in (STAGES, PIPELINES, TICKETS):
                    self.experiment(name)
        except Exception as error:
            reason = str(error).splitlines()[0][:300]
            raise StoreError(
                f"the MLflow store {self.tracking_uri} can't be used ({reason}); "
                "set MLFLOW_TRACKING_URI to a server or database that can be reached"
            ) from error

    def experiment(self, name: str) -> str:
        """The id of an experiment, made with its description where it isn't there yet."""
        if name not in self._experiments:
            found = self.client.get_experiment_by_name(name)
            if found is None:
                self._experiments[name] = self._create_experiment(name)
            else:
                self._experiments[name] = found.experiment_id
        return self._experiments[name]

    def _create_experiment(self, name: str) -> str:
        from mlflow.exceptions import MlflowException

        tags = {"mlflow.note.content": DESCRIPTIONS[name]}
        if name == TICKETS:
            tags |= ticket_view()
        try:
            return str(self.client.create_experiment(name, self._artifact_location(name), tags))
        except MlflowException:
            # Another pipeline made it a moment ago.
            found = self.client.get_experiment_by_name(name)
            if found is None:
                raise
            return str(found.experiment_id)

    def _artifact_location(self, experiment: str) -> str | None:
        """Beside an embedded database, where MLflow would take the working folder, which a job
        throws away; None leaves it to the server."""
        scheme, separator, path = self.tracking_uri.partition(":///")
        if scheme != "sqlite" or not separator:
            return None
        return str(Path(path).absolute().parent / "mlruns" / experiment)

    @contextlib.contextmanager
    def reached(self) -> Iterator[None]:
        """Turn what MLflow raises while the store is used into a StoreAway of one line.

        It comes after MLflow's own retries, which outlast a server that is away for a minute or
        three (MLFLOW_HTTP_REQUEST_MAX_RETRIES, 7 by default with pauses of 2, 4, 8, ... seconds).
        """
        from mlflow.exceptions import MlflowException
        from requests.exceptions import RequestException

        try:
            yield
        except (MlflowException, RequestException) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0][:300]
            raise StoreAway(f"the MLflow store {self.tracking_uri} failed ({reason})") from error

    def find(self, data: str, keys: Iterable[str]) -> dict[str, Finished]:
        """The finished stages among `keys` that were made from the data with this fingerprint."""
        wanted = set(keys)
        found: dict[str, Finished] = {}
        for name in (STAGES, TICKETS, PIPELINES):
            with self.reached():
                runs = self._search(
                    name, f"tags.`prac.data` = '{data}' and attributes.status = 'FINISHED'"
                )
            for run in runs:
                tags = run.data.tags
                key = tags.get("prac.key", "")
                if key in wanted and key not in found and "prac.revoked" not in tags:
                    found[key] = finished_run(run)
        return found

    def find_one(self, experiment: str, key: str) -> Finished | None:
        """The finished stage with this key, where one has been made."""
        with self.reached():
            runs = self._search(
                experiment, f"tags.`prac.key` = '{key}' and attributes.status = 'FINISHED'"
            )
        whole = (run for run in runs if "prac.revoked" not in run.data.tags)
        return next((finished_run(run) for run in whole), None)

    def _search(self, experiment: str, filter_string: str) -> list[Any]:
        runs: list[Any] = []
        token = None
        while True:
            page = self.client.search_runs(
                [self.experiment(experiment)],
                filter_string,
                max_results=_BATCH_LIMIT,
                page_token=token,
            )
            runs.extend(page)
            token = page.token
            if not token:
                return runs

    def commit(
        self,
        *,
        experiment: str,
        key: str,
        name: str,
        data: str,
        folder: Path,
        values: Mapping[str, Any],
        started: float,
        parameters: Mapping[str, Any] | None = None,
        metrics: Iterable[Metric] = (),
        tags: Mapping[str, str] | None = None,
        note: str = "",
        before_finish: Callable[[str, str], None] | None = None,
        pictures: Iterable[Picture] = (),
    ) -> Finished:
        """Log a stage that has run as a finished run. The files of `folder` become its artifacts.

        values: JSON values that later stages and the report read without opening artifacts.
        started: seconds since the epoch. before_finish: called with the run's id and artifact URI
        when all is logged. pictures: shown by the tracker, with a slider where a key has several
        steps; they can be made again and are in no manifest. Nothing is visible as finished
        before all is written.
        """
        manifest = {
            "key": key,
            "name": name,
            "values": dict(values),
            "sha256": {
                str(path.relative_to(folder)): _sha256(path)
                for path in sorted(folder.rglob("*"))
                if path.is_file()
            },
        }
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=2, sort_keys=True))
        run_tags = {
            "mlflow.runName": name,
            "mlflow.source.name": "prac",
            "prac.key": key,
            "prac.data": data,
            "prac.stage": name,
            **({"mlflow.note.content": note} if note else {}),
            **(tags or {}),
        }
        with self.reached():
            run = self.client.create_run(
                self.experiment(experiment),
                start_time=int(started * 1000),
                tags=run_tags,
                run_name=name,
            )
            run_id = run.info.run_id
            try:
                self._log(run_id, parameters or {}, metrics)
                self.client.log_artifacts(run_id, str(folder))
                self._show(run_id, pictures)
                self.client.set_tag(run_id, "prac.manifest", _sha256(folder / MANIFEST))
                if before_finish is not None:
                    before_finish(run_id, run.info.artifact_uri)
                self.client.set_terminated(run_id, "FINISHED")
            except BaseException:
                # What went wrong is told, not that the store couldn't be told of it.
                with contextlib.suppress(Exception):
                    self.client.set_terminated(run_id, "FAILED")
                raise
            return finished_run(self.client.get_run(run_id), values)

    def _log(self, run_id: str, parameters: Mapping[str, Any], metrics: Iterable[Metric]) -> None:
        from mlflow.entities import Metric as MlflowMetric
        from mlflow.entities import Param

        now = int(time.time() * 1000)
        logged = [MlflowMetric(m.name, float(m.value), now, m.step) for m in metrics]
        settings = [Param(k, str(v)[:6000]) for k, v in parameters.items()]
        for start in range(0, max(len(settings), 1), _PARAMETER_LIMIT):
            self.client.log_batch(run_id, params=settings[start : start + _PARAMETER_LIMIT])
        for start in range(0, len(logged), _BATCH_LIMIT):
            self.client.log_batch(run_id, metrics=logged[start : start + _BATCH_LIMIT])

    def _show(self, run_id: str, pictures: Iterable[Picture]) -> None:
        from PIL import Image

        for picture in pictures:
            image = Image.open(io.BytesIO(picture.png))
            self.client.log_image(run_id, image, key=picture.key, step=picture.step)

    def read(self, finished: Finished, file: str, reader: Callable[[Path], T]) -> T:
        """Read one artifact with `reader`, after its checksum was verified.

        Raises DamagedArtifact for what is missing or changed, whatever the reader would say.
        """
        with tempfile.TemporaryDirectory(prefix="prac-") as scratch:
            manifest_path = self._fetch(finished, MANIFEST, scratch)
            if _sha256(manifest_path) != finished.manifest_sha256:
                raise DamagedArtifact(finished, f"{MANIFEST} fails its checksum")
            expected = json.loads(manifest_path.read_text())["sha256"].get(file)
            path = self._fetch(finished, file, scratch)
            if _sha256(path) != expected:
                raise DamagedArtifact(finished, f"{file} fails its checksum")
            return reader(path)

    def _fetch(self, finished: Finished, file: str, scratch: str) -> Path:
        uri = finished.artifact_uri
        local = Path(uri.removeprefix("file://"))
        if local.is_absolute() and "://" not in str(local):
            path = local / file
        else:
            from mlflow.exceptions import MlflowException

            try:
                path = Path(self.client.download_artifacts(finished.run_id, file, scratch))
            except (MlflowException, OSError) as error:
                # A store that is away is no reason to make anything again.
                if self._lists(finished, file):
                    reason = (str(error).splitlines() or [type(error).__name__])[-1][:300]
                    raise StoreAway(
                        f"{file} of stage {finished.name} can't be fetched from the MLflow store "
                        f"{self.tracking_uri} ({reason})"
                    ) from error
                raise DamagedArtifact(finished, f"{file} is missing") from error
        if not path.is_file():
            raise DamagedArtifact(finished, f"{file} is missing")
        return path

    def _lists(self, finished: Finished, file: str) -> bool:
        """Whether the store says that the run has this file. Raises StoreAway."""
        parent = file.rpartition("/")[0]
        with self.reached():
            listed = self.client.list_artifacts(finished.run_id, parent or None)
        return any(info.path == file for info in listed)

    def values(self, finished: Finished) -> Mapping[str, Any]:
        """The JSON values a stage left, verified."""
        if finished.values:
            return finished.values
        read: Mapping[str, Any] = self.read_manifest(finished)["values"]
        return read

    def read_manifest(self, finished: Finished) -> dict[str, Any]:
        """The manifest of a finished stage, verified against the run's tag."""
        with tempfile.TemporaryDirectory(prefix="prac-") as scratch:
            path = self._fetch(finished, MANIFEST, scratch)
            if _sha256(path) != finished.manifest_sha256:
                raise DamagedArtifact(finished, f"{MANIFEST} fails its checksum")
            manifest: dict[str, Any] = json.loads(path.read_text())
            return manifest

    def revoke(self, finished: Finished, reason: str) -> None:
        """Keep a damaged run out of every later look-up, and say why in its tags."""
        with self.reached():
            self.client.set_tag(finished.run_id, "prac.revoked", reason[:5000])


@contextlib.contextmanager
def _few_retries() -> Iterator[None]:
    """MLflow retries for four minutes by default: too long to learn of a wrong address."""
    quick = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
    added = {name: value for name, value in quick.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


def finished_run(run: Any, values: Mapping[str, Any] | None = None) -> Finished:
    """What a finished MLflow run stands for; values as far as they are known."""
    tags = run.data.tags
    return Finished(
        key=tags["prac.key"],
        name=tags.get("prac.stage", run.info.run_name),
        run_id=run.info.run_id,
        artifact_uri=run.info.artifact_uri,
        manifest_sha256=tags.get("prac.manifest", ""),
        values=values or {},
    )


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
