"""All methods, and a user's own, on real local Ray: one run, and one that finds it all."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from prac.config.methods import METHODS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

USERS_FILE = """
from prac.config.methods import Method
from prac.pruning.criteria import criterion
from prac.pruning.prunable import prunable_weights
from prac.selection.scores import scorer

@scorer(reads="model")
def unsure(evidence, select):
    return -evidence.probabilities().max(axis=1)

@criterion(reads="trained")
def by_layer(pruning):
    weights = prunable_weights(pruning.model)
    return {name: weight.abs() / weight.abs().mean() for name, weight in weights.items()}

both = Method(
    name="", summary="both", selects="mine_slow:unsure", prunes="mine_slow:by_layer",
    borrows="sizes",
)
"""


def test_every_method_in_one_run(
    launched: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine_slow.py").write_text(USERS_FILE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    own = [f"mine_slow:{name}" for name in ("unsure", "by_layer", "both")]
    compared = [name for name in METHODS if name != "prac"]
    words = (
        *("--architectures", "resnet8", "--rounds", "2", "--epochs", "4", "--workers", "1"),
        *("--set", "select.proxy_epochs=1", "--set", "select.window=3"),
        *("--set", "prune.tolerance=0.5", "--compare", *compared, *own),
    )
    home = tmp_path / "home"
    with launched(home, *words) as run:
        assert run.wait(1200) == 0, run.said()
        summary = run.summary
    found = {s["method"]: s for s in summary["searches"]}
    assert list(found) == [*METHODS, *own]
    for name, entry in found.items():
        assert [r["sparsity"] for r in entry["rounds"]] == pytest.approx([0, 0.2, 0.36], abs=1e-3)
        assert entry["rounds"][-1]["test_accuracy"] > 0.3, name
    assert found["snip"]["iterations_saved"] == 1
    assert not any(r["trained"] for r in found["snip"]["rounds"])
    steps = {name: [r["steps"] for r in entry["rounds"]] for name, entry in found.items()}
    for name in ("rs2", "random-subset", "entropy", "proxy", "dual", "mine_slow:unsure"):
        assert steps[name] == steps["prac"], name
    assert steps["mine_slow:by_layer"] == steps["vanilla"]
    assert steps["random-pruning"] == [steps["vanilla"][0], 0, 0]
    sizes = {name: [r["set_size"] for r in entry["rounds"]] for name, entry in found.items()}
    assert sizes["dual"] == sizes["mine_slow:unsure"] == sizes["mine_slow:both"] == sizes["prac"]
    tables = list(Path(summary["report"]).parent.rglob("*.csv"))
    told = {row.get("method") for t in tables for row in csv.DictReader(t.open(newline=""))}
    assert told >= set(own)
    with launched(home, *words) as again:
        assert again.wait(600) == 0, again.said()
        assert "nothing was trained" in again.said()
