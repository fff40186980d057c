"""The CIFAR network of airbench (Jordan 2024, arXiv:2404.00498), narrower."""

from __future__ import annotations

from torch import Tensor, nn

from prac.models.conv import conv_norm_relu, convolution, scaled

_WIDTHS = (48, 128, 192)


def airbench8s(in_channels: int, num_classes: int, width: float = 1) -> AirBench:
    """Seven convolutions and a linear layer, 0.79 M weights: strong after few epochs."""
    return AirBench(in_channels, num_classes, width)


class AirBench(nn.Module):
    """A 2x2 convolution, three blocks of two 3x3 ones, the maximum over the image, a linear layer.

    What it has of the published network: that shape, and each block pooled before its first
    BatchNorm, where a quarter of the pixels is left to normalise. What it has not: fixed whitening
    weights, GELU, widths of 64, 256, 256, and convolutions that begin as the identity.
    """

    def __init__(self, in_channels: int, num_classes: int, width: float = 1) -> None:
        """Make the layers with new weights.

        Args:
            in_channels: channels of the images.
            num_classes: size of the output.
            width: times as many channels.
        """
        super().__init__()
        channels = scaled(24, width)
        stem = conv_norm_relu(in_channels, channels, kernel_size=2)
        assert isinstance(stem[0], nn.Conv2d)
        stem[0].padding = (0, 0)
        features = stem
        for published in _WIDTHS:
            out_channels = scaled(published, width)
            features += [
                convolution(channels, out_channels),
                nn.MaxPool2d(2),
                nn.BatchNorm2d(out_channels),
                nn.ReLU(inplace=True),
                *conv_norm_relu(out_channels, out_channels),
            ]
            channels = out_channels
        self.features = nn.Sequential(*features)
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits `(N, num_classes)` of images `(N, C, H, W) float32`."""
        logits: Tensor = self.classifier(self.features(images).amax((2, 3)))
        return logits
