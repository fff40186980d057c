"""The CIFAR network of airbench (Jordan 2024, arXiv:2404.00498), narrower."""

from __future__ import annotations

from torch import Tensor, nn

from prac.models.conv import conv_norm_relu, convolution

_WIDTHS = (48, 128, 192)


def airbench8s(in_channels: int, num_classes: int) -> AirBench:
    """Seven convolutions and a linear layer, 0.79 M weights: strong after few epochs."""
    return AirBench(in_channels, num_classes)


class AirBench(nn.Module):
    """A 2x2 convolution, three blocks of two 3x3 ones, the maximum over the image, a linear layer.

    What it has of the published network: that shape, and each block pooled before its first
    BatchNorm, where a quarter of the pixels is left to normalise. What it has not: fixed whitening
    weights, GELU, widths of 64, 256, 256, and convolutions that begin as the identity.
    """

    def __init__(self, in_channels: int, num_classes: int) -> None:
        """Make the layers with new weights.

        Args:
            in_channels: channels of the images.
            num_classes: width of the output.
        """
        super().__init__()
        width = 24
        stem = conv_norm_relu(in_channels, width, kernel_size=2)
        assert isinstance(stem[0], nn.Conv2d)
        stem[0].padding = (0, 0)
        features = stem
        for out_channels in _WIDTHS:
            features += [
                convolution(width, out_channels),
                nn.MaxPool2d(2),
                nn.BatchNorm2d(out_channels),
                nn.ReLU(inplace=True),
                *conv_norm_relu(out_channels, out_channels),
            ]
            width = out_channels
        self.features = nn.Sequential(*features)
        self.classifier = nn.Linear(width, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits `(N, num_classes)` of images `(N, C, H, W) float32`."""
        logits: Tensor = self.classifier(self.features(images).amax((2, 3)))
        return logits
