"""A store that is down, full or in the trash is known in seconds, before anything is computed."""

from __future__ import annotations

import contextlib
import shutil
import socket
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow.utils.file_utils import local_file_uri_to_path

from prac.errors import ConfigError, StoreError
from prac.lottery.store import StoreAway
from prac.tracking import reach
from prac.tracking.address import default_tracking_uri
from prac.tracking.connection import STAGES, TICKETS, Connection
from prac.tracking.local import local_folder


@pytest.fixture
def store(empty_database_file: Path, tmp_path: Path) -> Connection:
    """An embedded store with its experiments."""
    shutil.copy(empty_database_file, tmp_path / "mlflow.db")
    store = Connection(f"sqlite:///{tmp_path / 'mlflow.db'}")
    store.prepare()
    return store


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A service that takes connections and never says a word."""
    with socket.socket() as there:
        there.bind(("127.0.0.1", 0))
        there.listen()
        yield there.getsockname()[1]


@pytest.mark.parametrize("scheme", ["http", "postgresql"])
@pytest.mark.parametrize("listens", [True, False])
def test_a_server_that_is_down_is_known_in_seconds(
    scheme: str, listens: bool, silent_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if scheme == "postgresql":
        pytest.importorskip("psycopg", reason="needs a driver of PostgreSQL")
    monkeypatch.setattr(reach, "_SECONDS", 2)  # the least that PostgreSQL's driver allows
    started = time.monotonic()
    port = silent_port if listens else 1
    with pytest.raises(StoreAway, match="set MLFLOW_TRACKING_URI") as raised:
        Connection(f"{scheme}://me:secret@127.0.0.1:{port}/db").prepare()
    with pytest.raises(StoreAway, match="set MLFLOW_TRACKING_URI"):
        Connection(f"{scheme}://127.0.0.1:{port}/db").ask()
    assert time.monotonic() - started < 15
    assert "secret" not in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


def test_an_experiment_in_the_trash_is_named_with_the_way_back(store: Connection) -> None:
    number = store.experiment(TICKETS)
    store.client.delete_experiment(number)
    again = Connection(store.tracking_uri)
    with pytest.raises(StoreError, match=f"restore --experiment-id {number} brings it back"):
        again.prepare()
    store.client.restore_experiment(number)
    again.prepare()


def test_a_store_that_can_be_written_is_left_as_it_was(store: Connection, tmp_path: Path) -> None:
    store.prove()
    assert [path for path in (tmp_path / "mlruns").rglob("*") if path.is_file()] == []
    assert store.client.search_runs([store.experiment(STAGES)]) == []


def test_a_database_that_cannot_be_written_is_known_before(
    store: Connection, tmp_path: Path
) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
        database.execute(
            "CREATE TRIGGER no BEFORE INSERT ON experiment_tags BEGIN "
            "SELECT RAISE(ABORT, 'attempt to write a readonly database'); END"
        )
    with pytest.raises(StoreAway, match=r"its database can't be written .*readonly"):
        store.prove()


def test_artifacts_that_cannot_be_written_are_known_before(
    store: Connection, tmp_path: Path
) -> None:
    # Root may write anywhere, but not below a file.
    (tmp_path / "mlruns").mkdir(exist_ok=True)
    shutil.rmtree(tmp_path / "mlruns" / STAGES, ignore_errors=True)
    (tmp_path / "mlruns" / STAGES).write_text("")
    with pytest.raises(StoreAway, match=r"the folder of artifacts .*can't be written"):
        store.prove()


def test_a_server_whose_clients_write_artifacts_says_where(
    store: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store.clients_write is None
    monkeypatch.setattr(Connection, "is_local", False)
    assert store.clients_write == tmp_path / "mlruns" / STAGES


@pytest.mark.parametrize(
    "uri", ["file:///mnt/my%20disk", "file:/mnt/a%23b", "/mnt/a b", "/mnt/100% ours"]
)
def test_a_folder_is_where_mlflow_has_it(uri: str) -> None:
    assert local_folder(uri) == Path(local_file_uri_to_path(uri))


@pytest.mark.parametrize(
    "uri", ["s3://bucket/a", "mlflow-artifacts:/a", "file://host/a", "file:a", "a/b"]
)
def test_a_place_elsewhere_is_no_folder(uri: str) -> None:
    assert local_folder(uri) is None


def test_artifacts_in_a_folder_with_a_space_are_read_where_they_are(
    store: Connection, tmp_path: Path
) -> None:
    where = (tmp_path / "my disk").as_uri()
    assert "%20" in where
    number = store.client.create_experiment("there", artifact_location=where)
    run = store.client.create_run(number)
    store.client.log_text(run.info.run_id, "words", "note.txt")
    folder = local_folder(run.info.artifact_uri)
    assert folder is not None
    assert (folder / "note.txt").read_text() == "words"


@pytest.mark.parametrize("name", ["a?b", "a%41b", "what%20is"])
def test_a_folder_whose_name_an_address_cannot_hold_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(ConfigError, match="use a folder of another name"):
        default_tracking_uri(tmp_path / name)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://there")
    assert default_tracking_uri(tmp_path / name) == "http://there"


@pytest.mark.parametrize(
    "address",
    [
        *("http://", "https://:5000", "http://[::1", "http://host:port", "http://host:99999"),
        *("sqlite:", "sqlite:mlflow.db", "sqlite://", "sqlite:///", "postgresql:host/x"),
        *("foo://x", "ftp://host", "http:host", "htttp://joe:secret@host"),
    ],
)
def test_what_is_no_address_is_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    with pytest.raises(ConfigError, match=r"is no address of a store; allowed: http") as refused:
        default_tracking_uri()
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "address",
    [
        *("http://host", "https://joe:secret@host:5000/sub", "http://[::1]:5000", "HTTP://host"),
        *("sqlite:///mlflow.db", "sqlite:////tmp/x.db", "postgresql+psycopg://joe@host/mlflow"),
        *("postgresql://", "mysql+pymysql://host/x", "databricks", "databricks://profile"),
    ],
)
def test_addresses_are_taken_as_they_are(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    assert default_tracking_uri() == address


@pytest.mark.parametrize("name", ["a b", "100% ours", "a#b", "\u00e9\u2014", "it's"])
def test_other_names_hold_a_store(
    name: str, store: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    (tmp_path / name).mkdir()
    shutil.copy(tmp_path / "mlflow.db", tmp_path / name)
    other = Connection(default_tracking_uri(tmp_path / name))
    other.prepare()
    other.prove()
    assert (tmp_path / name / "mlruns" / STAGES).is_dir()
