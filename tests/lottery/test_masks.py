"""Masks made beside the training: by configuration, on a few samples of every class."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch

from prac import Mask
from prac.config.sections import AugmentConfig, PruneConfig
from prac.data.batches import DeviceImages
from prac.data.dataset import ImageDataset
from prac.errors import ConfigError
from prac.lottery.masks import SCORING_BATCH, CriterionMasks, make_mask, scoring_ids
from prac.lottery.stage_config import MaskConfig
from prac.models.registry import build_model
from prac.pruning.criteria import Pruning, criterion
from prac.pruning.keep import keep_highest
from prac.pruning.saliency import snip_saliency
from prac.training.randomness import derived_seed


@pytest.fixture(scope="module")
def images(digits_data: ImageDataset) -> DeviceImages:
    return DeviceImages(digits_data, AugmentConfig(crop_padding=1, flip=False))


def config(criterion: str, round_index: int = 0, **prune: object) -> MaskConfig:
    section = PruneConfig(criterion=criterion, **prune)  # type: ignore[arg-type]
    return MaskConfig.of(section, "resnet8", seed=3, round_index=round_index)


def test_scoring_samples_are_even_over_classes_and_by_seed_and_round(images: DeviceImages) -> None:
    ids = scoring_ids(images, 103, 3, 1)
    assert len(set(ids.tolist())) == 103
    assert set(ids.tolist()) <= set(images.training_ids.tolist())
    counts = np.bincount(images.labels(ids).numpy(), minlength=10)
    assert (counts.min(), counts.max()) == (10, 11)
    assert scoring_ids(images, 103, 3, 1).tolist() == ids.tolist()
    assert scoring_ids(images, 103, 3, 2).tolist() != ids.tolist()
    assert scoring_ids(images, 103, 4, 1).tolist() != ids.tolist()
    # A smaller number is the beginning of a larger one, and all is all.
    assert scoring_ids(images, 50, 3, 1).tolist() == ids[:50].tolist()
    everything = scoring_ids(images, len(images.training_ids), 3, 1)
    assert sorted(everything.tolist()) == images.training_ids.tolist()


def test_snip_by_its_parts(images: DeviceImages) -> None:
    made = make_mask(config("snip", 2, scoring_samples=150), images, None)
    model = build_model(
        "resnet8", num_classes=10, image_shape=(8, 8, 1), seed=derived_seed(3, "weights")
    )
    ids = scoring_ids(images, 150, 3, 2)
    assert SCORING_BATCH < 150
    batches = [(images.clean(part), images.labels(part)) for part in (ids[:128], ids[128:])]
    dense = Mask.dense(model)
    kept = dense.size - round(0.2 * dense.size)
    assert made.mask == keep_highest(snip_saliency(model, dense, batches), dense, kept)
    assert made.score_samples == 150


@pytest.mark.parametrize("name", ["random", "random-erk", "snip", "grasp", "synflow"])
def test_masks_are_a_function_of_their_configuration(images: DeviceImages, name: str) -> None:
    first = make_mask(config(name), images, None).mask
    assert make_mask(config(name), images, None).mask == first
    under = make_mask(config(name, 1), images, first).mask
    assert under.is_subset_of(first)
    assert under.num_alive == first.num_alive - round(0.2 * first.num_alive)
    other = make_mask(dataclasses.replace(config(name), seed=4), images, None).mask
    assert other != first


@pytest.mark.parametrize("name", ["snip", "grasp"])
def test_dropout_is_drawn_by_the_seed_not_by_the_process(images: DeviceImages, name: str) -> None:
    dropping = dataclasses.replace(config(name), architecture="support.networks:dropping")
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = make_mask(dropping, images, None).mask
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert make_mask(dropping, images, None).mask == first
    other = make_mask(dataclasses.replace(dropping, seed=4), images, None).mask
    assert other != first


def test_what_a_criterion_does_not_read_is_not_in_its_configuration() -> None:
    assert config("synflow", scoring_samples=7) == config("synflow")
    assert config("synflow", iterations=7) != config("synflow")
    assert config("random", scoring_samples=7, iterations=7) == config("random")
    assert config("snip", scoring_samples=7) != config("snip")
    assert config("snip", tolerance=0.5, patience=1) == config("snip")


def test_iterations_are_each_scored(images: DeviceImages) -> None:
    assert make_mask(config("grasp", iterations=3), images, None).score_samples == 300
    assert make_mask(config("random"), images, None).score_samples == 0


@pytest.mark.parametrize(
    ("name", "samples", "passes"),
    # Three scorings of a hundred images; of one image of ones.
    [
        ("snip", 300, 900),
        ("grasp", 300, 3600),
        ("synflow", 0, 9),
        ("random", 0, 0),
        ("random-erk", 0, 0),
    ],
)
def test_what_a_mask_cost(images: DeviceImages, name: str, samples: int, passes: int) -> None:
    made = make_mask(config(name, iterations=3), images, None)
    assert (made.score_samples, made.score_passes) == (samples, passes)


def _scores(pruning: Pruning) -> dict[str, torch.Tensor]:
    weights = dict(pruning.model.named_parameters())
    return {name: weights[name].detach().abs() for name in pruning.mask}


@criterion(reads="trained", passes=0)
def leaves(pruning: Pruning) -> dict[str, torch.Tensor]:
    return _scores(pruning)


@criterion(reads="trained", passes=1)
def passes(pruning: Pruning) -> dict[str, torch.Tensor]:
    for images, _ in pruning.batches():
        pruning.model(images)
    return _scores(pruning)


@criterion(reads="trained", passes=1)
def passes_a_copy(pruning: Pruning) -> dict[str, torch.Tensor]:
    model = copy.deepcopy(pruning.model).eval()
    for images, _ in pruning.batches():
        model(images)
    return _scores(pruning)


@criterion(reads="trained", passes=0)
def overwrites(pruning: Pruning) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        return {n: w.abs_() for n, w in pruning.model.named_parameters() if n in pruning.mask}


@criterion(reads="trained", passes=0)
def evaluates(pruning: Pruning) -> dict[str, torch.Tensor]:
    pruning.model.eval()
    return _scores(pruning)


@criterion(reads="trained", passes=0)
def freezes(pruning: Pruning) -> dict[str, torch.Tensor]:
    pruning.model.requires_grad_(False)
    return _scores(pruning)


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        *(("leaves", None), ("passes_a_copy", None), ("evaluates", "")),
        *(("passes", "running_mean"), ("overwrites", "weight"), ("freezes", "weight")),
    ],
)
def test_a_criterion_of_ones_own_leaves_the_network_as_it_is(
    images: DeviceImages, name: str, changed: str | None
) -> None:
    """A training goes on from it: BatchNorm's statistics were those of the criterion's passes."""
    shape = images.image_shape
    model = build_model("resnet8", num_classes=images.num_classes, image_shape=shape, seed=0)
    model.train()
    mask = Mask.dense(model, "conv", shape)
    masks = CriterionMasks(images, mask, PruneConfig(), f"{__name__}:{name}", (0, 0))
    if changed is None:
        plain = CriterionMasks(images, mask, PruneConfig(), "magnitude", (0, 0))
        assert masks(model) == plain(model)
        return
    with pytest.raises(ConfigError, match=rf"{name}' changed the network .*\('.*{changed}.*'\)"):
        masks(model)
