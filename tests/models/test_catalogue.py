"""Our architectures by name: what the check lets through runs, and nothing smaller does."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from prac.errors import ConfigError
from prac.models import ARCHITECTURES, build_model, check_architecture


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
        "import sys; from prac.models import check_architecture; "
        "check_architecture('vgg16', 10, (32, 32, 3)); sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
