"""The program of the published budget, on a handful of images: bills, stops, going on."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).parent / "published.py"
EPOCHS, ROUNDS = 3, 2


def _run(data: Path, folder: Path, *options: str) -> tuple[str, list[dict[str, Any]], str]:
    """What it printed, the rows and the page."""
    file = folder / "rows.json"
    command = [sys.executable, str(PROGRAM), "--data", f"folder:{data}", "--image-size", "8",
               "--epochs", str(EPOCHS), "--rounds", str(ROUNDS), "--json", str(file), "--work",
               str(folder / "work"), *options]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads(file.read_text())["rows"], file.with_suffix(".md").read_text()


def test_rounds_are_held_against_those_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand: +1.00, -0.25 and +0.30 have the mean 0.35; -0.50 is its own; round 0 is shared."""
    monkeypatch.syspath_prepend(PROGRAM.parent)
    page = importlib.import_module("published").page
    one = {"sparsity": 0.2, "set_size": 9, "epochs": 3, "budget_epochs": 6, "steps": 30,
           "seconds": 1.0, "cep": 1, "cet": 2, "next_size": 3, "test": None}  # fmt: skip
    rows = [
        one | {"method": method, "round": index, "validation": validation}
        for method, found in (
            ("prac", (0.8, 0.81, 0.8, 0.803, 0.7)), ("random-subset", (0.8, 0.8, 0.8025, 0.8)),
            ("vanilla, stopped", (0.8, 0.815)),
        )
        for index, validation in enumerate(found)
    ]  # fmt: skip
    told = page(rows, 16, 0, 182)
    chance = "+1.00, -0.25, +0.30; mean +0.35. These rounds took 90 steps, and 90 on random"
    assert f"from round 1 on: {chance} samples." in told
    assert "-0.50; mean -0.50. These rounds took 30 steps, and 30 on everything with" in told
    assert "minus theirs" not in page(rows[:5], 16, 0, 182)


@pytest.mark.slow
def test_every_round_beside_the_published_one(patterns: Path, tmp_path: Path) -> None:
    told, rows, page = _run(patterns, tmp_path)
    by_method = {
        name: [r for r in rows if r["method"] == name]
        for name in ("prac", "random-subset", "vanilla, stopped")
    }
    assert [len(mine) for mine in by_method.values()] == [ROUNDS] * 3
    ours, twin, vanilla = by_method.values()
    assert [r["sparsity"] for r in ours] == pytest.approx([0, 0.2], abs=1e-3)
    for one, other in zip(ours, twin, strict=True):
        assert (one["steps"], one["set_size"]) == (other["steps"], other["set_size"])
    # The set that a round makes is what the next one trains on; CET and CEP may overlap.
    assert ours[0]["next_size"] == ours[1]["set_size"]
    assert ours[0]["cep"] == 0 < ours[0]["cet"] == ours[0]["next_size"]
    for one in ours:
        assert max(one["cet"], one["cep"]) <= one["next_size"] <= one["cet"] + one["cep"]
    assert {r["set_size"] for r in vanilla} == {ours[0]["set_size"]}
    # Published sizes, the replay's stops and the saved share are told beside them.
    steps = sum(r["steps"] for r in ours)
    full = EPOCHS * 2 * ours[0]["steps"] // ours[0]["epochs"]
    assert f"| prac | 2 | 36.00 | {steps:,} | {full:,} | {100 * (1 - steps / full):.2f} |" in page
    assert "| 1,501, 24,159, 24,168 |" in page
    assert "| published, PrAC | 7 | 79.03 | 72,000 | 448,448 | 83.93 |" in page
    again, same, _ = _run(patterns, tmp_path)
    assert "epoch" not in again.replace("'epochs'", "").replace("budget_epochs", "")
    assert same == rows
    assert "epoch 1" in told
