"""An embedded store that was copied or moved with its artifacts works where it now lies."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support.stored import blob
from support.stored import commit_small as commit

from prac.data.dataset import ImageDataset
from prac.lottery.store import Finished, StoreAway
from prac.ticket.format import Ticket
from prac.tracking.connection import STAGES
from prac.tracking.mlflow_internals import settle_places
from prac.tracking.registry import list_tickets
from prac.tracking.store import MlflowStore
from prac.tracking.tickets import download_ticket

Tree = dict[str, tuple[int, bytes]]


def _tree(folder: Path) -> Tree:
    """Every file: when it was written, and what is in it."""
    return {
        str(p.relative_to(folder)): (p.stat().st_mtime_ns, p.read_bytes())
        for p in folder.rglob("*")
        if p.is_file()
    }


@pytest.fixture
def home(empty_database_file: Path, tmp_path: Path, commit_ticket: Callable[..., Finished]) -> Path:
    """A folder, with a space and a percent sign in its name, with two stages and a ticket."""
    home = tmp_path / "the first 100%"
    home.mkdir()
    shutil.copy(empty_database_file, home / "mlflow.db")
    store = _open(home)
    commit(store, "k1")
    commit(store, "k2")
    commit_ticket(store, round_index=1)
    (ticket,) = list_tickets(store)
    client = store.client
    client.create_registered_model("promoted")
    client.copy_model_version(ticket.where, "promoted")
    return home


def _open(home: Path) -> MlflowStore:
    store = MlflowStore(f"sqlite:///{home / 'mlflow.db'}")
    store.prepare()
    return store


def _works_in(home: Path, digits: ImageDataset) -> None:
    """All that was finished is found and read beside the database, and so is what is added."""
    store = _open(home)
    found = store.find("d1", ["k1", "k2"])
    assert found.keys() == {"k1", "k2"}
    for finished in found.values():
        assert Path(finished.where).is_relative_to(home)
        assert store.read(finished)[blob("a.bin")] == b"hello"
    tickets = list_tickets(store)
    assert sorted(t.model for t in tickets) == ["prac-digits-resnet8", "promoted"]
    for ticket in tickets:
        folder = Path(download_ticket(ticket.where, store))
        assert folder.is_relative_to(home)
        Ticket.load(folder).verify()
    assert Path(commit(store, "k3").where).is_relative_to(home)


def test_a_copy_beside_its_original(home: Path, digits_data: ImageDataset) -> None:
    before = _tree(home)
    later = home.parent / "copy"
    subprocess.run(["cp", "-a", home, later], check=True)
    _works_in(later, digits_data)
    assert _tree(home) == before
    _works_in(home, digits_data)


def test_what_was_moved(home: Path, digits_data: ImageDataset) -> None:
    later = home.parent / "moved"
    subprocess.run(["mv", home, later], check=True)
    _works_in(later, digits_data)
    assert not home.exists()


def test_a_database_without_its_artifacts_keeps_their_places(home: Path) -> None:
    later = home.parent / "copy"
    later.mkdir()
    shutil.copy(home / "mlflow.db", later)
    store = _open(later)
    (found,) = store.find("d1", ["k1"]).values()
    assert Path(found.where).is_relative_to(home)
    # Another store's artifacts beside it are none of its own.
    (later / "mlruns" / STAGES / ("e" * 32)).mkdir(parents=True)
    (found,) = _open(later).find("d1", ["k1"]).values()
    assert Path(found.where).is_relative_to(home)


def test_one_folder_by_two_ways_is_not_moved(home: Path) -> None:
    way = home.parent / "way"
    way.symlink_to(home)
    before = (home / "mlflow.db").read_bytes()
    settle_places(way / "mlflow.db", [STAGES])
    assert (home / "mlflow.db").read_bytes() == before


def test_an_experiment_of_somebody_else_s_keeps_its_place(home: Path) -> None:
    theirs = _open(home).client.create_experiment("theirs", str(home / "mlruns" / "theirs"))
    later = home.parent / "copy"
    shutil.copytree(home, later)
    found = _open(later).client.get_experiment(theirs)
    assert found.artifact_location == str(home / "mlruns" / "theirs")


def test_a_copy_that_can_not_be_written_says_so(home: Path) -> None:
    later = home.parent / "copy"
    shutil.copytree(home, later)
    with sqlite3.connect(later / "mlflow.db") as holder:
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreAway, match="open it once where it can be written") as caught:
            settle_places(later / "mlflow.db", [STAGES])
        assert "\n" not in str(caught.value)
        assert os.fspath(later / "mlflow.db") in str(caught.value)
