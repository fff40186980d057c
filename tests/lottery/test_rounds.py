"""Rounds under a criterion of the user's: what it is given, and what the round says it cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.searches import searched

from prac.analysis.bill import make_bill
from prac.config.recipe import Recipe
from prac.config.sections import AugmentConfig, PruneConfig, SearchConfig, TrainConfig
from prac.data.batches import DeviceImages
from prac.data.dataset import ImageDataset
from prac.lottery.rounds import RoundTask, run_round, train_round
from prac.lottery.stage_config import round_config
from prac.storage import Folder

CRITERION = """
import torch
from prac.pruning.criteria import criterion
calls = []

@criterion(reads="trained", options=("iterations", "scoring_samples"), passes=5)
def watched(pruning):
    batches = pruning.batches()
    calls.append((pruning.iterations, [len(labels) for _, labels in batches]))
    return {name: weight.detach().abs() for name, weight in pruning.model.named_parameters()
            if name in pruning.mask}
"""
RECIPE = Recipe(
    name="tiny",
    description="",
    architectures=("resnet8",),
    augment=AugmentConfig(crop_padding=1, flip=False),
    train=TrainConfig(epochs=4, batch_size=16, learning_rate=0.05, milestones=(), precision="fp32"),
    prune=PruneConfig(
        criterion="watching:watched", iterations=2, scoring_samples=21, tolerance=None
    ),
)


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    (tmp_path / "watching.py").write_text(CRITERION)
    monkeypatch.syspath_prepend(tmp_path)
    import watching

    watching.calls.clear()
    return watching.calls


@pytest.fixture(scope="module")
def dataset(toy_data: Callable[..., ImageDataset]) -> ImageDataset:
    return toy_data(60)


@pytest.fixture(scope="module")
def images(dataset: ImageDataset) -> DeviceImages:
    return DeviceImages(dataset, RECIPE.augment)


def task(images: DeviceImages) -> RoundTask:
    config = round_config(RECIPE, "resnet8", 0, precision="fp32", records_events=False)
    return RoundTask(run="r", config=config, sample_ids=images.training_ids)


def test_it_has_its_options_and_its_images_are_counted(
    calls: list[Any], images: DeviceImages, tmp_path: Path
) -> None:
    outcome = run_round(task(images), images, Folder(tmp_path / "work"))
    # Two scorings of 21 images at the end of each of four epochs.
    assert calls == [(2, [21])] * 8
    assert outcome.score_samples == 8 * 21
    assert outcome.score_passes == 5 * 8 * 21


def test_a_resumed_round_says_the_same(
    calls: list[Any], images: DeviceImages, tmp_path: Path
) -> None:
    work = Folder(tmp_path / "work")

    def lost(end: object) -> None:
        if end.record.epoch == 2:  # type: ignore[attr-defined]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_round(task(images), images, work, on_epoch=lost)
    assert len(calls) == 6
    outcome = train_round(task(images), images, work)
    assert len(calls) == 6 + 4  # the third epoch again, and the fourth
    assert outcome.score_samples == 8 * 21
    # Once more from the finished checkpoint, as what workers left is read: nothing is scored.
    again = train_round(task(images), images, work)
    assert len(calls) == 10
    assert (again.score_samples, again.score_passes) == (8 * 21, 5 * 8 * 21)


def test_it_is_on_the_bill(calls: list[Any], dataset: ImageDataset, images: DeviceImages) -> None:
    recipe = RECIPE.replace(search=SearchConfig(rounds=1))
    done = searched(recipe, dataset)
    (made,) = done.trained()
    assert made.cost.score_gradient_samples == 8 * 21
    assert made.cost.score_passes == 5 * 8 * 21
    forward = {name: done.made(name) for name, s in done.graph.stages.items() if s.kind != "report"}
    bill = make_bill(done.stages(), done.graph, forward, forward_flops=10)
    trained, held_out = 4 * len(images.training_ids), 4 * len(images.validation_ids)
    assert bill.samples == trained
    assert bill.score_samples == 8 * 21
    assert bill.cep_samples == len(images.training_ids)
    assert bill.flops == 10 * (3 * trained + held_out + bill.cep_samples + 5 * 8 * 21)
