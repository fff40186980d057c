"""SGD against torch's own, bit for bit, and without its import of a compiler."""

from __future__ import annotations

import copy
import subprocess
import sys

import pytest
import torch

from prac.models.registry import build_model
from prac.training.sgd import Sgd


@pytest.mark.parametrize(
    ("momentum", "weight_decay", "nesterov"),
    [
        (0.9, 1e-4, False),
        (0.9, 1e-4, True),
        (0.0, 1e-2, False),
        (0.9, 0.0, False),
        (0.0, 0.0, False),
    ],
)
def test_the_same_bits_as_torchs(momentum: float, weight_decay: float, nesterov: bool) -> None:
    ours = build_model("resnet8", num_classes=3, image_shape=(8, 8, 3), seed=0)
    ours.to(memory_format=torch.channels_last)
    theirs = copy.deepcopy(ours)
    settings = {"momentum": momentum, "weight_decay": weight_decay, "nesterov": nesterov}
    sgd = Sgd(ours.parameters(), **settings)
    reference = torch.optim.SGD(theirs.parameters(), lr=1.0, foreach=True, **settings)
    draw = torch.Generator().manual_seed(0)
    for step in range(6):
        rate = 0.3 / (step + 1)
        reference.param_groups[0]["lr"] = rate
        sgd.zero_grad()
        reference.zero_grad()
        for number, (mine, other) in enumerate(
            zip(ours.parameters(), theirs.parameters(), strict=True)
        ):
            # Some have no gradient at first, one never has.
            if number == 2 or (number % 3 == 0 and step < 2):
                continue
            gradient = torch.empty_like(mine).copy_(torch.randn(mine.shape, generator=draw))
            mine.grad, other.grad = gradient, gradient.clone()
        sgd.step(rate)
        reference.step()
        for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert torch.equal(mine, other)
    buffers = [reference.state[p].get("momentum_buffer") for p in theirs.parameters()]
    for mine, buffer in zip(ours.parameters(), buffers, strict=True):
        assert (mine in sgd.momentum_of) == (buffer is not None)
        assert buffer is None or torch.equal(sgd.momentum_of[mine], buffer)


def test_training_imports_no_compiler() -> None:
    program = """
import sys, numpy as np, torch
from prac.config.sections import AugmentConfig, TrainConfig
from prac.data.batches import DeviceImages
from prac.data.dataset import ImageDataset
from prac.models.registry import build_model
from prac.training.loop import Training, train
from prac.training.schedule import full_budget
ids, images = np.arange(6, dtype=np.int32), np.zeros((6, 8, 8, 1), np.uint8)
data = ImageDataset(name="x", fingerprint="x", class_names=("a", "b"), train_images=images,
    train_labels=np.arange(6) % 2, test_images=images, test_labels=np.arange(6) % 2,
    training_ids=ids[:4], validation_ids=ids[4:], mean=(0.5,), std=(0.5,))
config = TrainConfig(epochs=1, milestones=(), precision="fp32")
model = build_model("conv4", num_classes=2, image_shape=(8, 8, 1), seed=0)
train(model, Training(run="x", images=DeviceImages(data, AugmentConfig()), sample_ids=ids[:4],
    config=config, budget=full_budget(config, 4), seed=0, stream=("x",)))
assert "torch._dynamo" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
