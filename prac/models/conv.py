"""Plain stacks of convolutions, and Conv-4."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

Layer = int | Literal["M"]


def conv4(in_channels: int, num_classes: int, width: float = 1) -> ConvNet:
    """Conv-4 of the lottery ticket paper (Frankle and Carbin 2019), with another end.

    The convolutions are the paper's (64, 64, pool, 128, 128, pool). Not the paper's: BatchNorm
    after each of them, and global average pooling with one linear layer in place of three
    fully-connected layers (which hold most of its weights and are never pruned here).
    """
    return ConvNet((64, 64, "M", 128, 128, "M"), in_channels, num_classes, width)


def scaled(channels: int, width: float) -> int:
    """So many channels of a network that is `width` times as wide; one at least."""
    return max(1, round(channels * width))


class ConvNet(nn.Module):
    """3x3 convolutions with BatchNorm and ReLU, the mean over the image, one linear layer."""

    def __init__(
        self, layers: Sequence[Layer], in_channels: int, num_classes: int, width: float = 1
    ) -> None:
        """Make the layers with new weights.

        Args:
            layers: the channels of each convolution in turn, `"M"` for a 2x2 max-pool.
            in_channels: channels of the images.
            num_classes: size of the output.
            width: times as many channels.
        """
        super().__init__()
        features: list[nn.Module] = []
        channels = in_channels
        for layer in layers:
            if layer == "M":
                features.append(nn.MaxPool2d(2))
            else:
                out_channels = scaled(layer, width)
                features += conv_norm_relu(channels, out_channels)
                channels = out_channels
        self.features = nn.Sequential(*features)
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits `(N, num_classes)` of images `(N, C, H, W) float32`."""
        logits: Tensor = self.classifier(self.features(images).mean((2, 3)))
        return logits


def conv_norm_relu(
    in_channels: int, out_channels: int, kernel_size: int = 3, stride: int = 1
) -> list[nn.Module]:
    """A convolution without bias (BatchNorm has one), its BatchNorm and a ReLU."""
    return [
        convolution(in_channels, out_channels, kernel_size, stride),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    ]


def convolution(
    in_channels: int, out_channels: int, kernel_size: int = 3, stride: int = 1
) -> nn.Conv2d:
    """A convolution without bias, padded to keep the image's size at stride 1.

    Initial weights are normal with variance 2 / fan-out (He et al. 2015, arXiv:1502.01852).
    """
    layer = nn.Conv2d(
        in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, bias=False
    )
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return layer
