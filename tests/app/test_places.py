"""Both places keep a whole pipeline: found again, with its tickets where the report says."""

from __future__ import annotations

import shlex
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from prac import Ticket
from prac.analysis.outcome import collect_results
from prac.analysis.results import Results, results_from_json
from prac.app.options import Options
from prac.app.places import MlflowPlace, Place, open_place, read_found, start_lines
from prac.app.planned import Planned, plan_pipeline
from prac.config.recipes import digits
from prac.lottery.local import LocalEnv, run_local
from prac.lottery.outputs import RESULTS
from prac.lottery.store import Finished
from prac.storage import Folder
from prac.tracking.connection import PIPELINES, TICKETS
from prac.tracking.mlflow_internals import VIEW_TAG
from prac.tracking.views import VIEW


@dataclass(frozen=True)
class Kept:
    """A pipeline that was run in this process and kept in a place."""

    planned: Planned
    place: Place
    results: Results
    report: Finished


@pytest.fixture(scope="module", params=["local", "ray"])
def kept(
    request: pytest.FixtureRequest,
    empty_database_file: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Kept:
    home = tmp_path_factory.mktemp("home")
    shutil.copy(empty_database_file, home / "mlflow.db")
    recipe = digits().replace(architectures=("conv4",), compare=()).with_epochs(1)
    recipe = recipe.replace(search=type(recipe.search)(rounds=1, rewind=recipe.search.rewind))
    options = Options(executor=request.param, home=str(home), seeds=2, gpus=0)
    planned = plan_pipeline(recipe, options)
    place = open_place(planned)
    assert place.found(planned.graph) == {}
    env = LocalEnv(
        data=planned.request.data,
        load=lambda: planned.dataset,
        augment=recipe.augment,
        storage=Folder(home / "work"),
    )
    ran = run_local(planned.graph, env, place.store)
    made = read_found(place, planned.graph)
    results = collect_results(
        planned.request,
        planned.graph,
        made,
        ran.ran,
        dataset=planned.dataset,
        link=place.link(),
        locations=place.tickets(planned.graph),
    )
    pages = home / "pages"
    pages.mkdir()
    (pages / "report.html").write_text("a page")
    stage = planned.graph.stages["report"]
    report = place.keep(stage, results, pages, made, time.time())
    return Kept(planned, place, results, report)


def test_all_is_found_again(kept: Kept) -> None:
    graph = kept.planned.graph
    found = kept.place.found(graph)
    assert found.keys() == {stage.key for stage in graph.stages.values()}
    assert found[graph.stages["report"].key] == kept.report
    text = kept.place.store.read(kept.report)[RESULTS]
    assert results_from_json(text) == kept.results


def test_tickets_are_where_the_report_says(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    if isinstance(kept.place, MlflowPlace):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", kept.place.where)
    (row,) = (row for row in kept.results.rows if row.ticket is not None)
    assert row.ticket is not None
    ticket = Ticket.load(row.ticket)
    assert (ticket.lineage["method"], ticket.lineage["round"]) == ("prac", 1)
    assert any("tickets" in line for line in kept.place.lines())


def test_mlflow_shows_the_pipeline_and_names_its_tickets(kept: Kept) -> None:
    if not isinstance(kept.place, MlflowPlace):
        assert kept.place.link() is None
        return
    client = kept.place.mlflow.client
    run = client.get_run(kept.report.run_id)
    assert run.info.experiment_id == kept.place.mlflow.experiment(PIPELINES)
    files = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert {"report.html", "results.json", "manifest.json"} <= files
    assert any(
        file.path.startswith("images/") for file in client.list_artifacts(run.info.run_id, "images")
    )
    (last,) = (row for row in kept.results.rows if row.round == 1)
    history = client.get_metric_history(run.info.run_id, "conv4.prac/test_accuracy")
    assert {m.step: m.value for m in history}[1] == pytest.approx(last.test_accuracy)
    # That of a ticket is of its judgement.
    assert "conv4.prac/round_validation" in run.data.metrics
    assert "conv4.prac/validation_accuracy" not in run.data.metrics
    assert run.info.run_name == "prac: conv4, digits"
    view = client.get_experiment(kept.place.mlflow.experiment(TICKETS)).tags[VIEW_TAG + VIEW]
    assert "digits-conv4/test_percent" in view
    (version,) = client.search_model_versions("name = 'prac-digits-conv4'")
    assert version.tags["judging_seeds"] == "2"
    assert client.get_registered_model("prac-digits-conv4").aliases


def test_who_is_stopped_while_tickets_are_named_is_not_finished(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Or nobody would name them: a finished report is replayed."""
    place = kept.place
    if not isinstance(place, MlflowPlace):
        pytest.skip("a folder gives no names")
    monkeypatch.setattr(place, "_name_tickets", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    graph = kept.planned.graph
    (tmp_path / "report.html").write_text("a page")
    with pytest.raises(KeyboardInterrupt):
        place.keep(
            graph.stages["report"], kept.results, tmp_path, read_found(place, graph), time.time()
        )
    assert place.found(graph)[graph.stages["report"].key] == kept.report


def test_a_registered_model_that_was_deleted_is_registered_again(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, graph = kept.place, kept.planned.graph
    place.prove()
    if not isinstance(place, MlflowPlace):
        pytest.skip("a folder gives no names")
    client = place.mlflow.client
    (before,) = client.search_model_versions("name = 'prac-digits-conv4'")
    client.delete_registered_model("prac-digits-conv4")
    # A plan leaves everything as it is; a run names its tickets anew with the report.
    assert place.found(graph, plan=True).keys() == {s.key for s in graph.stages.values()}
    assert place.tickets(graph) == {}
    assert graph.stages["report"].key not in place.found(graph)
    (after,) = client.search_model_versions("name = 'prac-digits-conv4'")
    assert (after.source, after.description) == (before.source, before.description)
    # The deviations are told with the report, which comes anew.
    kinds = ("prac.key", "prac.data", "method", "sparsity", "test_accuracy", "validation_accuracy")
    assert [after.tags[k] for k in kinds] == [before.tags[k] for k in kinds]
    assert client.get_registered_model("prac-digits-conv4").tags["architecture"] == "conv4"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", place.where)
    (where,) = place.tickets(graph).values()
    Ticket.load(where).verify()
    # All is as it was: nothing is registered a third time.
    assert graph.stages["report"].key in place.found(graph)


def test_the_command_that_serves_a_store_can_be_copied(tmp_path: Path) -> None:
    database = tmp_path / "my runs (old)" / "mlflow.db"
    mlflow: Any = SimpleNamespace(is_local=True, database=database)
    (line,) = start_lines(mlflow)
    words = shlex.split(line.removeprefix("         start it: "))
    assert words == ["mlflow", "server", "--backend-store-uri", f"sqlite:///{database}"]
