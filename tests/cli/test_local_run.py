"""`--executor local`: the whole pipeline in this process, with a folder for a store."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import prac
from prac.analysis.results import results_from_json
from prac.cli import main

TINY = ("--executor", "local", "--architectures", "conv4", "--epochs", "1", "--rounds", "1")
WORDS = (*TINY, "--compare", "--gpus", "0")
# What a program that is given a command's words, and modules to look for afterwards, runs.
PROGRAM = """
import json, sys
from prac.cli import main
status = main(sys.argv[2:])
print(json.dumps(sorted(set(sys.argv[1].split(",")) & set(sys.modules))))
sys.exit(status)
"""
# Not installed, as far as this process can see.
HIDING = """
import os, sys
from importlib.machinery import PathFinder

class Hiding(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.partition(".")[0] in os.environ["HIDDEN"].split(","):
            return None
        return super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Hiding
"""


def _prac(*words: str, seek: str = "", **environ: str) -> tuple[list[str], list[str]]:
    """Run `prac WORDS` in a process of its own: what it printed, and what of `seek` it imported."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, seek, *words],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environ},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    *lines, imported = done.stdout.splitlines()
    return lines, json.loads(imported)


def _here(*words: str) -> list[str]:
    """Run `prac WORDS` in this process: what it printed."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        assert main(words) == 0
    return said.getvalue().splitlines()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("local")


@pytest.fixture(scope="module")
def ran(home: Path) -> tuple[list[str], list[str]]:
    """A first run, in a process of its own."""
    seek = "ray,mlflow,psutil,matplotlib"
    return _prac("run", *WORDS, "--home", str(home), seek=seek)


@pytest.fixture
def last(ran: tuple[list[str], list[str]]) -> dict[str, object]:
    """What it printed last."""
    found: dict[str, object] = json.loads(ran[0][-1])
    return found


def test_a_local_run_imports_neither_ray_nor_mlflow(ran: tuple[list[str], list[str]]) -> None:
    assert ran[1] == ["matplotlib"]  # for the report


def test_the_last_line_is_a_pipelines_but_for_mlflow(last: dict[str, object]) -> None:
    assert last.keys() == {
        "run_id",
        "report",
        "search_seed",
        "judging_seeds",
        "dense_test_accuracy",
        "dense_test_accuracies",
        "over_searches",
        "searches",
        "seconds",
    }
    (search,) = last["searches"]  # type: ignore[misc]
    assert (search["architecture"], search["method"]) == ("conv4", "prac")
    assert [row["round"] for row in search["rounds"]] == [0, 1]


def _stored_report(home: Path, last: dict[str, object]) -> Path:
    """The folder of the report's stage: a run's name is its stage's key and what it made."""
    key = str(last["run_id"]).partition("-")[0]
    return home / "prac-runs" / "stages" / key


def test_a_damaged_ticket_is_made_again(
    home: Path, last: dict[str, object], tmp_path: Path
) -> None:
    home = shutil.copytree(home, tmp_path / "copy")
    (weights,) = (home / "prac-runs" / "stages").glob("*/ticket/weights.safetensors")
    good = weights.read_bytes()
    weights.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    lines = _here("run", *WORDS, "--home", str(home))
    said = [line for line in lines if line.endswith("it is made again")]
    assert len(said) == 1, lines
    assert "weights.safetensors fails its checksum of stage ticket:conv4:prac:1" in said[0]
    assert weights.read_bytes() == good
    lines, imported = _prac("run", *WORDS, "--home", str(home), seek="torch")
    assert "every stage is cached: nothing was trained" in lines
    assert imported == []


def test_the_report_is_written_and_kept(home: Path, last: dict[str, object]) -> None:
    page = Path(str(last["report"]))
    assert page.name == "report.html"
    assert page.is_relative_to(home / "prac-runs" / "reports")
    assert "conv4" in page.read_text()
    stored = _stored_report(home, last)
    assert (stored / "report.html").read_bytes() == page.read_bytes()
    results = results_from_json((stored / "results.json").read_text())
    assert [row.test_accuracy for row in results.rows] == [
        row["test_accuracy"]
        for row in last["searches"][0]["rounds"]  # type: ignore[index]
    ]


def test_its_tickets_are_folders_that_load(home: Path, last: dict[str, object]) -> None:
    stored = _stored_report(home, last)
    results = results_from_json((stored / "results.json").read_text())
    (where,) = (row.ticket for row in results.rows if row.ticket is not None)
    ticket = prac.Ticket.load(where)
    ticket.verify()
    assert ticket.sparsity == pytest.approx(0.2, abs=1e-4)
    assert ticket.lineage["method"] == "prac"
    assert Path(where).is_relative_to(stored.parent)


def test_nothing_is_trained_twice(home: Path, ran: tuple[list[str], list[str]]) -> None:
    seek = "ray,mlflow,torch,matplotlib"
    lines, imported = _prac("run", *WORDS, "--home", str(home), seek=seek)
    assert "every stage is cached: nothing was trained" in lines
    assert json.loads(lines[-1]) == json.loads(ran[0][-1])
    assert imported == []
    lines, imported = _prac("plan", *WORDS, "--home", str(home), seek=seek)
    assert any(line.startswith("0 stages to run, 7 cached") for line in lines)
    assert imported == []


@pytest.fixture
def again(home: Path, ran: tuple[list[str], list[str]], tmp_path: Path) -> Path:
    """A copy of what the run left."""
    return Path(shutil.copytree(home, tmp_path / "again"))


def test_another_margin_is_another_verdict(again: Path, last: dict[str, object]) -> None:
    lines = _here("run", *WORDS, "--home", str(again), "--margin", "20")
    run = str(json.loads(lines[-1])["run_id"])
    assert run != last["run_id"]
    (kept,) = (again / "prac-runs" / "stages" / run.partition("-")[0]).rglob("results.json")
    assert results_from_json(kept.read_text()).margin == 0.2
    assert not any("dense:conv4:prac starts" in line for line in lines)


def test_a_search_in_python_goes_on_from_it(again: Path) -> None:
    """EL2N reads what the command's dense training saw."""
    recipe = prac.get_recipe("digits").with_epochs(1).set(search={"rounds": 1})
    recipe = recipe.replace(architectures=("conv4",), compare=("el2n",))
    begun: list[str] = []

    class Heard(type(prac.Local().display)):  # type: ignore[misc]
        def started(self, stage) -> None:
            begun.append(stage.name)

    how = prac.Local(device="cpu", display=Heard())
    found = prac.search(recipe, store=again / "prac-runs", judge="none", how=how)
    assert begun
    assert not [name for name in begun if name.startswith(("dense", "reduce"))]
    assert len(found["el2n"].sets[1]) == len(found.sets[1])


def test_a_lost_page_is_written_again(home: Path, last: dict[str, object]) -> None:
    page = Path(str(last["report"]))
    before = page.read_bytes()
    page.unlink()
    _here("run", *WORDS, "--home", str(home))
    assert page.read_bytes() == before


def test_a_plan_leaves_nothing_behind(tmp_path: Path) -> None:
    home = tmp_path / "home"
    lines, imported = _prac("plan", *WORDS, "--home", str(home), seek="ray,mlflow,torch,sklearn")
    assert any(line.startswith("7 stages to run, 0 cached") for line in lines)
    assert imported == []
    assert not home.exists()


def test_finished_rounds_are_looked_into(home: Path, ran: tuple[list[str], list[str]]) -> None:
    (line,) = _here("stops", *WORDS, "--home", str(home), "--json")
    (search,) = json.loads(line)["searches"]
    assert search["recorded"] == [{"epochs": 1, "steps": 21}]
    (line,) = _here("thresholds", *WORDS, "--home", str(home), "--thresholds", "0", "--json")
    (table,) = json.loads(line)["sets"]
    assert table["rows"][0]["threshold"] == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--workers 1", "--workers is for --executor ray; a local run is one process"),
        ("--min-workers 1", "--min-workers is for --executor ray"),
        ("--gpus-per-worker 1", "--gpus-per-worker is for --executor ray"),
        ("--gpus-per-round 0.5", "--gpus-per-round is for --executor ray"),
        ("--storage-is-shared", "--storage-is-shared is for --executor ray"),
        ("--storage nonsense://x", "storage 'nonsense://x' can't be opened"),
        ("--gpus tpu", "argument --gpus: 'tpu' is not allowed; allowed: auto, 0, 1"),
        ("--gpus 1", "--gpus 1 is not allowed; allowed: 0 to 0; no GPU of this machine"),
        ("--gpus -1", "--gpus must be 0 or more"),
    ],
)
def test_what_a_local_run_would_not_heed_is_refused(command, words: str, said: str) -> None:
    status, out, err = command("run", *TINY, *words.split())
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert said in err
    assert len(err.splitlines()) == 1


def test_mlflows_environment_is_no_matter(tmp_path: Path) -> None:
    away = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "RAY_ADDRESS": "127.0.0.1:9"}
    lines, _ = _prac("plan", *WORDS, "--home", str(tmp_path), **away)
    assert any(line.startswith("7 stages to run, 0 cached") for line in lines)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of grey squares with noise."""
    root = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for label in range(3):
        (root / f"class{label}").mkdir()
        for index in range(40):
            pixels = np.clip(60 + 60 * label + random.normal(0, 50, (8, 8)), 0, 255)
            file = root / f"class{label}" / f"{index}.png"
            Image.fromarray(pixels.astype(np.uint8)).save(file)
    return root


@pytest.mark.parametrize("kept", ["", "matplotlib,rich"])
def test_it_runs_without_what_only_clusters_trackers_and_pages_need(
    pictures: Path, tmp_path: Path, kept: str
) -> None:
    (tmp_path / "sitecustomize.py").write_text(HIDING)
    hidden = {"ray", "mlflow", "sklearn", "psutil", "pandas", "pynvml", "optuna", "shtab"}
    hidden |= {"rich", "matplotlib", "jinja2"} - set(kept.split(","))
    environ = {
        "HIDDEN": ",".join(hidden),
        "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]),
    }
    words = (*WORDS, "--recipe", "digits", "--data", f"folder:{pictures}")
    words = (*words, "--home", str(tmp_path))
    lines, _ = _prac("run", *words, **environ)
    missing = "jinja2" if kept else "matplotlib and jinja2"
    said = f"{missing} not installed: the report is JSON and CSV, without its page"
    assert lines.count(said) == 1
    last = json.loads(lines[-1])
    report = Path(last["report"])
    assert report.is_dir()
    assert not (report / "report.html").exists()
    results = results_from_json((report / "results.json").read_text())
    with open(report / "tables" / "rounds.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(results.rows) == 2
    assert any(line.startswith("conv4: ") for line in lines)  # the verdict
    again, _ = _prac("run", *words, **environ)
    assert "every stage is cached: nothing was trained" in again
    assert json.loads(again[-1]) == last
    plan, _ = _prac("plan", *words, **environ)
    assert sum("cached" in line.split() for line in plan if ":conv4:" in line) == 6
    stops, _ = _prac("stops", *words, **environ)
    assert any("as run" in line for line in stops)


def test_a_plan_tells_the_bytes_that_the_run_leaves(
    last: dict[str, object], home: Path, tmp_path: Path
) -> None:
    words = ("plan", *WORDS, "--home", str(tmp_path / "new"))
    lines, imported = _prac(*words, seek="torch,ray,mlflow")
    told = json.loads(lines[-1])
    # Networks are timed in processes of their own.
    assert imported == []
    assert any(line.startswith("at most ") and "of memory" in line for line in lines)
    assert 0 < told["hours_at_most"] < 1
    assert 0.3e9 < told["memory_bytes"] < 5e9
    planned = told["bytes_left"]
    # Stages and the dense run's events; a ticket was not taken yet by other tests.
    work = home / "prac-runs"
    kept = [work / "stages", *work.glob("*/events")]
    left = sum(file.stat().st_size for k in kept for file in k.rglob("*") if file.is_file())
    assert planned == pytest.approx(left, rel=0.15)
    again = json.loads(_here("plan", *WORDS, "--home", str(home))[-1])
    assert (again["stages_to_run"], again["bytes_left"]) == (0, 0)
    assert (again["hours_at_most"], again["memory_bytes"]) == (None, None)


def test_its_tickets_are_listed_without_mlflow(
    home: Path, last: dict[str, object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines, imported = _prac("tickets", "list", "--home", str(home), "--json", seek="ray,mlflow")
    assert imported == []
    tickets = json.loads(lines[-1])["tickets"]
    assert tickets
    for ticket in tickets:
        loaded = prac.Ticket.load(ticket["where"])
        assert loaded.sparsity == ticket["sparsity"]
        assert loaded.lineage["test_accuracy"] == ticket["test_accuracy"]
    none = _here("tickets", "list", "--home", str(home), "--json", "--architecture", "vgg8s")
    assert json.loads(none[-1]) == {"tickets": [], "refused": []}
    stranger = tmp_path / "prac-runs" / "stages" / "0" / "ticket"
    shutil.copytree(tickets[0]["where"], stranger)
    manifest = stranger / "ticket.json"
    manifest.write_text(manifest.read_text().replace('"set_size":', '"set_size": [], "left":'))
    capsys.readouterr()
    assert main(["tickets", "list", "--home", str(tmp_path)]) == 0
    (said,) = capsys.readouterr().err.splitlines()
    assert "left out" in said
    assert "lineage.set_size" in said
