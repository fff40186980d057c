"""The Pareto front of a sweep: which trials are on it, and that table, files and figure agree."""

from __future__ import annotations

import csv
import dataclasses
import io
from pathlib import Path

import pytest
from rich.console import Console

from prac.analysis.trials import SweepResults, TrialRow, best_trial
from prac.report.figures.front import pareto_front
from prac.report.front import print_front, write_front


def trial(
    number: int, test: float | None, steps: int, size: int | None, **more: object
) -> TrialRow:
    values = {
        "trial": number,
        "label": f"select.threshold={number}",
        "architecture": "resnet8",
        "state": "finished",
        "rounds": 3,
        "test_accuracy": test,
        "validation_accuracy": test,
        "search_steps": steps,
        "steps_saved": 0.5,
        "set_size": size,
        "sparsity": 0.488,
    }
    return TrialRow(**{**values, **more})  # type: ignore[arg-type]


ROWS = (
    trial(1, 0.95, 300, 50),
    trial(2, 0.90, 200, 70),
    trial(3, 0.89, 250, 40),
    trial(4, 0.95, 300, 60),
    trial(5, None, 100, 10, state="stopped", rounds=2, validation_accuracy=None),
    trial(6, None, 90, None, state="empty", note="the set is empty", validation_accuracy=None),
)


@pytest.fixture
def swept() -> SweepResults:
    return SweepResults(
        sweep="ab" * 16,
        title="resnet8 on digits: select.threshold",
        num_training_samples=1000,
        rows=ROWS,
        dense_test_accuracy={"resnet8": 0.96},
        best=best_trial(ROWS),
    )


def test_the_test_split_chooses_nothing(swept: SweepResults) -> None:
    # Trial 3 has the best test accuracy by far, and is no better on validation.
    rows = tuple(dataclasses.replace(r, test_accuracy=0.5 if r.trial != 3 else 1.0) for r in ROWS)
    turned = dataclasses.replace(swept, rows=rows, best=best_trial(rows))
    for cost in ("search_steps", "set_size"):
        assert [r.trial for r in turned.front("resnet8", cost)] == [
            r.trial for r in swept.front("resnet8", cost)
        ]
    assert turned.best == swept.best


def test_no_other_trial_beats_one_on_the_front(swept: SweepResults) -> None:
    assert [r.trial for r in swept.front("resnet8", "search_steps")] == [2, 1, 4]
    assert [r.trial for r in swept.front("resnet8", "set_size")] == [3, 1]


def test_the_best_is_chosen_on_validation_then_by_steps() -> None:
    rows = (
        trial(1, 0.99, 300, 50, validation_accuracy=0.90),
        trial(2, 0.80, 300, 50, validation_accuracy=0.95),
        trial(3, 0.70, 200, 50, validation_accuracy=0.95),
    )
    assert best_trial(rows) == 3
    assert best_trial(ROWS[4:]) is None


def test_the_best_counts_all_architectures() -> None:
    other = [dataclasses.replace(row, architecture="vgg8s") for row in ROWS[:2]]
    rows = (*ROWS[:2], dataclasses.replace(other[0], validation_accuracy=0.5), other[1])
    assert best_trial(rows) == 2
    assert best_trial((*ROWS[:2], other[1])) in (1, 2)


def test_json_keeps_everything(swept: SweepResults) -> None:
    assert SweepResults.from_json(swept.to_json()) == swept


def test_table_says_what_ended_how(swept: SweepResults) -> None:
    console = Console(width=200, record=True, file=io.StringIO())
    print_front(swept, console)
    text = console.export_text()
    assert "*1" in text
    assert "stopped after 2 rounds" in text
    assert "empty: the set is empty" in text
    assert "steps and set size" in text


def test_table_says_that_the_space_has_fewer_points_than_trials(swept: SweepResults) -> None:
    def printed(results: SweepResults) -> str:
        console = Console(width=200, record=True, file=io.StringIO())
        print_front(results, console)
        return console.export_text()

    assert "points" not in printed(swept)
    small = dataclasses.replace(swept, num_points=6)
    assert "the space has 6 points, fewer than --trials: each is tried once" in printed(small)


def test_files_hold_every_trial_and_mark_the_front(swept: SweepResults, tmp_path: Path) -> None:
    paths = {path.name: path for path in write_front(swept, tmp_path)}
    assert set(paths) == {"trials.csv", "front.csv", "thresholds.csv", "front.png", "front.svg"}
    rows = list(csv.DictReader(paths["trials.csv"].open()))
    assert [row["trial"] for row in rows] == ["1", "2", "3", "4", "5", "6"]
    assert rows[4]["test_accuracy"] == ""
    front = {r["trial"]: r for r in csv.DictReader(paths["front.csv"].open())}
    assert set(front) == {"1", "2", "3", "4"}
    assert (front["3"]["on_steps_front"], front["3"]["on_set_front"]) == ("false", "true")
    assert front["1"]["best"] == "true"
    assert paths["front.png"].read_bytes().startswith(b"\x89PNG")
    assert 'xmlns="http://www.w3.org/2000/svg"' in paths["front.svg"].read_text()


def _swept_by(swept: SweepResults, *labels: str) -> SweepResults:
    rows = zip(ROWS, labels, strict=False)
    return dataclasses.replace(
        swept, rows=tuple(dataclasses.replace(row, label=label) for row, label in rows)
    )


def test_a_sweep_of_the_threshold_alone_has_accuracy_by_threshold(
    swept: SweepResults, tmp_path: Path
) -> None:
    """The columns of the published table; 10 comes after 2, a trial that ended early is out."""
    labels = [f"select.threshold={limit}" for limit in (10, 2, 0, 4, 6, 8)]
    results = _swept_by(swept, *labels)
    write_front(results, tmp_path)
    rows = list(csv.DictReader((tmp_path / "thresholds.csv").open()))
    assert [tuple(row.values()) for row in rows] == [
        ("resnet8", "0", "0.488", "40", "250", "0.89"),
        ("resnet8", "2", "0.488", "70", "200", "0.9"),
        ("resnet8", "4", "0.488", "60", "300", "0.95"),
        ("resnet8", "10", "0.488", "50", "300", "0.95"),
    ]
    console = Console(width=200, record=True, file=io.StringIO())
    print_front(results, console)
    told = console.export_text().split("Accuracy by threshold")[1].splitlines()
    lines = [line.replace("│", " ").split() for line in told if "resnet8" in line]
    assert lines[0] == ["resnet8", "0", "48.80", "%", "40", "(4.0", "%)", "250", "89.00", "%"]
    assert [line[1] for line in lines] == ["0", "2", "4", "10"]


def test_other_sweeps_have_no_accuracy_by_threshold(swept: SweepResults, tmp_path: Path) -> None:
    both = ("select.threshold=0 select.cep=false", "select.threshold=2 select.cep=true")
    for labels in (both, ("select.score=el2n", "select.score=margin")):
        names = {path.name for path in write_front(_swept_by(swept, *labels), tmp_path / labels[0])}
        assert "thresholds.csv" not in names
        console = Console(width=200, record=True, file=io.StringIO())
        print_front(_swept_by(swept, *labels), console)
        assert "Accuracy by threshold" not in console.export_text()


def test_figure_draws_the_front_the_rest_and_the_best(swept: SweepResults) -> None:
    figure = pareto_front(swept)
    steps, sets = (
        {line.get_gid(): list(map(tuple, line.get_xydata())) for line in ax.lines}
        for ax in figure.axes
    )
    assert steps["front"] == [(200, 90), (300, 95), (300, 95)]
    assert steps["beaten"] == [(250, 89)]
    assert sets["front"] == [(40, 89), (50, 95)]
    assert sets["best"] == [(50, 95)]
    assert any("and 1 more" in text.get_text() for text in figure.axes[0].texts)


def test_a_sweep_without_a_finished_trial_still_has_a_figure(tmp_path: Path) -> None:
    results = SweepResults(
        sweep="0" * 32,
        title="none",
        num_training_samples=10,
        rows=ROWS[4:],
        dense_test_accuracy={},
        best=None,
    )
    assert len(write_front(results, tmp_path)) == 4
