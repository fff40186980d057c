"""The picture of whole searches: its values are those of the rows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from benchmarks.evidence_picture import results_of

from prac.analysis.over_searches import over_searches

PROGRAM = Path(__file__).parent / "evidence_picture.py"


def _rows(choosing: float = 0.905) -> list[dict[str, Any]]:
    of = {
        "dense": (5632, 0.902),
        "soft, one cut": (9000, choosing),
        "soft, one cut, by chance": (9000, 0.894),
        "vanilla": (22528, 0.906),
    }
    rows = [
        {"variant": name, "start": "learning-rate", "seed": seed, "sparsity": 0.784,
         "set_size": 20_000, "steps": steps, "test": test + noise, "validation": test + noise / 2}
        for seed, wave in ((10, -1), (11, 1), (12, 0))
        for name, (steps, test) in of.items()
        for noise in (wave * {"vanilla": 0.0008, "soft, one cut": 0.001}.get(name, 0.0005),)
    ]  # fmt: skip
    # A seed that not all have is of no use to differences, nor is a plain method with one of three.
    plain = {**rows[0], "variant": "gradual-long", "steps": 11264}
    return [*rows, {**rows[0], "seed": 13}, plain]


def test_every_method_has_the_seeds_that_all_have() -> None:
    found = results_of(_rows())
    assert found.judging_seeds == (10, 11, 12)
    assert found.dense_test_accuracy == {"airbench8s": pytest.approx(0.902)}
    told = {each.method: each for each in over_searches(found)}
    assert {name: each.search_steps for name, each in told.items()} == {
        "prac": 9000, "random-subset": 9000, "vanilla": 22528
    }  # fmt: skip
    ours = told["prac"]
    assert ours.accuracy == pytest.approx(0.905)
    assert ours.steps_saved == pytest.approx(1 - 9000 / 22528)
    assert ours.to_control is not None
    assert ours.to_control.mean == pytest.approx(0.011)
    assert ours.decision is not None
    assert ours.decision.verdict == "paid"


def test_a_plain_method_with_all_of_vanilla_s_seeds_is_among_them() -> None:
    rows = _rows()
    long = [
        {**row, "variant": "gradual-long", "steps": 11264}
        for row in rows
        if row["variant"] == "vanilla" and row["seed"] != 10
    ]
    told = {each.method: each for each in over_searches(results_of([*rows, *long]))}
    assert set(told) == {"prac", "random-subset", "vanilla", "gradual"}
    assert told["gradual"].steps_saved == pytest.approx(0.5)
    cut = [{**row, "variant": "vanilla, one cut"} for row in rows if row["variant"] == "vanilla"]
    told = {each.method: each for each in over_searches(results_of([*rows, *cut]))}
    assert set(told) == {"prac", "random-subset", "vanilla", "vanilla, one cut"}
    # It chooses no samples, so nothing of it is to be decided.
    assert told["vanilla, one cut"].decision is None


def test_the_picture_is_written(tmp_path: Path) -> None:
    rows, out = tmp_path / "rows.json", tmp_path / "steps.png"
    rows.write_text(json.dumps({"rows": _rows()}))
    command = [sys.executable, str(PROGRAM), "--rows", str(rows), "--out", str(out)]
    subprocess.run(command, check=True)
    assert out.read_bytes().startswith(b"\x89PNG")


def test_rows_that_lack_a_variant_draw_nothing(tmp_path: Path) -> None:
    rows = [row for row in _rows() if row["variant"] != "vanilla"]
    with pytest.raises(SystemExit, match="without any: vanilla"):
        results_of(rows)
