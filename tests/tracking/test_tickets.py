"""Tickets as versions of registered models: tags, aliases, and taking one away again."""

from __future__ import annotations

import re
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
import torch
from support.stored import small_stage

from prac import Mask
from prac.errors import TicketError
from prac.lottery.outputs import Facts, Made
from prac.lottery.store import seal
from prac.ticket.format import Ticket
from prac.tracking.connection import TICKETS
from prac.tracking.shown import Shown
from prac.tracking.store import MlflowStore
from prac.tracking.tickets import (
    download_ticket,
    model_name,
    model_of,
    note_seeds,
    register,
    ticket_locations,
    update_aliases,
)


@pytest.mark.parametrize(
    ("data", "architecture", "name"),
    [
        ("digits", "resnet8", "prac-digits-resnet8"),
        ("my data (v1.2)", "torchvision:resnet18", "prac-my-data-v1-2--torchvision-resnet18"),
        ("cifar10", "package.module:net", "prac-cifar10-package-module-net"),
        ("größe", "a@b/c%d", "prac-gr-e-a-b-c-d"),
    ],
)
def test_names_that_mlflow_takes(data: str, architecture: str, name: str) -> None:
    assert model_name(data, architecture) == name


def _ticket() -> Ticket:
    torch.manual_seed(0)
    weight = torch.randn(4, 1, 3, 3)
    return Ticket.of(
        Mask({"conv.weight": weight.abs() > 0.5}),
        {"conv.weight": weight, "fc.weight": torch.randn(2, 4)},
        {"architecture": "conv4", "round": 1},
    )


def _register(store: MlflowStore, folder: Path, name: str, key: str, **tags: object) -> str:
    """A ticket committed as a stage does it; returns the run's id."""
    _ticket().save(folder / "ticket")
    stage = small_stage(key, "ticket")
    seal(folder, stage, Made(facts=Facts()))
    texts = {"architecture": "conv4", "data": "digits", **{k: str(v) for k, v in tags.items()}}
    return store.log(
        stage,
        folder,
        Shown(title=f"ticket {key}", tags=texts),
        data="d1",
        started=time.time(),
        before_finish=register(store, name, key, "**ticket** {}".format, texts),
    ).run_id


def test_a_version_with_tags_and_descriptions(any_store: MlflowStore, tmp_path: Path) -> None:
    name = f"prac-digits-conv4-{uuid.uuid4().hex[:6]}"
    run_id = _register(any_store, tmp_path / "made", name, "k1", sparsity=0.2, method="prac")
    model = any_store.client.get_registered_model(name)
    assert model.tags == {"architecture": "conv4", "data": "digits"}
    assert f"models:/{name}@best" in model.description
    (version,) = any_store.client.search_model_versions(f"name = '{name}'")
    assert version.run_id == run_id
    assert version.description == f"**ticket** models:/{name}/{version.version}"
    assert version.tags["prac.key"] == "k1"
    assert version.tags["sparsity"] == "0.2"
    assert version.tags["method"] == "prac"
    assert ticket_locations(any_store, name) == {"k1": f"models:/{name}/{version.version}"}


def test_a_version_that_a_killed_process_left_is_replaced(
    store: MlflowStore, tmp_path: Path
) -> None:
    _register(store, tmp_path / "1", "m", "k1", sparsity=0.2)
    _register(store, tmp_path / "2", "m", "k2", sparsity=0.36)
    again = _register(store, tmp_path / "3", "m", "k1", sparsity=0.2)
    versions = store.client.search_model_versions("name = 'm'")
    assert {v.tags["prac.key"]: (v.version, v.run_id == again) for v in versions} == {
        "k1": (3, True),
        "k2": (2, False),
    }
    assert ticket_locations(store, "m") == {"k1": "models:/m/3", "k2": "models:/m/2"}


# Sparsity, validation accuracy, test accuracy, by version.
_TABLE = [
    (0.20, 0.95, 0.99),  # 1: the best on the test split, which chooses nothing
    (0.36, 0.9501, 0.96),
    (0.488, 0.96, 0.90),  # 3: the best on validation
    (0.5904, 0.95, 0.96),
    (0.7379, None, None),  # 5: not judged
]
_Row = tuple[float, float | None, float | None]


def _tags(sparsity: float, validation: float | None, test: float | None) -> dict[str, str]:
    known = {"sparsity": sparsity, "validation_accuracy": validation, "test_accuracy": test}
    return {name: f"{value:.6f}" for name, value in known.items() if value is not None}


def _versions(store: MlflowStore, name: str, table: list[_Row]) -> None:
    store.client.create_registered_model(name)
    for row in table:
        _add_version(store, name, row)


def _add_version(store: MlflowStore, name: str, row: _Row) -> None:
    # A server takes only what lies among the artifacts of a run.
    run = store.client.create_run(store.experiment(TICKETS)).info
    store.client.create_model_version(
        name, source=f"{run.artifact_uri}/ticket", run_id=run.run_id, tags=_tags(*row)
    )


def test_aliases_of_a_small_table(any_store: MlflowStore) -> None:
    name = f"table-{uuid.uuid4().hex[:6]}"
    _versions(any_store, name, _TABLE)
    chosen = {"recommended": f"models:/{name}/2", "sparsest-matching": None}
    expected = {"recommended": "2", "best": "3", "smallest": "5"}
    assert update_aliases(any_store, name, chosen) == expected
    for alias, version in expected.items():
        assert str(any_store.client.get_model_version_by_alias(name, alias).version) == version
    # A sparser one comes, and three seeds say that one matches: only what they deserve moves.
    _add_version(any_store, name, (0.7902, 0.955, 0.96))
    chosen = {"recommended": f"models:/{name}/2", "sparsest-matching": f"models:/{name}/4"}
    assert update_aliases(any_store, name, chosen) == {
        "recommended": "2",
        "sparsest-matching": "4",
        "best": "3",
        "smallest": "6",
    }
    # What is no longer said is taken back.
    update_aliases(any_store, name, {"recommended": None, "sparsest-matching": None})
    model = any_store.client.get_registered_model(name)
    assert {alias: str(v) for alias, v in model.aliases.items()} == {"best": "3", "smallest": "6"}


def test_means_over_seeds_count_where_they_are_known(any_store: MlflowStore) -> None:
    name = f"seeds-{uuid.uuid4().hex[:6]}"
    # One judgement says that the second is the best.
    _versions(any_store, name, [(0.2, 0.94, 0.94), (0.36, 0.96, 0.96)])
    assert update_aliases(any_store, name)["best"] == "2"
    for version, accuracies in (("1", (0.94, 0.95, 0.96)), ("2", (0.96, 0.92, 0.91))):
        known = {
            "test_accuracy": accuracies,
            "validation_accuracy": tuple(accuracy - 0.01 for accuracy in accuracies),
            "dense_test_accuracy": (0.95, 0.96, 0.97),
        }
        note_seeds(any_store, f"models:/{name}/{version}", known)
    tags = any_store.client.get_model_version(name, "2").tags
    assert tags["test_accuracy"] == "0.960000"  # of the network that the version carries
    assert (tags["test_accuracy_mean"], tags["judging_seeds"]) == ("0.930000", "3")
    # Deviations 0.03, -0.01, -0.02: sqrt(0.0014 / 2).
    assert tags["test_accuracy_std"] == "0.026458"
    assert tags["dense_test_accuracy_mean"] == "0.960000"
    assert tags["validation_accuracy_mean"] == "0.920000"
    assert update_aliases(any_store, name) == {"best": "1", "smallest": "2"}


def test_ties_go_to_the_sparser_then_to_the_newer(store: MlflowStore) -> None:
    _versions(store, "m", [(0.2, 0.9, 0.9), (0.36, 0.9, 0.9), (0.36, 0.9, 0.9), (0.2, 0.9, 0.9)])
    assert set(update_aliases(store, "m").values()) == {"3"}


def test_aliases_where_nothing_was_judged_or_is_there(store: MlflowStore) -> None:
    _versions(store, "m", [(0.2, None, None), (0.36, None, None)])
    assert update_aliases(store, "m") == {"smallest": "2"}
    assert update_aliases(store, "not-there") == {}
    assert ticket_locations(store, "not-there") == {}


def _of_data(store: MlflowStore, folder: Path, name: str, data: str, accuracy: float) -> str:
    """A ticket registered as a pipeline on this data does it; the model that it is in."""
    _ticket().save(folder / "ticket")
    stage = small_stage(f"{data}-{folder.name}", "ticket")
    seal(folder, stage, Made(facts=Facts()))
    texts = _tags(0.2, accuracy, accuracy)
    where: list[str] = []
    done = register(store, name, stage.key, lambda w: where.append(w) or "told", texts, (), data)
    told = Shown(title="ticket", tags=texts)
    store.log(stage, folder, told, data=data, started=time.time(), before_finish=done)
    return where[0].removeprefix("models:/").partition("/")[0]


def test_data_sets_of_one_name_have_a_model_each(any_store: MlflowStore, tmp_path: Path) -> None:
    name = model_name(uuid.uuid4().hex[:6], "conv4")
    ours, theirs = "a" * 32, "b" * 32
    assert _of_data(any_store, tmp_path / "1", name, ours, 0.8) == name
    assert _of_data(any_store, tmp_path / "2", name, theirs, 0.9) == f"{name}-bbbbbbbb"
    assert _of_data(any_store, tmp_path / "3", name, ours, 0.7) == name
    assert update_aliases(any_store, name)["best"] == "1"
    assert update_aliases(any_store, f"{name}-bbbbbbbb")["best"] == "1"
    data_name = name.split("-")[1]
    for data, model in ((ours, name), (theirs, f"{name}-bbbbbbbb"), ("c" * 32, f"{name}-cccccccc")):
        assert model_of(any_store, data_name, "conv4", data) == model
    assert model_of(any_store, data_name, "vgg16", theirs) == model_name(data_name, "vgg16")


def test_a_model_of_an_earlier_version_is_its_first_ticket_s_data_s(
    store: MlflowStore, tmp_path: Path
) -> None:
    """And a version of other data, or of none, takes no alias there."""
    name = "prac-digits-conv4"
    _of_data(store, tmp_path / "1", name, "a" * 32, 0.8)
    _of_data(store, tmp_path / "2", name, "a" * 32, 0.7)
    store.client.delete_registered_model_tag(name, "prac.data")
    for version in (1, 2):
        store.client.delete_model_version_tag(name, str(version), "prac.data")
    other = _of_data(store, tmp_path / "3", name, "b" * 32, 0.99)
    assert other == f"{name}-bbbbbbbb"
    store.client.copy_model_version(f"models:/{other}/1", name)
    _add_version(store, name, (0.9, 1.0, 1.0))
    assert model_of(store, "digits", "conv4", "a" * 32) == name
    chosen = {"recommended": f"models:/{name}/3"}
    assert update_aliases(store, name, chosen) == {"best": "1", "smallest": "1"}


def test_a_ticket_is_taken_by_version_and_by_alias(
    any_store: MlflowStore, tmp_path: Path, monkeypatch
) -> None:
    name = f"prac-digits-conv4-{uuid.uuid4().hex[:6]}"
    _register(any_store, tmp_path / "made", name, "k1", sparsity=0.2, validation_accuracy=0.9)
    update_aliases(any_store, name)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", any_store.tracking_uri)
    made = _ticket()
    for where in (f"models:/{name}/1", f"models:/{name}@best", f"models:/{name}@smallest"):
        taken = Ticket.load(where)
        taken.verify()
        assert taken.mask.distance(made.mask) == 0
        assert all(torch.equal(taken.weights[n], w) for n, w in made.weights.items())
        assert taken.lineage == made.lineage


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("models:/", "is no ticket's name"),
        ("models:/m", "is no ticket's name"),
        ("models:/m/latest", "is no ticket's name"),
        ("models:/m@", "is no ticket's name"),
        ("models:/m@two words", "is no ticket's name"),
        ("models:/not-there/1", "can't be fetched"),
        ("models:/not-there@best", "can't be fetched"),
        ("runs:/1234/ticket", "nothing opens runs:/; known: a folder, models"),
        ("/no/such/folder", "holds no ticket"),
    ],
)
def test_bad_names_are_one_line(store: MlflowStore, monkeypatch, where: str, said: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.tracking_uri)
    with pytest.raises(TicketError, match=re.escape(said)) as caught:
        Ticket.load(where)
    assert "\n" not in str(caught.value)
    assert where in str(caught.value)


def test_without_a_store_none_is_made(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TicketError, match="set MLFLOW_TRACKING_URI"):
        download_ticket("models:/m@best")
    assert list(tmp_path.iterdir()) == []


_TAKES = """
import sys, tempfile
tempfile.tempdir = sys.argv[2]
from prac.ticket.format import Ticket
from prac.tracking.connection import Connection
from prac.tracking.tickets import download_ticket
folder = download_ticket(sys.argv[3], Connection(sys.argv[1]))
Ticket.load(folder).verify()
print(folder)
"""


def test_a_ticket_of_a_server_leaves_no_copy_behind(server: str, tmp_path: Path) -> None:
    store = MlflowStore(server)
    store.prepare()
    name = f"prac-digits-conv4-{uuid.uuid4().hex[:6]}"
    _register(store, tmp_path / "made", name, "k1")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    words = [sys.executable, "-c", _TAKES, server, str(scratch), f"models:/{name}/1"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(scratch))
    assert list(scratch.iterdir()) == []
