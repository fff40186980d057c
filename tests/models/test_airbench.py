import torch
from torch.nn.utils import parameters_to_vector

from prac.models.airbench import airbench8s


def test_it_has_the_parameters_of_the_layer_formula() -> None:
    pairs = [(24, 48), (48, 48), (48, 128), (128, 128), (128, 192), (192, 192)]
    convolutions = 4 * 3 * 24 + 9 * sum(a * b for a, b in pairs)
    norms = 2 * (24 + sum(b for _, b in pairs))
    count = parameters_to_vector(airbench8s(3, 10).parameters()).numel()
    assert count == convolutions + norms + 192 * 10 + 10


def test_the_linear_layer_sees_the_maximum_over_the_image() -> None:
    model = airbench8s(3, 10).eval()
    images = torch.randn(2, 3, 32, 32)
    features = model.features(images)
    # 31 pixels after the unpadded convolution, halved three times.
    assert features.shape == (2, 192, 3, 3)
    expected = model.classifier(features.flatten(2).max(dim=2).values)
    torch.testing.assert_close(model(images), expected)
