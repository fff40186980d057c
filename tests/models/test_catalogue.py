"""Our architectures by name: what the check lets through runs, and nothing smaller does."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from prac.errors import ConfigError
from prac.models.catalogue import ARCHITECTURES
from prac.models.check import check_architecture
from prac.models.registry import build_model


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_every_one_of_ours_runs_at_its_smallest_size_and_no_smaller(
    architecture: str, channels: int
) -> None:
    pixels = ARCHITECTURES[architecture].min_pixels
    check_architecture(architecture, 5, (pixels, pixels, channels))
    model = build_model(architecture, num_classes=5, image_shape=(pixels, pixels, channels), seed=0)
    with torch.no_grad():
        assert model(torch.zeros(2, channels, pixels, pixels)).shape == (2, 5)
    with pytest.raises(ConfigError, match=f"{architecture} needs images of at least {pixels}x"):
        check_architecture(architecture, 5, (pixels, pixels - 1, channels))


@pytest.mark.parametrize(
    ("name", "layers"), [("resnet20s", 20), ("resnet56s", 56), ("vgg16", 14), ("resnet18", 21)]
)
def test_a_name_builds_its_own_depth(name: str, layers: int) -> None:
    model = build_model(name, num_classes=10, image_shape=(32, 32, 3), seed=0)
    kinds = (torch.nn.Conv2d, torch.nn.Linear)
    assert sum(isinstance(module, kinds) for module in model.modules()) == layers


def test_a_check_of_ours_needs_no_torch() -> None:
    code = (
        "import sys; from prac.models.check import check_architecture; "
        "check_architecture('vgg16', 10, (32, 32, 3)); sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def _prunable(name: str) -> int:
    model = build_model(name, num_classes=10, image_shape=(32, 32, 3), seed=0)
    return sum(w.numel() for w in model.parameters() if w.ndim == 4)


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
@pytest.mark.parametrize("width", [0.25, 0.3, 1.5])
def test_every_one_of_ours_comes_in_widths(architecture: str, width: float) -> None:
    name = f"{architecture}_x{width:g}"
    check_architecture(name, 10, (32, 32, 3))
    model = build_model(name, num_classes=10, image_shape=(32, 32, 3), seed=0)
    with torch.no_grad():
        assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    # Channels in times channels out: the square, but for rounding and the first layer.
    assert _prunable(name) / _prunable(architecture) == pytest.approx(width**2, rel=0.12)


def test_a_width_by_hand() -> None:
    # ResNet-8 with 8, 16, 32 channels: the stem, then three blocks of two 3x3 convolutions.
    by_hand = 3 * 8 + 2 * 8 * 8 + 8 * 16 + 16 * 16 + 16 * 32 + 32 * 32
    assert _prunable("resnet8_x0.5") == 9 * by_hand


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet20s_x0.50", "did you mean 'resnet20s_x0.5'"),
        ("resnet20s_x1", "did you mean 'resnet20s'"),
        ("resnet20_x0.5", "did you mean 'resnet20s_x0.5'"),
        ("resnet20s_x0", "width 0 is not allowed; allowed: above 0 to 16 times as wide"),
        ("resnet20s_x17", "above 0 to 16"),
        ("resnet20s_x1.2.3", "above 0 to 16"),
        ("resnet20", "did you mean 'resnet20s'"),
    ],
)
def test_a_network_has_one_name(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_architecture(name, 10, (32, 32, 3))
