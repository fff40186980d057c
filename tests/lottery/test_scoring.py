"""Evidence for scores: probabilities recomputed by hand, a proxy trained as a plain network is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch
from support.searches import searched

from prac.config.recipe import Recipe
from prac.config.sections import AugmentConfig, SearchConfig, SelectConfig, TrainConfig
from prac.config.values import RewindPoint
from prac.data.batches import DeviceImages
from prac.data.dataset import ImageDataset
from prac.lottery.bill import flops, total
from prac.lottery.outputs import BEST, SET, Cost
from prac.lottery.scoring import Witness, train_proxy, training_labels
from prac.lottery.stage_config import ProxyConfig
from prac.models.registry import build_model
from prac.training.evaluation import predict, predict_probabilities
from prac.training.observers import EpochEnd
from prac.training.randomness import derived_seed

ToyData = Callable[..., ImageDataset]
CONFIG = ProxyConfig(
    architecture="conv4",
    network=("conv4",),
    train=TrainConfig(epochs=2, batch_size=16, learning_rate=0.05, milestones=(), precision="fp32"),
    augment=AugmentConfig(crop_padding=1),
    seed=3,
)


@pytest.fixture(scope="module")
def dataset(toy_data: ToyData) -> ImageDataset:
    return toy_data(600)


@pytest.fixture(scope="module")
def images(dataset: ImageDataset) -> DeviceImages:
    return DeviceImages(dataset, CONFIG.augment)


def model(seed: int = 1) -> torch.nn.Module:
    return build_model("conv4", num_classes=3, image_shape=(8, 8, 1), seed=seed)


def test_probabilities_are_the_softmax_of_clean_images(images: DeviceImages) -> None:
    net = model()
    got = predict_probabilities(net, images, images.training_ids, "fp32")
    net.eval()
    with torch.no_grad():
        expected = net(images.clean(images.training_ids)).softmax(1).numpy()
    assert got.dtype == np.float32
    assert len(got) == 480  # more than one batch
    np.testing.assert_allclose(got, expected, atol=1e-5)
    np.testing.assert_allclose(got.sum(axis=1), 1, atol=1e-5)
    classes = predict(net, images, images.training_ids, "fp32")
    assert got.argmax(axis=1).tolist() == classes.tolist()


def test_a_witness_counts_what_it_passes(images: DeviceImages) -> None:
    witness = Witness(images, "fp32")
    evidence = witness.evidence(
        seed=3, round_index=2, architecture="conv4", weights=model().state_dict()
    )
    assert evidence.seed == (3, 2)
    assert evidence.events is None
    assert evidence.labels.tolist() == images.labels(images.training_ids).tolist()
    assert witness.predicted == 0
    assert evidence.probabilities is not None
    expected = predict_probabilities(model(), images, images.training_ids, "fp32")
    np.testing.assert_array_equal(evidence.probabilities(), expected)
    assert witness.predicted == 480
    assert witness.evidence(seed=0, round_index=0).probabilities is None


def test_a_proxy_is_trained_on_everything(images: DeviceImages) -> None:
    proxy = train_proxy(CONFIG, images, run="proxy")
    assert proxy.steps == 2 * 30
    assert len(proxy.epochs) == 2
    assert not proxy.stopped_early
    start = model(derived_seed(3, "proxy")).state_dict()
    name = "features.0.weight"
    assert not torch.equal(proxy.best_weights[name], start[name])
    again = train_proxy(CONFIG, images, run="again")
    assert all(torch.equal(proxy.best_weights[n], t) for n, t in again.best_weights.items())
    other = train_proxy(dataclasses.replace(CONFIG, seed=4), images, run="other")
    assert not torch.equal(proxy.best_weights[name], other.best_weights[name])


def test_a_proxy_s_set_by_hand_from_its_best_weights(
    dataset: ImageDataset, images: DeviceImages
) -> None:
    """Those of the epoch with the highest validation accuracy, neither the first nor the last."""
    recipe = Recipe(
        name="r",
        description="",
        architectures=("resnet8",),
        augment=CONFIG.augment,
        train=dataclasses.replace(CONFIG.train, epochs=1, learning_rate=0.3),
        select=SelectConfig(
            score="proxy", fraction=0.3, options={"proxy": "resnet8", "proxy_epochs": 6}
        ),
        search=SearchConfig(rounds=1, rewind=RewindPoint("init")),
    )
    seen: list[tuple[float, dict[str, torch.Tensor]]] = []

    def look(end: EpochEnd) -> None:
        weights = {n: t.detach().clone() for n, t in end.model.state_dict().items()}
        seen.append((end.record.validation_accuracy, weights))

    for seed in range(2, 8):
        seen.clear()
        tried = recipe.replace(search=dataclasses.replace(recipe.search, seed=seed))
        config = ProxyConfig.of(tried, tried.select, "fp32")
        train_proxy(config, images, run="proxy", on_epoch=look)
        best = int(np.argmax([accuracy for accuracy, _ in seen]))
        # At this learning rate the accuracy goes up and down: with the first of these seeds, too.
        if 0 < best < len(seen) - 1:
            break
    assert 0 < best < len(seen) - 1
    done = searched(tried, dataset)
    made = done.made("proxy:resnet8")
    assert all(torch.equal(made[BEST][n], t) for n, t in seen[best][1].items())
    assert (made.cost.steps, made.cost.samples) == (6 * 30, 6 * 480)
    assert (made.cost.evaluation_samples, made.cost.score_samples) == (6 * 120, 0)
    assert done.made("score:proxy").cost.score_samples == 480
    got = set(done.made(done.stages().samples[0])[SET].sample_ids.tolist())
    size = round(0.3 * len(images.training_ids))
    assert len(got) == size

    def by_hand(weights: Mapping[str, torch.Tensor]) -> set[int]:
        net = build_model("resnet8", num_classes=3, image_shape=(8, 8, 1), seed=0)
        net.load_state_dict(dict(weights))
        net.eval()
        with torch.no_grad():
            chances = net(images.clean(images.training_ids)).double().softmax(1)
        entropies = -(chances * chances.clamp_min(1e-300).log()).sum(1)
        order = entropies.argsort(descending=True)[:size].numpy()
        return set(images.training_ids[order].tolist())

    assert len(got & by_hand(seen[best][1])) >= size - 2
    for epoch in (0, len(seen) - 1):
        assert len(got & by_hand(seen[epoch][1])) < 0.9 * size


def test_costs_add_up() -> None:
    one = Cost(steps=1, samples=2, evaluation_samples=3, score_samples=4, seconds=0.5)
    two = Cost(score_gradient_samples=7, score_samples=1, score_passes=9, other_flops=11)
    assert total([one, two]) == Cost(
        steps=1,
        samples=2,
        evaluation_samples=3,
        score_samples=5,
        score_gradient_samples=7,
        score_passes=9,
        other_flops=11,
        seconds=0.5,
    )
    assert total([]) == Cost()
    # Energy is known where all of it is.
    told = Cost(joules=2.0, energy_source="RAPL")
    assert total([told, told]).joules == 4.0
    assert total([told, told]).energy_source == "RAPL"
    assert total([told, Cost(energy_source="none")]).joules is None
    assert total([told, Cost(energy_source="none")]).energy_source == "RAPL; none"
    # A backward pass is two forward ones; who ran another network counts its own.
    assert flops([Cost(samples=5, cep_samples=1, score_passes=2, evaluation_samples=3)], 10) == 210
    assert flops([two, Cost(score_samples=4)], 10) == 11 + 40


def test_labels_are_those_of_the_training_rows(images: DeviceImages) -> None:
    assert training_labels(images).tolist() == images.labels(images.training_ids).tolist()
