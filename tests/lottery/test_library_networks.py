"""Networks of libraries, of all families, through a search of seconds to a ticket that loads."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

import prac
from prac.config.recipes import digits
from prac.config.values import RewindPoint
from prac.errors import ConfigError

TORCHVISION = [
    *("alexnet/64", "vgg11_bn/64", "resnet18", "resnext50_32x4d", "wide_resnet50_2"),
    *("densenet121/64", "googlenet/64", "inception_v3/96", "squeezenet1_1", "mnasnet0_5"),
    *("mobilenet_v2", "mobilenet_v3_small", "shufflenet_v2_x0_5", "efficientnet_b0"),
    *("regnet_y_400mf", "regnet_x_400mf", "convnext_tiny", "swin_t"),
    *("vit_b_32/224", "maxvit_t/224"),
]
TIMM = [
    *("resnet10t", "vit_tiny_patch16_224", "efficientnet_lite0", "convnext_atto"),
    *("mobilenetv3_small_050", "regnetx_002", "mixer_s32_224", "repvgg_a0"),
    *("swin_tiny_patch4_window7_224", "levit_128s"),
]


def _search(name: str, folder: Path) -> None:
    network, _, size = name.partition("/")
    pixels = int(size or 32)
    draw = np.random.default_rng(0)
    labels = np.arange(24) % 3
    images = draw.integers(0, 256, (24, pixels, pixels, 3), dtype=np.uint8)
    recipe = digits().replace(compare=()).with_epochs(1)
    recipe = recipe.set(
        search={"rounds": 1, "rewind": RewindPoint("init")},
        select={"easy": 0.5},
        prune={"layers": "conv+linear"},
        train={"learning_rate": 0.001, "batch_size": 12},
    )
    data = {"train": (images, labels), "test": (images[:6], labels[:6])}
    ticket = prac.search(recipe, data=data, network=network).ticket
    loaded = prac.Ticket.load(ticket.save(folder / "ticket"))
    loaded.verify()
    assert loaded.sparsity == pytest.approx(recipe.prune.fraction, abs=1e-3)
    with torch.no_grad():
        logits = loaded.build(trained=True).eval()(torch.zeros(2, 3, pixels, pixels))
    assert logits.shape == (2, 3)


def test_one_of_torchvision(tmp_path: Path) -> None:
    _search("squeezenet1_1", tmp_path)


with_timm = pytest.mark.skipif(find_spec("timm") is None, reason="pip install 'prac[timm]'")


@with_timm
def test_one_of_timm(tmp_path: Path) -> None:
    _search("timm:test_vit", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", TORCHVISION)
def test_networks_of_torchvision(name: str, tmp_path: Path) -> None:
    _search(name, tmp_path)


@pytest.mark.slow
@with_timm
@pytest.mark.parametrize("name", TIMM)
def test_networks_of_timm(name: str, tmp_path: Path) -> None:
    _search(f"timm:{name}", tmp_path)


@with_timm
def test_standardised_weights_of_timm_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="computes the weight that it uses"):
        _search("timm:nf_resnet26", tmp_path)
