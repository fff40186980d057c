"""VGG with BatchNorm (Simonyan and Zisserman 2015) in the form used on CIFAR."""

from __future__ import annotations

from typing import Literal

from torch import nn

from prac.models.conv import ConvNet, Layer

VggDepth = Literal[11, 13, 16, 19]

_CONVOLUTIONS_PER_WIDTH: dict[VggDepth, tuple[int, ...]] = {
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
_WIDTHS = (64, 128, 256, 512, 512)


def vgg(depth: VggDepth, in_channels: int, num_classes: int, width: float = 1) -> ConvNet:
    """VGG of 11, 13, 16 or 19 layers: five max-pools, 512 features, a single linear layer.

    The CIFAR form: no hidden fully-connected layers. Images above 32x32 leave more than one
    position after the last pool; their mean is the feature. The linear layer starts from a normal
    distribution of deviation 0.01, its bias from 0, as in the published experiments.
    """
    layers: list[Layer] = []
    for channels, count in zip(_WIDTHS, _CONVOLUTIONS_PER_WIDTH[depth], strict=True):
        layers += [channels] * count
        layers.append("M")
    network = ConvNet(layers, in_channels, num_classes, width)
    nn.init.normal_(network.classifier.weight, std=0.01)
    nn.init.zeros_(network.classifier.bias)
    return network


def vgg8s(in_channels: int, num_classes: int, width: float = 1) -> ConvNet:
    """A small VGG for images of 8x8: three pairs of convolutions, 32 to 128 wide, two max-pools."""
    layers: tuple[Layer, ...] = (32, 32, "M", 64, 64, "M", 128, 128)
    return ConvNet(layers, in_channels, num_classes, width)
