"""What a sweep's plan says that its trials take together: sums by hand, and bounds that hold."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from prac.analysis.timed import Speed
from prac.app.estimate import Estimate
from prac.app.options import Options
from prac.app.screen import RichScreen
from prac.app.sweep import run_sweep
from prac.config.recipes import get_recipe
from prac.errors import OutsideError
from prac.schema import file_bytes, read
from prac.sweep.space import Axis, Space, SweepOptions

RECIPE = get_recipe("digits").with_epochs(2).replace(architectures=("conv4",), compare=())
RECIPE = RECIPE.set(search={"rounds": 2})


class Plans:
    """Plans sweeps; told: what was printed."""

    def __init__(self, home: Path) -> None:
        self.told, self._home = "", home

    def of(self, *axes: Axis, recipe: Any = RECIPE, at_once: int | None = None, **more: Any) -> Any:
        out = io.StringIO()
        summary = run_sweep(
            recipe,
            Options(gpus=0, workers=1, plan=True, home=str(self._home)),
            SweepOptions(space=Space(axes=axes, **more), concurrency=at_once),
            RichScreen(Console(file=out, width=300)),
            str,
        )
        self.told = out.getvalue()
        return summary


@pytest.fixture
def plans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plans:
    monkeypatch.setenv("PRAC_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return Plans(tmp_path / "home")


def _thresholds(*values: int) -> Axis:
    return Axis(field="select.threshold", values=values)


def test_all_trials_together_with_what_they_share_once(plans: Plans, tmp_path: Path) -> None:
    one, two, three = (plans.of(_thresholds(*range(n)), at_once=1) for n in (1, 2, 3))
    # 21 steps an epoch: round 0 and its judgement once, for each trial a round and a judgement.
    assert [each["max_steps"] for each in (one, two, three)] == [
        42 * (2 + 2 * n) for n in (1, 2, 3)
    ]
    assert three["bytes_left"] - two["bytes_left"] == two["bytes_left"] - one["bytes_left"]
    assert one["bytes_left"] > two["bytes_left"] - one["bytes_left"]
    (kept,) = (tmp_path / "cache" / "speeds").iterdir()
    speed = read(Speed, file_bytes(kept))
    trained, predicted = 8 * 2 * 1294, 8 * 2 * 144 + 4 * (1294 + 359)
    by_hand = trained * speed.training + predicted * speed.predicting + 8 * speed.start
    # The front is drawn, three trials and 8 trainings are handed over and logged; of 7 stages that
    # take moments most do so beside another trial's training.
    by_hand += 2 * speed.start + 3 * 0.3 + 8 * 1.3
    assert by_hand * 0.99 < 3600 * three["hours_at_most"] < (by_hand + 7 * 0.3) * 1.01
    assert three["memory_bytes"] > speed.memory
    # Trials that wait take a process each.
    assert plans.of(_thresholds(0, 1, 2), at_once=3)["memory_bytes"] > three["memory_bytes"]
    for line in ("3 trials, 3 stages shared by all of them", "will be left", "of memory"):
        assert line in plans.told
    beside = plans.of(_thresholds(0, 1, 2))
    assert beside["hours_at_most"] <= three["hours_at_most"]


def test_of_trials_that_optuna_proposes_the_dearest(plans: Plans) -> None:
    grid = plans.of(_thresholds(0, 1, 2), at_once=1)
    optuna = plans.of(_thresholds(0, 1, 2), at_once=1, sampler="optuna", trials=3)
    # No threshold makes a trial cheaper for certain: three of the dearest are the three.
    for name in ("max_steps", "bytes_left", "memory_bytes"):
        assert optuna[name] == grid[name], name
    assert optuna["hours_at_most"] == pytest.approx(grid["hours_at_most"])
    assert "Optuna proposes the others as it goes: were every trial the dearest" in plans.told


def test_no_point_of_a_range_takes_more_than_the_bound(plans: Plans) -> None:
    axes = (
        Axis(field="select.fraction", low=0.1, high=0.6),
        Axis(field="prune.fraction", low=0.1, high=0.5),
        Axis(field="prune.iterations", low=1, high=9, whole=True),
    )
    recipe = RECIPE.set(select={"score": "el2n", "fraction": 0.5}, prune={"criterion": "snip"})
    bound = plans.of(*axes, recipe=recipe, sampler="optuna", trials=1)
    for seed in range(5):
        point = plans.of(
            *axes, recipe=recipe.set(search={"seed": 0}), sampler="random", trials=1, seed=seed
        )
        for name in ("max_steps", "bytes_left", "memory_bytes", "hours_at_most"):
            assert 0 < point[name] <= bound[name] * (1 + 1e-9), name


def test_trials_are_compared_in_one_unit(plans: Plans, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two networks one can't be timed: its steps are no seconds."""

    def timed(planned: Any, found: Any, to_run: list[Any], told: Any, **_: Any) -> Estimate:
        if sum(stage.max_steps for stage in to_run) < 300:
            raise OutsideError("it can't be timed")
        return Estimate(seconds=1.0, memory=1)

    epochs = Axis(field="train.epochs", values=(2, 8))
    grid = {n: plans.of(Axis(field="train.epochs", values=(n,))) for n in (2, 8)}
    assert grid[2]["max_steps"] < 300 < grid[8]["max_steps"]
    monkeypatch.setattr("prac.app.sweep_plan.estimate", timed)
    bound = plans.of(epochs, sampler="optuna", trials=1)
    assert bound["max_steps"] == grid[8]["max_steps"]


def test_what_is_not_known_of_optuna_is_not_told(plans: Plans) -> None:
    """Of 11 x 11 combinations the dearest isn't looked for."""
    patience = Axis(field="prune.patience", values=tuple(range(2, 13)))
    summary = plans.of(_thresholds(*range(11)), patience, sampler="optuna", trials=3)
    assert summary == {}
    assert "what they will leave and take is not known before" in plans.told
