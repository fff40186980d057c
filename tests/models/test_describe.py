import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from prac.errors import ConfigError
from prac.models.conv import ConvNet
from prac.models.describe import convolution_weights, count_parameters, forward_flops


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Conv2d(2, 4, 3, padding=1)
        self.grouped = nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=2)
        self.norm = nn.BatchNorm2d(8)
        self.unused = nn.Conv1d(1, 1, 1)
        self.linear = nn.Linear(8, 3)

    def forward(self, images: Tensor) -> Tensor:
        features = self.norm(self.grouped(self.wide(images)))
        logits: Tensor = self.linear(features.mean((2, 3)))
        return logits


def test_flops_are_two_for_each_multiply_add() -> None:
    assert forward_flops(Small(), (4, 6, 2)) == {
        "wide": 2 * (4 * 6) * 4 * (2 * 9),
        "grouped": 2 * (2 * 3) * 8 * (2 * 9),
        "unused": 0,
        "linear": 2 * 8 * 3,
    }


def test_flops_leave_modes_statistics_and_hooks_as_they_were() -> None:
    model = Small().train()
    model.norm.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    forward_flops(model, (4, 6, 2))
    assert model.training
    assert model.wide.training
    assert not model.norm.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not model.wide._forward_hooks


def test_convolution_weights_are_in_module_order_and_named_as_in_the_state_dict() -> None:
    model = Small()
    weights = convolution_weights(model)
    assert list(weights) == ["wide.weight", "grouped.weight", "unused.weight"]
    assert all(weights[name] is model.get_parameter(name) for name in weights)
    assert set(weights) <= set(model.state_dict())


def test_a_shared_convolution_weight_appears_once() -> None:
    model = nn.Sequential(nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1))
    model[1].weight = model[0].weight
    assert list(convolution_weights(model)) == ["0.weight"]
    assert count_parameters(model) == 4 + 2 + 2


def test_a_convolution_alone_is_named_weight() -> None:
    assert list(convolution_weights(nn.Conv3d(1, 1, 1))) == ["weight"]


def test_a_computed_weight_is_refused_by_name() -> None:
    model = nn.Sequential(parametrizations.weight_norm(nn.Conv2d(1, 1, 1)))
    with pytest.raises(ConfigError, match="convolution '0' computes its weight"):
        convolution_weights(model)


def test_linear_and_norm_weights_are_not_prunable() -> None:
    assert list(convolution_weights(ConvNet((4, "M", 8), 1, 10))) == [
        "features.0.weight",
        "features.4.weight",
    ]
