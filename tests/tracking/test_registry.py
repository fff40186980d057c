"""Finding tickets and sets: filters, order, names; only what a finished stage made counts."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import re
import shutil
import sqlite3
import time
from pathlib import Path

import numpy as np
import pytest
from support.stored import small_stage

from prac.errors import ConfigError, StoreError, TicketError
from prac.lottery.outputs import SET, Made, SetFacts
from prac.selection.prac_set import PracSet, Reason
from prac.tracking.garbage import find_garbage
from prac.tracking.registry import (
    check_files,
    find_set,
    find_ticket,
    list_sets,
    list_tickets,
    read_set,
)
from prac.tracking.store import MlflowStore
from prac.tracking.tickets import download_ticket, update_aliases


@pytest.fixture
def store(ticket_home: Path) -> MlflowStore:
    return MlflowStore(f"sqlite:///{ticket_home / 'mlflow.db'}")


@pytest.fixture
def own_store(ticket_home: Path, tmp_path: Path) -> MlflowStore:
    """A copy to write to."""
    home = shutil.copytree(ticket_home, tmp_path / "home")
    return MlflowStore(f"sqlite:///{home / 'mlflow.db'}")


def test_the_most_accurate_comes_first_and_the_unjudged_last(store: MlflowStore) -> None:
    tickets = list_tickets(store)
    assert len(tickets) == 4
    assert tickets[0].where == "models:/prac-digits-resnet8/1"
    assert "best" in tickets[0].aliases
    assert [t.test_accuracy is None for t in tickets] == [False, False, True, True]


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        ({"architecture": "vgg8s"}, 1),
        ({"method": "vanilla"}, 1),
        ({"data": "cifar10"}, 0),
        ({"min_sparsity": 0.7}, 2),
        ({"min_accuracy": 0.6}, 1),
        ({"limit": 3}, 3),
    ],
)
def test_filters(store: MlflowStore, wanted: dict[str, object], count: int) -> None:
    assert len(list_tickets(store, **wanted)) == count  # type: ignore[arg-type]


def test_orders(store: MlflowStore) -> None:
    by_sparsity = [t.sparsity for t in list_tickets(store, sort="sparsity")]
    assert by_sparsity == sorted(by_sparsity, reverse=True)
    assert list_tickets(store, sort="newest")[0].architecture == "vgg8s"
    names = [(t.architecture, t.method) for t in list_tickets(store, sort="name")]
    assert names == sorted(names)


def test_a_ticket_is_found_by_name_alias_and_version(store: MlflowStore) -> None:
    for name in ("prac-digits-resnet8", "prac-digits-resnet8@best", "prac-digits-resnet8/1"):
        assert find_ticket(store, name) == "models:/prac-digits-resnet8/1"
    assert find_ticket(store, "models:/prac-digits-resnet8/2") == "models:/prac-digits-resnet8/2"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("prac-digits-resnet9", "known: prac-digits-resnet8, prac-digits-vgg8s"),
        ("prac-digits-resnet8@nope", "known: prac-digits-resnet8@best"),
        ("prac-digits-resnet8/9", "known: prac-digits-resnet8/1"),
    ],
)
def test_a_name_that_is_not_known_is_answered_with_those_that_are(
    store: MlflowStore, name: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        find_ticket(store, name)


def test_files_are_those_that_were_registered(store: MlflowStore, tmp_path: Path) -> None:
    where = "models:/prac-digits-resnet8/1"
    folder = Path(shutil.copytree(download_ticket(where, store), tmp_path / "copy"))
    assert check_files(store, where, folder) == 11
    code = folder / "predict_images.py"
    code.write_text(code.read_text() + "\nimport os\n")
    with pytest.raises(TicketError, match=r"predict_images\.py fails its checksum"):
        check_files(store, where, folder)
    code.unlink()
    with pytest.raises(TicketError, match=r"predict_images\.py is missing"):
        check_files(store, where, folder)


def _commit_set(store: MlflowStore, round_index: int, size: int) -> PracSet:
    chosen = PracSet.from_reasons(
        {Reason.FORGOTTEN: np.arange(size), Reason.DISAGREED: np.arange(size // 2, size + 3)}
    )
    facts = SetFacts(set_size=len(chosen), cet_size=size, cep_size=3, overlap=0, digest=str(size))
    name = f"select:resnet8:prac:{round_index}"
    key = hashlib.md5(name.encode()).hexdigest()
    stage = dataclasses.replace(
        small_stage(key, "select"), name=name, architecture="resnet8", round_index=round_index
    )
    made = Made(facts=facts, files={SET: chosen})
    store.commit(stage, made, data="f" * 32, started=time.time())
    return chosen


def test_sets_are_listed_found_and_read(tmp_path: Path, empty_database_file: Path) -> None:
    shutil.copy(empty_database_file, tmp_path / "mlflow.db")
    store = MlflowStore(f"sqlite:///{tmp_path / 'mlflow.db'}")
    store.prepare()
    made = [_commit_set(store, k, 20 - k) for k in (1, 2)]
    entries = list_sets(store)
    assert [(e.round, e.set_size) for e in entries] == [(1, 22), (2, 21)]
    assert [e.round for e in list_sets(store, sort="size")] == [2, 1]
    assert [e.round for e in list_sets(store, round_index=2)] == [2]
    assert not list_sets(store, architecture="vgg8s")
    assert read_set(store, find_set(store, "select:resnet8:prac:1")) == made[0]
    assert find_set(store, entries[1].key[:8]).round == 2
    with pytest.raises(ConfigError, match=entries[0].key[:8]):
        find_set(store, "nothing")


def test_looking_makes_no_experiment(tmp_path: Path, empty_database_file: Path) -> None:
    shutil.copy(empty_database_file, tmp_path / "mlflow.db")
    store = MlflowStore(f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert list_tickets(store) == []
    assert list_sets(store) == []
    assert [e.name for e in store.client.search_experiments()] == ["Default"]


@pytest.mark.parametrize("name", ["prac-digits-resnet8", "prac-digits-resnet8@best"])
def test_where_the_best_can_t_be_read_no_other_is_taken_for_it(
    own_store: MlflowStore, name: str
) -> None:
    best = find_ticket(own_store, name)
    own_store.client.set_model_version_tag("prac-digits-resnet8", best[-1], "sparsity", "nan")
    with pytest.raises(TicketError, match=f"{best} can't be read: tags.sparsity"):
        find_ticket(own_store, name)
    assert find_ticket(own_store, "prac-digits-resnet8/2") == "models:/prac-digits-resnet8/2"
    refused: list[str] = []
    list_tickets(own_store, refused=refused)
    assert len(refused) == 1


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        ("sparsity", "nan"),
        ("sparsity", "NaN"),
        ("sparsity", "-1"),
        ("sparsity", "1e999"),
        ("test_accuracy", "2"),
        ("round", "1.5"),
        ("round", "9" * 400),
        ("seed", "[]"),
        ("set_size", "many"),
    ],
)
def test_a_version_whose_tags_somebody_wrote_is_refused_by_name(
    own_store: MlflowStore, tag: str, value: str
) -> None:
    store = own_store
    ticket = list_tickets(store)[-1]
    store.client.set_model_version_tag(ticket.model, str(ticket.version), tag, value)
    with pytest.raises(TicketError) as info:
        list_tickets(store)
    assert ticket.where in str(info.value)
    assert tag in str(info.value)
    # All others are listed and found; asked for, this one is refused.
    refused: list[str] = []
    assert len(list_tickets(store, refused=refused)) == 3
    assert refused == [str(info.value)]
    assert find_ticket(store, "prac-digits-resnet8@best") == "models:/prac-digits-resnet8/1"
    with pytest.raises(TicketError, match=re.escape(ticket.where)):
        find_ticket(store, f"{ticket.model}/{ticket.version}")
    # No alias goes to what nobody can read, and none is lost.
    if tag in ("sparsity", "test_accuracy"):
        store.client.set_model_version_tag(
            ticket.model, str(ticket.version), "validation_accuracy", "many"
        )
        known = update_aliases(store, ticket.model)
        assert str(ticket.version) not in known.values()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("artifact_uri", None),
        ("artifact_uri", ""),
        ("start_time", "long ago"),
        ("end_time", "soon"),
    ],
)
def test_a_run_that_somebody_wrote_in_the_database_is_one_line_and_no_more(
    own_store: MlflowStore, column: str, value: object
) -> None:
    store = own_store
    tickets = list_tickets(store, sort="name")
    run, file = tickets[0].run_id, store.database
    data = store.client.get_run(run).data.tags["prac.data"]
    keys = {store.client.get_run(t.run_id).data.tags["prac.key"] for t in tickets}
    assert file is not None
    with contextlib.closing(sqlite3.connect(file)) as database, database:
        database.execute(f"UPDATE runs SET {column} = ? WHERE run_uuid = ?", (value, run))
    refused: list[str] = []
    left = list_tickets(store, sort="name", refused=refused)
    assert left == tickets[1:]
    assert len(store.find(data, keys)) == 3
    assert refused == [f"run {run} can't be read: {column} is not as MLflow writes it"]
    # What can't be read is not known to be of no use.
    assert find_garbage(store, None, min_age_seconds=0) == []


def test_a_version_tells_that_its_ticket_was_tested_as_found(own_store: MlflowStore) -> None:
    first, *others = list_tickets(own_store)
    assert (first.as_found, first.judged) == (False, "trained alone")
    own_store.client.set_model_version_tag(first.model, str(first.version), "as_found", "true")
    again, *rest = list_tickets(own_store)
    assert (again.as_found, again.judged) == (True, "as found")
    assert rest == others
    assert rest[-1].judged == ""  # nor was it tested at all


@pytest.mark.parametrize("when", [None, "", "long ago"])
def test_a_version_that_was_made_at_no_time(own_store: MlflowStore, when: object) -> None:
    tickets, file = list_tickets(own_store, sort="name"), own_store.database
    assert file is not None
    with contextlib.closing(sqlite3.connect(file)) as database, database:
        database.execute(
            "UPDATE model_versions SET creation_time = ? WHERE run_id = ?",
            (when, tickets[0].run_id),
        )
    refused: list[str] = []
    assert list_tickets(own_store, sort="name", refused=refused) == tickets[1:]
    assert len(refused) == 1
    assert f"{tickets[0].where} can't be read: tags.created: " in refused[0]


@pytest.mark.parametrize("column", ["artifact_location", "lifecycle_stage"])
def test_an_experiment_without_a_place(own_store: MlflowStore, column: str) -> None:
    file = own_store.database
    assert file is not None
    with contextlib.closing(sqlite3.connect(file)) as database, database:
        database.execute(f"UPDATE experiments SET {column} = NULL")
    assert find_garbage(own_store, None, min_age_seconds=0) == []


@pytest.mark.parametrize("size", [float("inf"), -1.0])
def test_a_size_that_no_set_has_is_refused(own_store: MlflowStore, size: float) -> None:
    store, client = own_store, own_store.client
    known = list_sets(store)
    for key in ({}, {"prac.key": "e" * 32}):
        run = client.create_run(store.experiment("prac-stages"), tags={"kind": "select", **key})
        client.log_metric(run.info.run_id, "set_size", size)
        client.set_terminated(run.info.run_id, "FINISHED")
        if not key:
            assert list_sets(store) == known  # somebody's own run
    with pytest.raises(StoreError, match=f"{run.info.run_id}: the metric set_size"):
        list_sets(store)
    refused: list[str] = []
    assert list_sets(store, refused=refused) == known
    assert len(refused) == 1
    with pytest.raises(StoreError, match=run.info.run_id):
        find_set(store, "e" * 32)
