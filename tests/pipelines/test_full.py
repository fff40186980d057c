"""The whole pipeline on real local Ray and an embedded MLflow, run once and then again."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.launch import Tracked
from support.left import assert_same, graph_of, left_in_folder, left_in_mlflow, without_places

from prac.cli import main
from prac.lottery.outputs import TRAINED
from prac.ticket.format import Ticket
from prac.tracking.registry import list_tickets
from prac.tracking.store import MlflowStore

ARCHITECTURES = ("resnet8",)  # with BatchNorm, whose statistics depend on shares
METHODS = ("vanilla", "random-subset")
WORDS = (
    *("--architectures", *ARCHITECTURES, "--rounds", "2", "--epochs", "4"),
    *("--compare", *METHODS, "--seeds", "2", "--set", "budget.min_round_epochs=2"),
)
# The process that these are compared with below is alone, and takes both shares.
TWO_WORKERS = ("--workers", "2")

# A minute on two idle cores; the limit is for machines that are busy.
pytestmark = pytest.mark.timeout(1800)


@dataclass(frozen=True)
class Done:
    """A run that has ended."""

    home: Path
    status: int
    summary: dict[str, Any]
    run: Any
    seconds: float


def _ended(launched: Any, home: Path) -> Done:
    started = time.monotonic()
    with launched(home, *WORDS, *TWO_WORKERS, ports=True) as run:
        status = run.wait(1200)
        assert status == 0, run.said()
        assert run.alive() == []
        return Done(home, status, run.summary, run, time.monotonic() - started)


@pytest.fixture(scope="module")
def first(launched: Any, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """The first run, in a home with nothing in it."""
    return _ended(launched, tmp_path_factory.mktemp("first"))


def test_the_last_line(first: Done) -> None:
    summary = first.summary
    assert "/#/experiments/" in summary["mlflow"]
    found = [(s["architecture"], s["method"]) for s in summary["searches"]]
    assert found == [(a, m) for a in ARCHITECTURES for m in ("prac", *METHODS)]
    for entry in summary["searches"]:
        assert [r["sparsity"] for r in entry["rounds"]] == pytest.approx([0, 0.2, 0.36], abs=1e-3)
        assert all(r["set_size"] > 0 for r in entry["rounds"])
        assert [r["steps"] > 0 for r in entry["rounds"]] == [True, True, False]
        assert [r["validation_accuracy"] is not None for r in entry["rounds"]] == [
            True,
            True,
            False,
        ]
        judged = entry["rounds"][2]
        assert 0 < judged["test_accuracy"] <= 1
        assert judged["test_accuracy"] == pytest.approx(sum(judged["test_accuracies"]) / 2)
        assert len(judged["test_accuracies"]) == 2
        expected = 0 if entry["method"] == "vanilla" else pytest.approx(0.3, abs=0.29)
        assert entry["iterations_saved"] == expected
    assert set(summary["dense_test_accuracy"]) == set(ARCHITECTURES)
    by_method = {(s["architecture"], s["method"]): s["rounds"] for s in summary["searches"]}
    for architecture in ARCHITECTURES:
        sizes = {
            method: [r["set_size"] for r in by_method[architecture, method]]
            for method in ("prac", "random-subset")
        }
        assert sizes["prac"] == sizes["random-subset"]


def test_nothing_else_is_said(first: Done) -> None:
    assert first.run.stderr == ""


def test_no_port_was_open_to_the_network(first: Done, loopback: tuple[str, ...]) -> None:
    assert first.run.listened, "Ray listens somewhere: the test has looked in the wrong place"
    assert first.run.listened <= set(loopback)


def test_all_runs_have_finished(first: Done, tracked: Any) -> None:
    runs = tracked(first.home).runs()
    assert {run["status"] for run in runs} == {"FINISHED"}
    runs = [run for run in runs if "prac.key" in run["tags"]]  # not the note of the pipeline
    keys = [run["tags"]["prac.key"] for run in runs]
    assert len(keys) == len(set(keys))
    kinds = {run["tags"]["prac.stage"].partition(":")[0] for run in runs}
    assert {"dense", "reduce", "select", "subset", "round", "judge"} <= kinds


def test_everything_is_in_the_home(first: Done, tracked: Any) -> None:
    assert all(run["folder"].is_relative_to(first.home) for run in tracked(first.home).runs())
    # Checkpoints of finished stages are of no use; the dense run's events are.
    kept = [p.relative_to(first.home) for p in (first.home / "prac-runs").rglob("*.*")]
    assert not [path for path in kept if path.suffix == ".safetensors"]
    assert [path for path in kept if "events" in path.parts]


def test_the_report_is_one_page(first: Done) -> None:
    page = Path(first.summary["report"])
    text = page.read_text()
    assert page.is_relative_to(first.home)
    assert len(text) > 10_000
    assert "resnet8" in text
    # Nothing is loaded from elsewhere.
    loads = re.findall(
        r"<(?:script|link|img|iframe|source)\b[^>]*?(?:src|href)=[\"']([^\"']*)", text
    )
    assert all(where.startswith("data:") for where in loads), [w[:80] for w in loads]
    assert not re.search(r"@import|url\((?![\"']?(?:data:|#))", text)


def test_mlflow_shows_the_sets_round_by_round(first: Done, tracked: Any) -> None:
    (pipeline,) = (r for r in tracked(first.home).runs() if r["id"] == first.summary["run_id"])
    shown = sorted(path.name for path in (pipeline["folder"] / "images").glob("*.png"))
    for architecture in ARCHITECTURES:
        pattern = rf"prac_set_{architecture}\Wstep\W(\d+)\W"
        steps = [found[1] for name in shown if (found := re.match(pattern, name))]
        assert steps == ["1", "2"], shown


def test_tickets_and_aliases(first: Done, monkeypatch: pytest.MonkeyPatch) -> None:
    store = MlflowStore(f"sqlite:///{first.home}/mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.tracking_uri)
    for architecture in ARCHITECTURES:
        name = f"prac-digits-{architecture}"
        versions = store.client.search_model_versions(f"name = '{name}'")
        # PrAC's two, and the judged one of each comparison.
        listed = list_tickets(store, architecture=architecture)
        found = sorted((t.method, t.round) for t in listed)
        assert found == sorted([("prac", 1), ("prac", 2), *((method, 2) for method in METHODS)])
        aliases = store.client.get_registered_model(name).aliases
        assert {"best", "smallest"} <= aliases.keys()
        # Judged with two seeds, so by its mean; what it carries is the first one's network. By
        # validation accuracy: the test split chooses nothing.
        means = [float(v.tags.get("validation_accuracy_mean", 0)) for v in versions]
        best = [v for v, mean in zip(versions, means, strict=True) if mean == max(means)]
        assert {v.tags.get("judging_seeds") for v in versions} == {"2", None}
        taken = Ticket.load(f"models:/{name}@best")
        taken.verify()
        carried = [float(v.tags["test_accuracy"]) for v in best]
        assert taken.lineage["test_accuracy"] in [
            pytest.approx(value, abs=1e-6) for value in carried
        ]
        assert taken.sparsity == pytest.approx(0.36, abs=1e-3)
        assert taken.build() is not None


def test_a_process_leaves_the_same(first: Done, tmp_path: Path) -> None:
    """Neither Ray nor MLflow: the same graph, the same bits, and the same last line."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        assert main(["run", *WORDS, "--executor", "local", "--home", str(tmp_path)]) == 0
    summary = json.loads(said.getvalue().splitlines()[-1])
    assert without_places(summary) == without_places(first.summary)
    alone = left_in_folder(tmp_path, *WORDS)
    _, graph = graph_of(*WORDS)
    assert alone.keys() == {stage.name for stage in graph.stages.values()} - {"report"}
    assert_same(alone, left_in_mlflow(first.home, *WORDS))
    kinds = {name.partition(":")[0] for name, left in alone.items() if left.files}
    assert {"dense", "round", "select", "subset", "judge", "ticket"} <= kinds


def test_every_judgement_is_a_run_of_its_own(first: Done, tracked: Any) -> None:
    runs = tracked(first.home).finished()
    for architecture in ARCHITECTURES:
        names = [f"judge:{architecture}:prac:2", f"judge:{architecture}:prac:2:seed-1"]
        found = [runs[name]["folder"] / TRAINED.name for name in names]
        one, other = (TRAINED.read(path) for path in found)
        assert not all((one[name] == other[name]).all() for name in one)


def test_the_report_shows_what_the_stages_left(first: Done) -> None:
    tables = Path(first.summary["report"]).parent / "tables"
    rows = {
        name: list(csv.DictReader((tables / f"{name}.csv").open()))
        for name in ("thresholds", "masks", "classes", "samples", "seeds", "bills")
    }
    # Two sets of a network for six thresholds; the first is the search's own.
    assert len(rows["thresholds"]) == 2 * 6 * len(ARCHITECTURES)
    sizes = {(s["architecture"], s["round"]): s["set_size"] for s in rows["thresholds"][::6]}
    for entry in first.summary["searches"]:
        if entry["method"] == "prac":
            for index in (1, 2):
                own = entry["rounds"][index]["set_size"]
                assert int(sizes[entry["architecture"], str(index)]) == own
    # Three pairs of methods in two rounds. The first masks of PrAC and its random subset are one.
    assert len(rows["masks"]) == 3 * 2 * len(ARCHITECTURES)
    same = [m for m in rows["masks"] if m["round"] == "1" and m["other"] == "random-subset"]
    assert any(float(m["overlap"]) == 1.0 for m in same)
    assert {s["inside"] for s in rows["samples"]} == {"true", "false"}
    assert all(int(bill["flops"]) > 0 for bill in rows["bills"])
    assert len({s["judging_seed"] for s in rows["seeds"]}) == 2


def test_the_start_of_workers_is_no_time_of_a_search(first: Done) -> None:
    dense = Tracked(first.home).finished()["dense:resnet8:prac"]
    manifest = json.loads((dense["folder"] / "manifest.json").read_text())
    epochs = sum(manifest["facts"]["curves"]["seconds"])
    assert manifest["cost"]["seconds"] == pytest.approx(epochs)


def test_run_again_nothing_is_trained(first: Done, launched: Any, tracked: Any) -> None:
    runs = len(tracked(first.home).runs())
    shutil.rmtree(first.home / "prac-runs")  # not even the events are needed
    again = _ended(launched, first.home)
    assert "every stage is cached: nothing was trained" in again.run.stdout
    assert again.summary == first.summary
    assert Path(again.summary["report"]).is_file()
    assert again.run.listened == set(), "no cluster is needed to show what is there"
    assert len(tracked(first.home).runs()) == runs
    assert again.seconds < first.seconds / 2


def test_transfer_needs_a_source() -> None:
    script = Path(__file__).resolve().parents[2] / "pipelines" / "transfer.py"
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: --transfer-from is needed")
    assert len(done.stderr.splitlines()) == 1
