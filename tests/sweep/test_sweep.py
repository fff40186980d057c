"""Sweeps in a real local Ray: shared stages, a kill, and the numbers of separate runs."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from support.launch import Launch, Tracked, empty_database, launched

SMALL = (
    *("--architectures", "resnet8", "--rounds", "2", "--epochs", "3", "--workers", "1"),
    *("--set", "budget.min_round_epochs=1"),
)

# Two whole sweeps, one of them killed, in a real Ray: minutes.
pytestmark = pytest.mark.slow
THRESHOLDS = (0, 1, 2)
SWEEP = (*SMALL, "--vary", f"select.threshold={','.join(map(str, THRESHOLDS))}")


def new_home(factory: pytest.TempPathFactory, name: str) -> Path:
    home = factory.mktemp(name)
    shutil.copy(empty_database(factory.getbasetemp()), home / "mlflow.db")
    return home


def run(home: Path, *words: str, script: str = "sweep.py") -> Launch:
    with launched(home, *words, script=script) as started:
        assert started.wait() == 0, started.said()
        assert started.stderr == ""
        return started


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which a sweep was killed half-way."""
    home = new_home(tmp_path_factory, "sweep")
    store = Tracked(home)
    with launched(home, *SWEEP, script="sweep.py") as started:
        started.until(lambda: sum("round:" in name for name in store.finished()) >= 1)
        started.kill()
        assert started.alive(patience=120) == []
    assert not list(home.glob("prac-runs/sweeps/*"))
    return home


@pytest.fixture(scope="module")
def swept(home: Path) -> dict[str, Any]:
    """The last line of the same command, given again."""
    summary: dict[str, Any] = run(home, *SWEEP, "--resume").summary
    return summary


def test_a_killed_sweep_goes_on_with_nothing_twice(home: Path, swept: dict[str, Any]) -> None:
    runs = [r for r in Tracked(home).runs() if r["status"] == "FINISHED"]
    stages = [r for r in runs if "prac.stage" in r["tags"]]
    counts = Counter(r["tags"]["prac.key"] for r in stages)
    assert set(counts.values()) == {1}
    names = [r["tags"]["prac.stage"] for r in stages]
    assert sum(name.startswith("dense:") for name in names) == 1
    assert sum(name.startswith("select:resnet8:prac:1:") for name in names) == len(THRESHOLDS)
    assert 0 < swept["stages_run"] < len(stages) - 1


def test_mlflow_has_a_run_for_each_trial_and_one_for_the_sweep(
    home: Path, swept: dict[str, Any]
) -> None:
    runs = Tracked(home).runs()
    mine = [r for r in runs if r["tags"].get("prac.sweep") == swept["sweep"]]
    kinds = Counter((r["tags"]["prac.kind"], r["status"]) for r in mine)
    assert kinds == {("trial", "FINISHED"): len(THRESHOLDS), ("sweep", "FINISHED"): 1}
    folder = next(r["folder"] for r in mine if r["tags"]["prac.kind"] == "sweep")
    files = {"trials.csv", "front.csv", "front.png", "front.svg", "sweep.json"}
    assert files <= {path.name for path in folder.iterdir()}
    assert files <= {path.name for path in Path(swept["folder"]).iterdir()}
    assert [row["state"] for row in swept["trials"]] == ["finished"] * len(THRESHOLDS)
    assert swept["best"]["command"].startswith("python pipelines/full.py ")


@pytest.mark.parametrize("threshold", [0, 1])
def test_a_separate_full_run_finds_the_same(
    threshold: int, swept: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    words = (*SMALL, "--compare", "--set", f"select.threshold={threshold}")
    full = run(new_home(tmp_path_factory, "full"), *words, script="full.py").summary
    rounds = full["searches"][0]["rounds"]
    trial = next(t for t in swept["trials"] if t["label"] == f"select.threshold={threshold}")
    assert trial["test_accuracy"] == rounds[-1]["test_accuracy"]
    assert trial["set_size"] == rounds[-1]["set_size"]
    assert trial["search_steps"] == sum(r["steps"] for r in rounds) == rounds[-1]["search_steps"]
    assert trial["sparsity"] == pytest.approx(rounds[-1]["sparsity"], abs=1e-6)
    assert trial["steps_saved"] == pytest.approx(full["searches"][0]["iterations_saved"])


def test_a_finished_sweep_is_shown_from_the_store(home: Path, swept: dict[str, Any]) -> None:
    again = run(home, *SWEEP)
    assert "the sweep is finished: nothing was trained" in again.stdout
    assert again.summary["trials"] == swept["trials"]


def test_optuna_takes_its_trials_from_the_same_stages(home: Path, swept: dict[str, Any]) -> None:
    pytest.importorskip("optuna")
    summary = run(home, *SWEEP, "--sampler", "optuna", "--trials", "2").summary
    assert summary["stages_run"] == 0
    known = {t["label"]: t["test_accuracy"] for t in swept["trials"]}
    assert all(known[t["label"]] == t["test_accuracy"] for t in summary["trials"])


def after_round_1(home: Path) -> dict[str, float]:
    """Validation accuracy of each trial after round 1, as its run in MLflow has it."""
    with contextlib.closing(sqlite3.connect(home / "mlflow.db")) as db:
        return dict(
            db.execute(
                "select t.value, m.value from metrics m join tags t on t.run_uuid = m.run_uuid "
                "where t.key = 'prac.trial' and m.key = 'round_validation' and m.step = 1"
            )
        )


def test_asha_stops_a_trial_that_is_behind(home: Path, swept: dict[str, Any]) -> None:
    known = after_round_1(home)
    ahead, *_, behind = sorted(known, key=lambda label: -known[label])
    assert known[ahead] > known[behind]
    values = ",".join(label.partition("=")[2] for label in (ahead, behind))
    asha = ("--asha", "--grace", "1", "--concurrency", "1")
    summary = run(home, *SMALL, "--vary", f"select.threshold={values}", *asha).summary
    assert [(t["label"], t["state"]) for t in summary["trials"]] == [
        (ahead, "finished"),
        (behind, "stopped"),
    ]
    assert summary["best"]["settings"] == {"select.threshold": ahead.partition("=")[2]}
    assert summary["stages_run"] == 0
