import torch
from torch import nn
from torch.nn.utils import parameters_to_vector

from prac.models.conv import ConvNet, conv4


def test_conv4_has_the_parameters_of_the_layer_formula() -> None:
    convolutions = 9 * (3 * 64 + 64 * 64 + 64 * 128 + 128 * 128)
    assert (
        parameters_to_vector(conv4(3, 10).parameters()).numel()
        == convolutions + 2 * 2 * (64 + 128) + 128 * 10 + 10
    )


def test_the_linear_layer_sees_the_mean_over_the_image() -> None:
    model = ConvNet((4, "M"), 2, 3).eval()
    images = torch.randn(5, 2, 6, 6)
    assert isinstance(model.features, nn.Sequential)
    expected = model.classifier(model.features(images).flatten(2).mean(2))
    torch.testing.assert_close(model(images), expected)
