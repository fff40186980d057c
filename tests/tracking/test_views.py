"""What MLflow shows of tickets: names and order, few tags, charts of one network each."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from prac.lottery.outputs import TicketFacts
from prac.tracking.connection import TICKETS
from prac.tracking.mlflow_internals import VIEW_TAG
from prac.tracking.registry import TicketEntry, list_tickets
from prac.tracking.store import MlflowStore
from prac.tracking.tickets import show_charts
from prac.tracking.views import VIEW, ticket_view


@pytest.fixture
def store(ticket_home: Path, tmp_path: Path) -> MlflowStore:
    """A copy, to write to."""
    home = shutil.copytree(ticket_home, tmp_path / "home")
    return MlflowStore(f"sqlite:///{home / 'mlflow.db'}")


def _runs(store: MlflowStore) -> list[Any]:
    return store.search(TICKETS, "attributes.status = 'FINISHED'")


def _view(store: MlflowStore) -> dict[str, Any]:
    experiment = store.client.get_experiment(store.experiment(TICKETS))
    found: dict[str, Any] = json.loads(experiment.tags[VIEW_TAG + VIEW])
    return found


def _metrics(chart: dict[str, Any]) -> set[str]:
    axes = {chart[axis]["key"] for axis in ("xaxis", "yaxis") if axis in chart}
    return axes | ({chart["metricKey"]} if "metricKey" in chart else set())


def test_the_method_is_first_in_a_run_s_name(store: MlflowStore) -> None:
    names = sorted(run.info.run_name for run in _runs(store))
    assert names[0] == "prac resnet8 48.8 % sparse, digits"
    assert names[-1] == "vanilla resnet8 73.8 % sparse, digits"


def test_few_tags_are_in_sight_and_nothing_is_lost(store: MlflowStore) -> None:
    for run in _runs(store):
        shown = {tag for tag in run.data.tags if not tag.startswith(("mlflow.", "prac."))}
        assert shown == {"architecture", "data", "method"}
    entries = {ticket.run_id: ticket for ticket in list_tickets(store)}
    for version in store.client.search_model_versions("tag.`prac.key` LIKE '%'"):
        shown = version.tags.keys() - {"prac.key", "prac.data"}
        assert {"method", "sparsity"} <= shown
        assert shown <= {"method", "sparsity", "test_accuracy", "validation_accuracy"}
        (run,) = (run for run in _runs(store) if run.info.run_id == version.run_id)
        finished = store.find(run.data.tags["prac.data"], [run.data.tags["prac.key"]])
        facts = store.read(finished[run.data.tags["prac.key"]]).known(TicketFacts)
        _same(entries[version.run_id], facts)


def _same(entry: TicketEntry, facts: TicketFacts) -> None:
    for name in ("data", "architecture", "method", "round", "recipe", "seed"):
        assert getattr(entry, name) == getattr(facts, name), name
    for name in ("weights_alive", "set_size", "search_steps"):
        assert getattr(entry, name) == getattr(facts, name), name
    for name in ("sparsity", "steps_saved", "test_accuracy", "dense_test_accuracy"):
        told, known = getattr(entry, name), getattr(facts, name)
        assert told == known or told == pytest.approx(known, abs=1e-6), name


def test_tickets_of_earlier_versions_are_listed_as_they_were(store: MlflowStore) -> None:
    """They had all of it in tags, and fewer metrics, of four decimals."""
    tags = {"prac.key": "k1", "architecture": "conv4", "data": "digits", "method": "prac"}
    tags |= {"round": "8", "weights_alive": "12394", "set_size": "280", "search_steps": "528"}
    tags |= {"recipe": "digits", "seed": "3", "sparsity": "0.832223", "steps_saved": "0.803571"}
    tags |= {"test_accuracy": "0.988858", "dense_test_accuracy": "0.991643"}
    client = store.client
    run = client.create_run(store.experiment(TICKETS), tags=tags).info
    client.log_metric(run.run_id, "sparsity", 0.8322)
    client.set_terminated(run.run_id, "FINISHED")
    client.create_registered_model("prac-digits-conv4")
    client.create_model_version("prac-digits-conv4", f"{run.artifact_uri}/t", run.run_id, tags=tags)
    (old,) = (t for t in list_tickets(store) if t.model == "prac-digits-conv4")
    assert (old.round, old.weights_alive, old.set_size, old.search_steps) == (8, 12394, 280, 528)
    assert (old.sparsity, old.steps_saved, old.seed) == (0.832223, 0.803571, 3)
    assert (old.test_accuracy, old.dense_test_accuracy) == (0.988858, 0.991643)


def test_a_chart_shows_the_judged_tickets_of_one_network(store: MlflowStore) -> None:
    show_charts(store)
    view, runs = _view(store), _runs(store)
    sections = [section["uuid"] for section in view["compareRunSections"]]
    assert sections == ["prac-digits-vgg8s", "prac-digits-resnet8"]  # the newest first
    assert view["compareRunCharts"]
    for chart in view["compareRunCharts"]:
        drawn = [run for run in runs if run.data.metrics.keys() >= _metrics(chart)]
        network = chart["metricSectionId"].removeprefix("prac-digits-")
        judged = [run for run in runs if run.data.tags["architecture"] == network]
        judged = [run for run in judged if "test_accuracy" in run.data.metrics]
        assert {r.info.run_id for r in drawn} == {r.info.run_id for r in judged} != set()
    # The judged ones lead, method beside method.
    assert (view["orderByKey"], view["orderByAsc"]) == ("metrics.`sparsity`", False)


def test_accuracies_are_charted_in_percent_and_beside_the_dense_network(store: MlflowStore) -> None:
    """Charts show two decimals: fractions all said 0.99 or 1.00."""
    for run in _runs(store):
        known, prefix = run.data.metrics, f"digits-{run.data.tags['architecture']}"
        if "test_accuracy" not in known:
            assert not [name for name in known if "/" in name]
            continue
        assert known[f"{prefix}/test_percent"] == pytest.approx(100 * known["test_accuracy"], 1e-4)
        points = 100 * (known["test_accuracy"] - known["dense_test_accuracy"])
        assert known[f"{prefix}/points_above_dense"] == pytest.approx(points, abs=1e-3)


def test_sparsity_is_an_axis_where_there_are_several() -> None:
    """Of one value alone MLflow draws from 0.8 less to 1 more than it."""
    (text,) = ticket_view({"prac-digits-a": True, "prac-digits-b": False}).values()
    axes = {
        (chart["metricSectionId"], chart["xaxis"]["key"])
        for chart in json.loads(text)["compareRunCharts"]
        if "xaxis" in chart
    }
    assert axes == {
        ("prac-digits-a", "search_steps"),
        ("prac-digits-a", "sparsity"),
        ("prac-digits-b", "search_steps"),
    }


def test_the_view_of_very_many_networks_fits_into_a_tag() -> None:
    models = {f"prac-imagenet-torchvision-regnet-y-3-2gf-{k}": True for k in range(100)}
    (text,) = ticket_view(models).values()
    assert len(text) <= 5000  # the least of MLflow's limits
    view = json.loads(text)
    assert len(view["compareRunSections"]) >= 5
    assert len(view["compareRunCharts"]) == 3 * len(view["compareRunSections"])


def test_the_view_is_written_where_it_changed_alone(
    store: MlflowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    show_charts(store)
    before = _view(store)
    monkeypatch.setattr(store.client, "set_experiment_tag", lambda *_: pytest.fail("written"))
    show_charts(store)
    assert _view(store) == before
