import itertools

import pytest
from torch import nn
from torch.nn.utils import parameters_to_vector

from prac.models.vgg import VggDepth, vgg, vgg8s


def test_vgg16_has_the_parameters_of_the_layer_formula() -> None:
    widths = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    convolutions = sum(9 * a * b for a, b in itertools.pairwise(widths))
    count = parameters_to_vector(vgg(16, 3, 10).parameters()).numel()
    assert count == convolutions + 2 * sum(widths[1:]) + 512 * 10 + 10
    assert count == pytest.approx(14.7e6, rel=0.005)


@pytest.mark.parametrize("depth", [11, 13, 16, 19])
def test_the_depth_counts_convolutions_and_one_linear_layer_of_the_three(depth: VggDepth) -> None:
    model = vgg(depth, 1, 10)
    assert sum(isinstance(m, nn.Conv2d) for m in model.modules()) == depth - 3


def test_vgg8s_has_the_parameters_of_the_layer_formula() -> None:
    convolutions = 9 * (1 * 32 + 32 * 32 + 32 * 64 + 64 * 64 + 64 * 128 + 128 * 128)
    norms = 2 * 2 * (32 + 64 + 128)
    assert (
        parameters_to_vector(vgg8s(1, 10).parameters()).numel()
        == convolutions + norms + 128 * 10 + 10
    )
