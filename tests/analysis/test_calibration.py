"""A quick calibration: a time for one image, in the order of what the loop itself takes."""

from __future__ import annotations

import time

import torch

from prac.analysis.calibration import calibrate
from prac.analysis.timed import Timed
from prac.config.sections import TrainConfig
from prac.models.registry import build_model


def timed(architecture: str, image_shape: tuple[int, int, int], train: TrainConfig) -> Timed:
    return Timed(
        architecture=architecture,
        image_shape=image_shape,
        num_classes=10,
        train=train,
        device="cpu",
    )


def test_the_time_is_that_of_training_steps() -> None:
    config = TrainConfig(batch_size=32, milestones=(), precision="fp32", schedule="cosine")
    before = torch.random.get_rng_state()
    seconds = calibrate(timed("conv4", (16, 16, 3), config), threads=1).training
    assert torch.equal(before, torch.random.get_rng_state())

    model = build_model("conv4", num_classes=10, image_shape=(16, 16, 3), seed=0)
    images, labels = torch.zeros(32, 3, 16, 16), torch.zeros(32, dtype=torch.int64)
    started = time.perf_counter()
    for _ in range(3):
        torch.nn.functional.cross_entropy(model(images), labels).backward()
    # Wide bounds: the machine may be busy. They tell an image from a batch and a step from none.
    by_hand = (time.perf_counter() - started) / 96
    assert by_hand / 10 < seconds < by_hand * 10


def test_a_larger_network_takes_longer() -> None:
    config = TrainConfig(batch_size=16, milestones=(), precision="fp32")
    small = calibrate(timed("resnet8", (8, 8, 1), config), threads=1).training
    large = calibrate(timed("resnet56s", (32, 32, 1), config), threads=1).training
    assert large > 5 * small
