"""Whether a store answers and takes what is to be kept: known in seconds, at the start."""

from __future__ import annotations

import contextlib
import os
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from prac.errors import first_line
from prac.lottery.store import StoreAway
from prac.tracking.mlflow_internals import artifacts

_SECONDS = 10
USED = "prac.used"
"""The tag of an experiment that says when it was last written to."""


@contextlib.contextmanager
def few_retries() -> Iterator[None]:
    """MLflow retries for four minutes by default: too long to learn of a wrong address."""
    quick = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
    added = {name: value for name, value in quick.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


def ask_once(tracking_uri: str) -> None:
    """Ask a server or a database whether it is there. Raises what their libraries raise.

    MLflow asks ten times, with pauses: two minutes without a word.
    """
    parts = urlsplit(tracking_uri)
    if parts.scheme in ("http", "https"):
        import requests  # of servers alone

        # Any answer is one; what is wrong with a certificate depends on MLflow's own settings.
        with contextlib.suppress(requests.exceptions.SSLError):
            url = f"{tracking_uri.rstrip('/')}/health"
            requests.get(url, timeout=_SECONDS, allow_redirects=False, stream=True).close()
    elif parts.scheme.startswith(("postgresql", "mysql")):
        import sqlalchemy  # of databases alone

        # Both kinds' drivers know this name of it.
        limit: dict[str, Any] = {"connect_timeout": _SECONDS}
        engine = sqlalchemy.create_engine(
            tracking_uri, connect_args={} if "connect_timeout" in parts.query else limit
        )
        try:
            engine.connect().close()
        finally:
            engine.dispose()


class _Opened(Protocol):
    """What is used of a connection."""

    tracking_uri: str

    @property
    def shown_uri(self) -> str: ...
    @property
    def client(self) -> Any: ...
    def experiment(self, name: str) -> str: ...


def prove(store: _Opened, experiments: Iterable[str]) -> None:
    """Write to the database, and a file that goes at once to the artifacts of these experiments.

    What can't be kept in the end was computed in vain. Raises StoreAway.
    """
    with few_retries(), tempfile.TemporaryDirectory(prefix="prac-") as scratch:
        proof = Path(scratch) / f"proof-{uuid.uuid4().hex[:8]}"
        proof.write_text("that artifacts can be written")
        for name in experiments:
            what = "its database"
            try:
                number = store.experiment(name)
                store.client.set_experiment_tag(number, USED, datetime.now(UTC).isoformat("T"))
                root = store.client.get_experiment(number).artifact_location
                what = f"the folder of artifacts {root}"
                kept = artifacts(root, store.tracking_uri)
                kept.log_artifact(str(proof))
                with contextlib.suppress(Exception):  # not every store deletes
                    kept.delete_artifacts(proof.name)
            except Exception as error:
                raise StoreAway(
                    f"nothing could be kept in the MLflow store {store.shown_uri}: {what} can't be "
                    f"written ({first_line(error)})"
                ) from error
