"""A connection to one MLflow tracking server or database, and its experiments."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prac.errors import PracError, StoreError, first_line, without_passwords
from prac.lottery.store import Finished, StoreAway
from prac.tracking.embedded import make_database
from prac.tracking.local import local_folder
from prac.tracking.mlflow_internals import settle_places
from prac.tracking.pages import pages, unreadable
from prac.tracking.reach import ask_once, few_retries, prove
from prac.tracking.views import ticket_view

# MLflow takes a second to import: whoever only names a store, as a plan does, needs none of it.
if TYPE_CHECKING:
    from mlflow import MlflowClient

STAGES, PIPELINES, TICKETS = "prac-stages", "prac-pipelines", "prac-tickets"
SWEEPS, KEPT = "prac-sweeps", "prac-kept"
DESCRIPTIONS = {
    STAGES: "Finished stages of all pipelines, one run each, found again by their key.",
    PIPELINES: "One run for each pipeline: its table, figures and report.",
    SWEEPS: (
        "Sweeps: one run for each trial (tagged with its sweep), and one for each whole sweep with "
        "its table and Pareto front. Compare trials by test accuracy, search steps and set size."
    ),
    KEPT: (
        "What each pipeline and sweep needs of this store, noted when it begins. `prac pipelines "
        "forget` lets it go; `prac gc` deletes what no other needs."
    ),
    TICKETS: (
        "Lottery tickets: a mask and rewind weights each, ready to train. Compare them by sparsity "
        "and test accuracy; `Ticket.load('models:/NAME@best')` takes one away."
    ),
}


class Connection:
    """One MLflow tracking server or database."""

    def __init__(self, tracking_uri: str) -> None:
        # MLflow's own notices are of no use to the user of a pipeline and hide its lines.
        if os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR") == "ERROR":
            # Where MLflow was imported before, it has read the variable already.
            logging.getLogger("mlflow").setLevel(logging.ERROR)
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
        # After every run it would print the server's address with the password.
        os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
        self.tracking_uri = tracking_uri
        self._client: MlflowClient | None = None
        self._experiments: dict[str, str] = {}

    @property
    def client(self) -> MlflowClient:
        """The client, connected when first used; an embedded store that was copied or moved names
        what lies beside it from then on."""
        if self._client is None:
            from mlflow import MlflowClient

            if self.database is not None and self.database.is_file():
                settle_places(self.database, DESCRIPTIONS)
            self._client = MlflowClient(self.tracking_uri)
        return self._client

    @property
    def shown_uri(self) -> str:
        """For people: its password is told to nobody."""
        return without_passwords(self.tracking_uri)

    @property
    def page(self) -> str:
        """Where its pages are, without a login: a server's, or of one started for a local store."""
        if self.is_local:
            return "http://127.0.0.1:5000"
        scheme, separator, rest = self.tracking_uri.rstrip("/").partition("://")
        host, slash, path = rest.partition("/")
        return scheme + separator + host.rpartition("@")[2] + slash + path

    @property
    def is_local(self) -> bool:
        """Whether only this machine has it."""
        return not self.tracking_uri.startswith(("http://", "https://", "databricks"))

    @property
    def database(self) -> Path | None:
        """The file of an embedded database; None for a server and any other database."""
        scheme, separator, path = self.tracking_uri.partition(":///")
        return Path(path).absolute() if scheme == "sqlite" and separator else None

    @property
    def is_unmade(self) -> bool:
        """Whether it is an embedded database that has not been made yet."""
        return self.database is not None and not self.database.is_file()

    def prepare(self) -> None:
        """Make the database and its experiments, before any worker could race for it.

        Raises StoreError.
        """
        try:
            if self.database is not None and self.is_unmade:
                make_database(self.database)
            self.ask()
            with few_retries():
                for name in (STAGES, PIPELINES, TICKETS):
                    self.experiment(name)
        except PracError:
            raise
        except Exception as error:
            raise self._unusable(error) from error

    def experiment(self, name: str) -> str:
        """The id of an experiment, made with its description where it isn't there yet."""
        if name not in self._experiments:
            found = self.client.get_experiment_by_name(name)
            if found is None:
                self._experiments[name] = self._create_experiment(name)
            elif found.lifecycle_stage == "deleted":
                # It can be looked up and not written to.
                raise StoreError(
                    f"the experiment {name} of the MLflow store {self.shown_uri} is in the trash; "
                    f"mlflow experiments restore --experiment-id {found.experiment_id} brings it "
                    "back"
                )
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
        file = self.database
        return None if file is None else str(file.parent / "mlruns" / experiment)

    def owns(self, folder: Path) -> bool:
        """Whether a folder of this machine lies beside the embedded database.

        A copied or moved database still names the places of the original: they are not its own.
        """
        file = self.database
        return file is not None and folder.resolve().is_relative_to(
            (file.parent / "mlruns").resolve()
        )

    def ask(self) -> None:
        """See that it answers, without MLflow's minutes of retries. Raises StoreAway."""
        try:
            ask_once(self.tracking_uri)
        except Exception as error:
            raise self._unusable(error) from error

    def _unusable(self, error: Exception) -> StoreAway:
        return StoreAway(
            f"the MLflow store {self.shown_uri} can't be used ({first_line(error)}); "
            "set MLFLOW_TRACKING_URI to a server or database that can be reached"
        )

    def prove(self) -> None:
        """See that what is made can be kept, before it is made. Raises StoreAway."""
        prove(self, (STAGES, PIPELINES, TICKETS))

    @property
    def clients_write(self) -> Path | None:
        """The folder that a server has its clients write artifacts to, each on its own machine (a
        server with `--no-serve-artifacts`); None where it takes them itself."""
        with self.reached():
            root = self.client.get_experiment(self.experiment(STAGES)).artifact_location
        return None if self.is_local else local_folder(root)

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
            told = f"the MLflow store {self.shown_uri} failed ({first_line(error)})"
            raise StoreAway(told) from error

    def search(self, experiment: str, filter_string: str) -> list[Any]:
        """All runs of an experiment that the filter lets pass."""
        return pages(self.client.search_runs, [self.experiment(experiment)], filter_string)


def finished_run(run: Any) -> Finished:
    """What a finished MLflow run stands for. Raises StoreError for one that stands for nothing."""
    tags = run.data.tags
    if why := unreadable(run) or ("" if "prac.key" in tags else "it has no tag prac.key"):
        raise StoreError(f"run {run.info.run_id} is no finished stage: {why}")
    return Finished(
        key=tags["prac.key"],
        name=tags.get("prac.stage", run.info.run_name),
        run_id=run.info.run_id,
        where=run.info.artifact_uri,
        manifest_sha256=tags.get("prac.manifest", ""),
    )
