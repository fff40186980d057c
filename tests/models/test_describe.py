import torch
from torch import Tensor, nn

from prac.models.describe import forward_flops


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
