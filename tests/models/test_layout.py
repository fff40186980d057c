"""Networks that need plain memory are given it, whatever order the images have."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from prac.models.layout import keep_plain, placed


class Flattens(nn.Module):
    """The plainest convolutional network there is."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.one = nn.Conv2d(channels, 4, 3, padding=1)
        self.two = nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(4 * 8 * 8, 10)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.two(torch.relu(self.one(images)))
        return self.head(maps.view(len(images), -1))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("count", [1, 5])
def test_a_network_that_flattens_by_view_takes_images_in_any_order(
    channels: int, count: int
) -> None:
    model = Flattens(channels)
    images = torch.randn(count, channels, 8, 8)
    expected = model(images)
    model = placed(keep_plain(placed(model, "cpu")), "cpu")
    found = model(images.to(memory_format=torch.channels_last))
    torch.testing.assert_close(found, expected)
