"""Sizes told without a network are those of the networks that are built."""

from __future__ import annotations

import pytest

from prac import Mask
from prac.lottery.sizes import network_size
from prac.models.catalogue import ARCHITECTURES
from prac.models.registry import build_model


@pytest.mark.parametrize("name", [*ARCHITECTURES, "torchvision:squeezenet1_1"])
@pytest.mark.parametrize(("shape", "classes"), [((32, 32, 3), 10), ((64, 64, 1), 7)])
def test_the_size_is_that_of_the_network(
    name: str, shape: tuple[int, int, int], classes: int
) -> None:
    if name.startswith("torchvision") and shape[2] == 1:
        pytest.skip("torchvision's take three channels")
    model = build_model(name, num_classes=classes, image_shape=shape, seed=0)
    size = network_size(name, shape, classes)
    assert size.state == sum(t.numel() * t.element_size() for t in model.state_dict().values())
    assert size.prunable == Mask.dense(model).size
