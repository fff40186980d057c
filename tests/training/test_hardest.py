"""Training on the hardest of each batch: against a sort by hand, and a step against autograd."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.trainings import training_of
from torch import Tensor, nn

from prac.config.sections import AugmentConfig, TrainConfig
from prac.data.batches import Batch, DeviceImages
from prac.data.dataset import ImageDataset
from prac.training.hardest import hardest, part_size
from prac.training.loop import train
from prac.training.observers import Observer
from prac.training.randomness import generator


@pytest.fixture(scope="module")
def images(toy_data: Callable[..., ImageDataset]) -> DeviceImages:
    return DeviceImages(toy_data(250), AugmentConfig(crop_padding=1, flip=True))


@given(
    st.lists(
        st.tuples(st.integers(0, 2), *[st.sampled_from([-1.0, 0.0, 0.5, 2.0])] * 3), min_size=1
    ),
    st.integers(1, 12),
)
def test_the_highest_losses_and_of_equal_ones_the_first(
    rows: list[tuple[int, float, float, float]], count: int
) -> None:
    count = min(count, len(rows))
    logits, labels = torch.tensor([row[1:] for row in rows]), torch.tensor([r[0] for r in rows])

    def loss(place: int) -> float:
        label, *z = rows[place]
        # Exactly summed in one order, so that equal rows have equal losses.
        return round(math.log(math.fsum(math.exp(v) for v in z)) - z[label], 5)

    by_hand = sorted(range(len(rows)), key=lambda place: (-loss(place), place))[:count]
    found = hardest(logits, labels, count).tolist()
    assert found == sorted(found)
    assert sorted(loss(p) for p in found) == sorted(loss(p) for p in by_hand)
    if all(loss(p) != loss(q) or rows[p] == rows[q] for p in found for q in range(len(rows))):
        assert found == sorted(by_hand)


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 200), st.floats(0.01, 0.999), st.integers(1, 64), st.integers(1, 3))
def test_steps_are_those_of_as_many_samples_alone(
    images: DeviceImages, count: int, share: float, batch_size: int, shares: int
) -> None:
    ids = images.training_ids[:count]
    trained = part_size(len(ids), share)
    steps = math.ceil(trained / batch_size)
    if trained // steps < shares:
        return
    parts = [
        list(
            images.epoch(
                ids, batch_size, generator(0), rank=rank, world_size=shares, trained=trained
            )
        )
        for rank in range(shares)
    ]
    alone = [
        list(images.epoch(ids[:trained], batch_size, generator(0), rank=rank, world_size=shares))
        for rank in range(shares)
    ]
    for mine, theirs in zip(parts, alone, strict=True):
        assert [b.trained for b in mine] == [len(b.sample_ids) for b in theirs]
        assert [b.step_size for b in mine] == [b.step_size for b in theirs]
        assert all(len(b.sample_ids) >= (b.trained or 0) > 0 for b in mine)
    presented = np.concatenate([b.sample_ids for mine in parts for b in mine])
    assert np.array_equal(np.sort(presented), ids)


class _Seen(Observer):
    """What observers are given: samples and logits."""

    name = "seen"

    def __init__(self) -> None:
        self.samples: list[int] = []
        self.logits: list[Tensor] = []

    def on_predictions(self, batch: Batch, logits: Tensor) -> None:
        self.samples += batch.sample_ids.tolist()
        self.logits.append(logits.clone())


def _net() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        body = [nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten()]
        return nn.Sequential(*body, nn.Linear(6 * 36, 3))


@pytest.mark.parametrize("shares", [1, 2])
def test_one_step_against_autograd_by_hand(images: DeviceImages, shares: int) -> None:
    """BatchNorm normalises and counts what is trained on; observers see all."""
    ids = images.training_ids[:80]
    config = TrainConfig(
        epochs=1, batch_size=64, learning_rate=0.05, weight_decay=0.0, milestones=(),
        label_smoothing=0.1, shares=shares,
    )  # fmt: skip
    training = training_of(
        images, config, ids=ids, seed=3, stream=("round", 1), fresh=24, hardest=True
    )
    ours, plain, watch = _net(), _net(), _Seen()
    trained = train(ours, training, observers=[watch])

    plain.to(memory_format=torch.channels_last).train()
    total, taken, logits = torch.zeros(()), [], []
    first: dict[str, Tensor] = {}
    for rank in range(shares):
        draw = generator(3, "round", 1, 0)
        (batch,) = images.epoch(ids, 64, draw, rank=rank, world_size=shares, trained=24)
        other = _net().to(memory_format=torch.channels_last).train()
        with torch.no_grad():
            logits.append(other(batch.images))
        losses = [
            float(nn.functional.cross_entropy(z[None], y[None]))
            for z, y in zip(logits[-1], batch.labels, strict=True)
        ]
        places = sorted(range(len(losses)), key=losses.__getitem__)[-24 // shares :]
        taken += places
        output = plain(batch.images[places])
        total = total + nn.functional.cross_entropy(
            output, batch.labels[places], reduction="sum", label_smoothing=0.1
        )
        first = first or {n: b.clone() for n, b in plain.named_buffers()}
    (total / 24).backward()
    torch.optim.SGD(plain.parameters(), lr=0.05, momentum=0.9).step()
    assert len(taken) == 24
    assert trained.steps == 1
    assert trained.epochs[0].loss == pytest.approx(total.item() / 24, rel=1e-5)
    assert sorted(watch.samples) == ids.tolist()
    for seen, expected in zip(watch.logits, logits, strict=True):
        torch.testing.assert_close(seen, expected)
    for one, two in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-6)
    for name, buffer in ours.named_buffers():
        torch.testing.assert_close(buffer, first[name])


def test_a_training_that_goes_on_is_the_one_that_was_not_interrupted(images: DeviceImages) -> None:
    config = TrainConfig(epochs=3, batch_size=16, learning_rate=0.05, milestones=(), shares=1)
    training = training_of(images, config, seed=3, stream=("round", 1), fresh=50, hardest=True)
    one, other = _net(), _net()
    train(one, training)
    whole = {n: t.clone() for n, t in one.state_dict().items()}
    torch.manual_seed(9)
    train(other, dataclasses.replace(training, run="y"))
    assert all(torch.equal(whole[n], t) for n, t in other.state_dict().items())
