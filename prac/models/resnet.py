"""Residual networks of basic blocks (He et al. 2015, arXiv:1512.03385)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from prac.models.conv import conv_norm_relu, convolution, scaled

Shortcut = Callable[[int, int, int], nn.Module]


def cifar_resnet(depth: int, in_channels: int, num_classes: int, width: float = 1) -> ResNet:
    """The CIFAR network of section 4.2: 6n + 2 layers, widths 16, 32, 64, option A shortcuts.

    Initial weights, the linear layer's among them, are normal with variance 2 / fan-in, as in the
    published experiments.

    Raises:
        ValueError: depth is not 6n + 2 with n of 1 or more.
    """
    num_blocks, rest = divmod(depth - 2, 6)
    if rest or num_blocks < 1:
        raise ValueError(f"depth {depth} is not 6n + 2; allowed: 8, 14, 20, 26, ...")
    widths = [scaled(channels, width) for channels in (16, 32, 64)]
    network = ResNet(
        stem=nn.Sequential(*conv_norm_relu(in_channels, widths[0])),
        widths=widths,
        blocks_per_stage=num_blocks,
        shortcut=ZeroPadShortcut,
        num_classes=num_classes,
    )
    for layer in network.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(layer.weight)
    return network


def resnet18(
    in_channels: int, num_classes: int, stem: Literal["3x3", "7x7"] = "3x3", width: float = 1
) -> ResNet:
    """ResNet-18 of table 1, projection shortcuts where the width changes (option B).

    stem `7x7` is the published one (stride 2, then a 3x3 max-pool of stride 2), also of the
    experiments on Tiny ImageNet; `3x3` has stride 1 and no max-pool, as is usual for images of
    32x32.
    """
    widths = [scaled(channels, width) for channels in (64, 128, 256, 512)]
    layers = conv_norm_relu(in_channels, widths[0])
    if stem == "7x7":
        layers = conv_norm_relu(in_channels, widths[0], kernel_size=7, stride=2)
        layers.append(nn.MaxPool2d(3, stride=2, padding=1))
    return ResNet(
        stem=nn.Sequential(*layers),
        widths=widths,
        blocks_per_stage=2,
        shortcut=projection_shortcut,
        num_classes=num_classes,
    )


class ResNet(nn.Module):
    """A stem, stages of basic blocks, the mean over the image, one linear layer."""

    def __init__(
        self,
        *,
        stem: nn.Module,
        widths: Sequence[int],
        blocks_per_stage: int,
        shortcut: Shortcut,
        num_classes: int,
    ) -> None:
        """Make the stages with new weights behind the stem.

        Args:
            stem: from images to `widths[0]` channels.
            widths: channels of each stage; every stage but the first halves the image.
            blocks_per_stage: basic blocks in each stage.
            shortcut: makes the shortcut `(in_channels, out_channels, stride)` of a stage's first
                block where the shape changes.
            num_classes: width of the output.
        """
        super().__init__()
        self.stem = stem
        stages: list[nn.Module] = []
        in_channels = widths[0]
        for index, width in enumerate(widths):
            blocks: list[nn.Module] = []
            for block in range(blocks_per_stage):
                stride = 2 if index > 0 and block == 0 else 1
                blocks.append(BasicBlock(in_channels, width, stride, shortcut))
                in_channels = width
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.Sequential(*stages)
        self.classifier = nn.Linear(in_channels, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits `(N, num_classes)` of images `(N, C, H, W) float32`."""
        logits: Tensor = self.classifier(self.stages(self.stem(images)).mean((2, 3)))
        return logits


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut around them (figure 5, left)."""

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, shortcut: Shortcut
    ) -> None:
        """Make the block; `shortcut` is called only where the shape changes."""
        super().__init__()
        self.conv1 = convolution(in_channels, out_channels, stride=stride)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = convolution(out_channels, out_channels)
        self.norm2 = nn.BatchNorm2d(out_channels)
        same_shape = stride == 1 and in_channels == out_channels
        self.shortcut = nn.Identity() if same_shape else shortcut(in_channels, out_channels, stride)

    def forward(self, features: Tensor) -> Tensor:
        """`(N, in, H, W)` to `(N, out, ceil(H / stride), ceil(W / stride))`."""
        hidden = functional.relu(self.norm1(self.conv1(features)), inplace=True)
        hidden = self.norm2(self.conv2(hidden))
        return functional.relu(hidden + self.shortcut(features), inplace=True)


class ZeroPadShortcut(nn.Module):
    """Option A of section 4.2: every stride-th pixel, and zeros for the new channels.

    The new channels are split before and after the old ones.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        """Take the channels and the stride as the block's first convolution has them."""
        super().__init__()
        self.stride = stride
        self.before = (out_channels - in_channels) // 2
        self.after = out_channels - in_channels - self.before

    def forward(self, features: Tensor) -> Tensor:
        """`(N, in, H, W)` to `(N, out, ceil(H / stride), ceil(W / stride))`."""
        sampled = features[:, :, :: self.stride, :: self.stride]
        return functional.pad(sampled, (0, 0, 0, 0, self.before, self.after))


def projection_shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    """Option B of section 4.1: a 1x1 convolution with BatchNorm."""
    return nn.Sequential(
        convolution(in_channels, out_channels, kernel_size=1, stride=stride),
        nn.BatchNorm2d(out_channels),
    )
