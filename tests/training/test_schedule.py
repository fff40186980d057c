"""Budgets and learning rates, by hand: the published one, and those of short rounds."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import SGD, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

from prac.config.recipes import get_recipe
from prac.config.sections import BudgetConfig, Scaling, Schedule, TrainConfig
from prac.config.values import Share
from prac.training.schedule import Budget, full_budget, round_budget

PUBLISHED = TrainConfig()
CALIBRATION = TrainConfig(epochs=16, milestones=(8, 12))
SET_SIZES = (26112, 19525, 16707, 15240, 14924, 14788, 14915)
EPOCHS = BudgetConfig(scaling="epochs")
STEPS = BudgetConfig(scaling="steps")


def _golden(name: str) -> Any:
    """Numbers that were made elsewhere: see the README beside them."""
    return json.loads((Path(__file__).parents[1] / "golden" / name).read_text())


def _rates(budget: Budget) -> list[float]:
    """The learning rate of each epoch's first and last step."""
    last = budget.steps_per_epoch - 1
    starts = range(0, budget.steps, budget.steps_per_epoch)
    return [budget.learning_rate(start + at) for start in starts for at in (0, last)]


def test_the_published_budget() -> None:
    budget = full_budget(PUBLISHED, 45_000)
    assert (budget.steps_per_epoch, budget.steps) == (352, 64_064)
    expected = [0.1] * (2 * 91) + [0.01] * (2 * 45) + [0.001] * (2 * 46)
    assert _rates(budget) == pytest.approx(expected, rel=1e-12)
    assert round_budget(PUBLISHED, EPOCHS, 45_000, 45_000) == budget
    assert round_budget(PUBLISHED, STEPS, 45_000, 45_000) == budget


def test_the_published_budget_is_that_of_torchs_multi_step_schedule() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [91, 136])
    budget = full_budget(PUBLISHED, 45_000)
    for epoch in range(182):
        ours = budget.learning_rate(epoch * 352)
        assert ours == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
        optimizer.step()
        schedule.step()


def _torch_rates(steps: int, peak: float, schedule: Callable[[SGD], LRScheduler]) -> list[float]:
    """What torch's own schedule gives each step."""
    optimizer = SGD([torch.zeros(1, requires_grad=True)], lr=peak, momentum=0.9)
    scheduler = schedule(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if len(rates) < steps:
            scheduler.step()
    return rates


@pytest.mark.parametrize(("epochs", "size"), [(1, 40), (2, 40), (7, 33), (30, 100)])
def test_one_cycle_is_torchs(epochs: int, size: int) -> None:
    train = TrainConfig(
        epochs=epochs, batch_size=10, learning_rate=0.4, milestones=(), schedule="onecycle"
    )
    budget = full_budget(train, size)
    expected = _torch_rates(
        budget.steps,
        0.4,
        lambda optimizer: lr_scheduler.OneCycleLR(
            optimizer, 0.4, total_steps=budget.steps, cycle_momentum=False
        ),
    )
    rates = [budget.learning_rate(step) for step in range(budget.steps)]
    assert rates == pytest.approx(expected, rel=1e-9)
    assert len(rates) == epochs * -(-size // 10)


@pytest.mark.parametrize("warmup", [0, 2])
def test_cosine_is_torchs_after_the_warm_up(warmup: int) -> None:
    train = TrainConfig(
        epochs=9,
        batch_size=10,
        learning_rate=0.2,
        milestones=(1,),
        warmup_epochs=warmup,
        schedule="cosine",
    )
    budget = full_budget(train, 45)
    left = budget.steps - 5 * warmup
    expected = _torch_rates(left, 0.2, lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=left))
    rates = [budget.learning_rate(step) for step in range(budget.steps)]
    assert rates[: 5 * warmup] == pytest.approx(
        [0.2 * step / 10 for step in range(1, 5 * warmup + 1)]
    )
    assert rates[5 * warmup :] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("schedule", ["cosine", "onecycle"])
def test_a_scaled_round_goes_through_its_whole_schedule(schedule: Schedule) -> None:
    # A round of 9 epochs ends as low as the full budget does, and is at its peak at the same share.
    train = dataclasses.replace(CALIBRATION, epochs=90, schedule=schedule)
    full = full_budget(train, 45_000)
    half = round_budget(train, EPOCHS, 22_500, 45_000)
    assert (half.epochs, half.steps_per_epoch) == (45, 176)
    for share in (0.0, 0.1, 0.3, 0.5, 0.9, 1.0):
        of_full = full.learning_rate(round(share * (full.steps - 1)))
        of_half = half.learning_rate(round(share * (half.steps - 1)))
        assert of_half == pytest.approx(of_full, abs=2e-4)
    assert half.learning_rate(half.steps - 1) < 1e-5


def test_how_long_the_rate_rises() -> None:
    # One cycle over ten epochs is at its peak after three of them: the stop waits for that.
    assert full_budget(TrainConfig(epochs=10, schedule="onecycle"), 100).rising_epochs == 3
    assert full_budget(TrainConfig(epochs=16, schedule="onecycle"), 100).rising_epochs == 5
    assert full_budget(TrainConfig(warmup_epochs=15), 100).rising_epochs == 15
    assert full_budget(TrainConfig(warmup_epochs=15, schedule="cosine"), 100).rising_epochs == 15


def test_the_warm_up_rises_linearly_to_the_peak() -> None:
    train = TrainConfig(
        epochs=10, batch_size=10, learning_rate=0.3, milestones=(4, 6), warmup_epochs=3
    )
    budget = full_budget(train, 40)
    rates = [budget.learning_rate(step) for step in range(budget.steps)]
    by_hand = [0.3 * step / 12 for step in range(1, 13)] + [0.3] * 4 + [0.03] * 8 + [0.003] * 16
    assert rates == pytest.approx(by_hand, rel=1e-12)


@pytest.mark.parametrize(
    "case", _golden("rates.json"), ids=lambda c: f"{c['recipe']}-{c['samples']}"
)
def test_rates_are_the_published_ones(case: dict[str, Any]) -> None:
    recipe = get_recipe(case["recipe"])
    budget = round_budget(recipe.train, recipe.budget, case["samples"], 45_000)
    for step, rate in case["rates"]:
        assert budget.learning_rate(step) == pytest.approx(rate, rel=1e-9), step
    assert budget.steps == case["rates"][-1][0] + 1


@pytest.mark.parametrize(
    ("recipe", "data"),
    [("cifar10_resnet20s_warmup", "cifar10"), ("tiny_imagenet_resnet18_warmup", "tiny_imagenet")],
)
def test_budgets_are_the_published_ones(recipe: str, data: str) -> None:
    whole, golden = get_recipe(recipe), _golden("budgets.json")[data]
    for expected in golden["rounds"]:
        budget = round_budget(
            whole.train, whole.budget, expected["samples"], golden["num_training"]
        )
        assert budget.epochs == expected["epochs"]
        assert budget.steps_per_epoch == expected["steps_per_epoch"]
        assert list(budget.milestones) == expected["milestones"]
        assert budget.warmup_epochs == expected["warmup_epochs"]


def test_scaled_epochs_of_the_calibration() -> None:
    budgets = [round_budget(CALIBRATION, EPOCHS, size, 45_000) for size in SET_SIZES]
    assert [budget.epochs for budget in budgets] == [9, 6, 5, 5, 5, 5, 5]
    assert [budget.steps_per_epoch for budget in budgets] == [204, 153, 131, 120, 117, 116, 117]
    # Round 0 was stopped after 13 epochs; the rest went to the end of their budgets.
    assert 13 * 352 + sum(budget.steps for budget in budgets) == 10_335
    # floor(8 * 26112/45000) = 4, floor(12 * 26112/45000) = 6; 8 * 14788/45000 = 2.6, 12 * ... = 3.9
    assert budgets[0].milestones == (4, 6)
    assert budgets[5].milestones == (2, 3)


def test_scaled_steps_fall_with_the_share_not_with_its_square() -> None:
    half = round_budget(PUBLISHED, STEPS, 22_500, 45_000)
    assert (half.epochs, half.steps_per_epoch, half.steps) == (182, 176, 32_032)
    assert half.milestones == (91, 136)
    square = round_budget(PUBLISHED, EPOCHS, 22_500, 45_000)
    assert (square.epochs, square.steps, square.milestones) == (91, 91 * 176, (45, 68))
    # floor(64064 * 14788/45000) = 21052 steps, 181.48 epochs of 116
    small = round_budget(PUBLISHED, STEPS, 14_788, 45_000)
    assert (small.epochs, small.steps_per_epoch, small.milestones) == (181, 116, (90, 135))


def test_the_warm_up_scales_too() -> None:
    train = TrainConfig(learning_rate=0.03, warmup_epochs=15)
    assert round_budget(train, EPOCHS, 22_500, 45_000).warmup_epochs == 7
    assert round_budget(train, EPOCHS, 2_900, 45_000).warmup_epochs == 0
    # One epoch is left, so none of it can be warm-up.
    floor = BudgetConfig(scaling="epochs", min_round_epochs=1)
    assert round_budget(train, floor, 10, 45_000).warmup_epochs == 0


def test_at_least_one_epoch() -> None:
    for scaling in (EPOCHS, STEPS):
        budget = round_budget(CALIBRATION, scaling, 1, 45_000)
        assert budget.epochs >= 1
        assert budget.steps_per_epoch == 1
        assert all(m >= 1 for m in budget.milestones)
    assert round_budget(CALIBRATION, EPOCHS, 1, 45_000).epochs == 1


@given(
    epochs=st.integers(1, 300),
    size=st.integers(1, 60_000),
    batch=st.integers(1, 512),
    scaling=st.sampled_from(["epochs", "steps"]),
    floors=st.tuples(st.integers(1, 400), st.one_of(st.integers(0, 10**6), st.floats(0.01, 1))),
)
def test_a_round_on_everything_has_the_full_budget_however_others_are_scaled(
    epochs: int, size: int, batch: int, scaling: Scaling, floors: tuple[int, int | float]
) -> None:
    train = TrainConfig(epochs=epochs, batch_size=batch, milestones=())
    steps = Share(floors[1]) if isinstance(floors[1], float) else floors[1]
    config = BudgetConfig(scaling=scaling, min_round_epochs=floors[0], min_round_steps=steps)
    assert round_budget(train, config, size, size) == full_budget(train, size)


def test_floors() -> None:
    by_epochs = BudgetConfig(scaling="epochs", min_round_epochs=8)
    budget = round_budget(CALIBRATION, by_epochs, 14_788, 45_000)
    assert (budget.epochs, budget.milestones) == (8, (4, 6))
    assert round_budget(CALIBRATION, by_epochs, 26_112, 45_000).epochs == 9
    by_steps = BudgetConfig(scaling="epochs", min_round_steps=1000)
    assert round_budget(CALIBRATION, by_steps, 14_788, 45_000).epochs == 9  # 1000/116 = 8.6
    # The same as a share of 5,632 steps, whatever the data and the epochs.
    half = BudgetConfig(scaling="epochs", min_round_steps=Share(0.5))
    assert round_budget(CALIBRATION, half, 14_788, 45_000).epochs == 25  # 2,816/116 = 24.3
    twice = CALIBRATION.with_epochs(2 * CALIBRATION.epochs)
    assert round_budget(twice, half, 14_788, 45_000).epochs == 49  # 5,632/116 = 48.6
    # Never more than the full budget: its 16 epochs, its 5,632 steps (48 epochs of 116).
    many = BudgetConfig(min_round_epochs=500)
    assert round_budget(CALIBRATION, many, 14_788, 45_000).epochs == 16
    long = BudgetConfig(min_round_steps=10**7)
    assert round_budget(CALIBRATION, long, 14_788, 45_000).epochs == 48


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_one_cycle_of_too_few_steps_to_rise_begins_at_the_peak(steps: int) -> None:
    """Torch's own would train a single step at the very end of the fall."""
    train = TrainConfig(epochs=steps, learning_rate=0.4, milestones=(), schedule="onecycle")
    budget = full_budget(train, 1)
    rates = [budget.learning_rate(step) for step in range(steps)]
    assert rates[0] == 0.4
    assert rates == sorted(rates, reverse=True)
    assert rates[1:] == [] or rates[-1] == pytest.approx(0.4 / 25e4)
