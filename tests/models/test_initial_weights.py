"""Initial weights of the published networks, against deviations that were computed elsewhere."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from prac.models.registry import build_model

GOLDEN: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "golden" / "initial_deviations.json").read_text()
)


def _model(architecture: str) -> nn.Module:
    network = GOLDEN[architecture]
    height, width, channels = network["image_shape"]
    return build_model(
        architecture,
        num_classes=network["num_classes"],
        image_shape=(height, width, channels),
        seed=0,
    )


@pytest.mark.parametrize("architecture", GOLDEN)
def test_deviations_are_the_published_ones(architecture: str) -> None:
    model = _model(architecture)
    layers = [m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    expected = [layer for layer in GOLDEN[architecture]["layers"] for _ in range(layer["count"])]
    assert [list(layer.weight.shape) for layer in layers] == [e["shape"] for e in expected]
    for layer, wanted in zip(layers, expected, strict=True):
        weight = layer.weight.detach()
        # A sample's deviation is within 5 of its own standard errors, and its mean as well.
        error = 5 / math.sqrt(weight.numel())
        assert weight.std().item() == pytest.approx(wanted["deviation"], rel=error / math.sqrt(2))
        assert weight.mean().abs().item() < error * wanted["deviation"]


@pytest.mark.parametrize("architecture", GOLDEN)
def test_batchnorm_starts_as_the_identity_and_convolutions_have_no_bias(architecture: str) -> None:
    model = _model(architecture)
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms
    assert all(bool((n.weight == 1).all()) and bool((n.bias == 0).all()) for n in norms)
    assert all(m.bias is None for m in model.modules() if isinstance(m, nn.Conv2d))


@pytest.mark.parametrize(
    ("architecture", "bound"),
    [("resnet20s", 1 / 8), ("resnet56s", 1 / 8), ("resnet18-7x7", 512**-0.5), ("vgg16", 0.0)],
)
def test_the_linear_layers_bias(architecture: str, bound: float) -> None:
    bias = _model(architecture).get_parameter("classifier.bias").detach()
    assert bias.abs().max() <= bound
    assert bias.abs().max() >= bound / 2


@pytest.mark.parametrize("architecture", ["resnet20s", "vgg16"])
def test_the_weights_are_normal(architecture: str) -> None:
    weight = _model(architecture).get_parameter("classifier.weight").detach()
    within = (weight.abs() < weight.std()).double().mean().item()
    # 0.683 of a normal distribution, 0.577 of a uniform one.
    assert within == pytest.approx(0.683, abs=0.05)
    assert torch.isfinite(weight).all()
