"""Error barriers: on a line whose errors are known by hand, and of real small trainings."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from prac import Mask, global_magnitude
from prac.analysis.connectivity import (
    Line,
    barrier,
    connectivity,
    interpolate,
    line,
    renew_statistics,
    rewind_connectivity,
)
from prac.config.recipes import digits
from prac.config.sections import AugmentConfig, TrainConfig
from prac.config.values import RewindPoint
from prac.data.batches import DeviceImages
from prac.data.dataset import ImageDataset
from prac.errors import ConfigError
from prac.lottery.rounds import RoundTask, run_round
from prac.lottery.stage_config import round_config
from prac.models.registry import build_model
from prac.pruning.prunable import prunable_weights
from prac.storage import Folder
from prac.training.randomness import derived_seed

ToyData = Callable[..., ImageDataset]
CONFIG = TrainConfig(epochs=3, batch_size=16, learning_rate=0.05, milestones=(2,), precision="fp32")


@pytest.fixture(scope="module")
def images(toy_data: ToyData) -> DeviceImages:
    return DeviceImages(toy_data(80), AugmentConfig(crop_padding=1))


def test_a_barrier_is_what_rises_above_the_mean_of_the_ends() -> None:
    assert barrier([0.1, 0.3, 0.2]) == pytest.approx(0.15)
    assert barrier([0.1, 0.2]) == pytest.approx(0.05)
    assert barrier([0.2, 0.1, 0.2]) == 0
    rises = Line(
        shares=(0, 0.5, 1), training_errors=(0, 0.019, 0), validation_errors=(0.1, 0.13, 0.1)
    )
    assert rises.training_barrier == pytest.approx(0.019)
    assert rises.validation_barrier == pytest.approx(0.03)
    assert not rises.stable
    assert dataclasses.replace(rises, validation_errors=(0.1, 0.1, 0.1)).stable


def test_half_way_is_the_mean_and_counters_stay_whole() -> None:
    first, second = (
        {"w": torch.tensor([0.0, value]), "n": torch.tensor(int(value))} for value in (2.0, 6.0)
    )
    middle = interpolate(first, second, 0.25)
    assert middle["w"].tolist() == [0.0, 3.0]
    assert middle["n"] == 2


class _Vote(nn.Module):
    """Says class 1 where `lean` is above zero, otherwise class 0, whatever it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.lean = nn.Parameter(torch.zeros(()))

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        return torch.stack([0 * self.lean, self.lean, self.lean - 9]).expand(len(seen), 3)


def test_the_errors_of_a_line_known_by_hand(images: DeviceImages) -> None:
    labels = images.labels(images.training_ids)
    held_out = images.labels(images.validation_ids)
    ends = ({"lean": torch.tensor(-1.0)}, {"lean": torch.tensor(3.0)})
    got = line(_Vote(), *ends, images, "fp32", points=5)
    assert got.shares == (0, 0.25, 0.5, 0.75, 1)
    # -1, 0 (a tie: the first class), 1, 2, 3
    said = [0, 0, 1, 1, 1]
    for errors, right in ((got.training_errors, labels), (got.validation_errors, held_out)):
        assert errors == pytest.approx([float((right != c).double().mean()) for c in said])
    with pytest.raises(ConfigError, match="3 or more"):
        line(_Vote(), *ends, images, "fp32", points=2)


def test_statistics_are_those_of_the_training_rows(images: DeviceImages) -> None:
    model = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(64, 3))
    model[0].running_mean.fill_(99)
    renew_statistics(model, images, "fp32")
    pixels = images.clean(images.training_ids)
    assert model[0].running_mean.item() == pytest.approx(pixels.mean().item(), abs=1e-4)
    assert model[0].running_var.item() == pytest.approx(pixels.var().item(), rel=1e-3)
    assert model[0].momentum == 0.1


def test_statistics_are_drawn_by_the_seed_not_by_the_process(images: DeviceImages) -> None:
    model = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(64, 3))
    model[0].eval()  # modes are put back
    found = []
    for seed, past in ((0, 1), (0, 2), (1, 1)):
        torch.manual_seed(past)
        before = torch.get_rng_state()
        renew_statistics(model, images, "fp32", seed=seed)
        assert torch.equal(torch.get_rng_state(), before)
        found.append(model[1].running_var.item())
    assert found[0] == found[1] != found[2]
    assert [module.training for module in model] == [False, True, True, True]


def _initial(seed: int) -> dict[str, torch.Tensor]:
    model = build_model("resnet8", num_classes=3, image_shape=(8, 8, 1), seed=seed)
    return model.state_dict()


def test_two_orders_of_one_start_end_apart(images: DeviceImages) -> None:
    got = connectivity("resnet8", _initial(0), None, images, CONFIG, points=3)
    again = connectivity("resnet8", _initial(0), None, images, CONFIG, points=3)
    assert got == again
    other = connectivity("resnet8", _initial(0), None, images, CONFIG, seed=1, points=3)
    assert other != got


def test_the_line_of_a_ticket_stays_under_its_mask(
    images: DeviceImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build_model("resnet8", num_classes=3, image_shape=(8, 8, 1), seed=0)
    mask = global_magnitude(prunable_weights(model), Mask.dense(model), 0.7)
    ends: list[dict[str, torch.Tensor]] = []

    def watch(model: nn.Module, first: dict, second: dict, *_: object, **__: object) -> None:
        ends.extend((first, second))

    monkeypatch.setattr("prac.analysis.connectivity.line", watch)
    connectivity("resnet8", _initial(0), mask, images, CONFIG)
    assert not torch.equal(ends[0]["stem.0.weight"], ends[1]["stem.0.weight"])
    for end in ends:
        assert all(int((end[name][~alive] != 0).sum()) == 0 for name, alive in mask.items())


def test_rewind_points_are_those_of_the_search(
    images: DeviceImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = digits().replace(train=CONFIG)
    starts: list[dict[str, torch.Tensor]] = []

    def watch(_: str, weights: dict, *__: object, **___: object) -> Line:
        starts.append(weights)
        return Line(shares=(), training_errors=(), validation_errors=())

    monkeypatch.setattr("prac.analysis.connectivity.connectivity", watch)
    points = [RewindPoint("init"), RewindPoint("step", 3), RewindPoint("epoch", 1)]
    rewind_connectivity(recipe, "resnet8", images, points, "fp32")
    initial = _initial(derived_seed(recipe.search.seed, "weights"))
    assert all(torch.equal(starts[0][name], initial[name]) for name in initial)
    # 64 rows in batches of 16: an epoch has 4 steps.
    assert [int(s["stem.1.num_batches_tracked"]) for s in starts] == [0, 3, 4]

    recipe = recipe.replace(search=dataclasses.replace(recipe.search, rewind=points[2]))
    task = RoundTask(
        run="r",
        config=round_config(recipe, "resnet8", 0, precision="fp32", records_events=False),
        sample_ids=images.training_ids,
    )
    rewind = run_round(task, images, Folder(tmp_path)).rewind_weights
    assert rewind is not None
    assert all(torch.equal(starts[2][name], rewind[name]) for name in rewind)
    rewind_connectivity(recipe, "resnet8", images, points[:1], "fp32")
    assert all(torch.equal(starts[3][name], initial[name]) for name in initial)
    file = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(_initial(99), file)
    from_file = recipe.set(model={"weights": (str(file),)})
    rewind_connectivity(from_file, "resnet8", images, points[:1], "fp32")
    assert all(torch.equal(starts[4][name], tensor) for name, tensor in _initial(99).items())
    nowhere = RewindPoint("learning-rate")
    with pytest.raises(ConfigError, match="learning-rate rewinds no weights to train from"):
        rewind_connectivity(recipe, "resnet8", images, [nowhere], "fp32")
    with pytest.raises(ConfigError, match="past the budget; allowed: up to epoch:3 or step:12"):
        rewind_connectivity(recipe, "resnet8", images, [RewindPoint("step", 13)], "fp32")


def test_late_weights_are_more_connected_than_the_first(digits_data: ImageDataset) -> None:
    """Frankle et al.: the barrier falls with the rewind point (here on 500 digits, no flips, at a
    rate at which the first steps matter)."""
    part = dataclasses.replace(digits_data, training_ids=digits_data.training_ids[:500])
    images = DeviceImages(part, AugmentConfig(crop_padding=1, flip=False))
    train = dataclasses.replace(digits().train, epochs=8, milestones=(5, 7), learning_rate=0.1)
    recipe = digits().replace(train=train)
    points = [RewindPoint("init"), RewindPoint("epoch", 8)]
    lines = rewind_connectivity(recipe, "resnet14", images, points, "fp32", points=5)
    assert np.argmax(lines["init"].training_errors) in (1, 2, 3)
    assert lines["init"].training_barrier > lines["epoch:8"].training_barrier + 0.01
