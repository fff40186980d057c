"""How many bytes a network's weights take, of ours without torch: a plan of them needs none."""

from __future__ import annotations

from dataclasses import dataclass

from prac.config.sections import PruneConfig
from prac.models.catalogue import ARCHITECTURES, LARGE_PIXELS, ImageShape


@dataclass(frozen=True)
class NetworkSize:
    """state: bytes of all weights and statistics. prunable: weights that `prune.layers` names."""

    state: int
    prunable: int


_OURS: dict[str, tuple[int, int, int, int]] = {
    # Bytes, and more for each channel of the images and for each class; convolution weights.
    "vgg8s": (1150000, 1152, 516, 285696),
    "conv4": (1038368, 2304, 516, 258048),
    "airbench8s": (3159480, 384, 772, 786816),
    "resnet8": (298808, 576, 260, 73728),
    "resnet14": (689512, 576, 260, 170496),
    "resnet20s": (1080216, 576, 260, 267264),
    "resnet32s": (1861624, 576, 260, 460800),
    "resnet44s": (2643032, 576, 260, 654336),
    "resnet56s": (3424440, 576, 260, 847872),
    "resnet110s": (6940776, 576, 260, 1718784),
    "resnet18-3x3": (44706976, 2304, 2052, 11157504),
    "resnet18-7x7": (44706976, 12544, 2052, 11157504),
    "vgg11": (36908096, 2304, 2052, 9216000),
    "vgg13": (37648464, 2304, 2052, 9400320),
    "vgg16": (58902632, 2304, 2052, 14708736),
    "vgg19": (80156800, 2304, 2052, 20017152),
}


def network_size(
    name: str, image_shape: ImageShape, num_classes: int, layers: str = PruneConfig.layers
) -> NetworkSize:
    """The size of a network for these images `(H, W, C)`. One that isn't in the table, or is pruned
    in other layers, is built for it.

    Raises ConfigError for a network that can't be.
    """
    if name in ARCHITECTURES and layers == PruneConfig.layers:
        if name == "resnet18":
            name += "-7x7" if min(image_shape[:2]) >= LARGE_PIXELS else "-3x3"
        base, per_channel, per_class, prunable = _OURS[name]
        channels = image_shape[2]
        state = base + per_channel * channels + per_class * num_classes
        # What an image's channel adds is weights of the first convolution, four bytes each.
        return NetworkSize(state, prunable + per_channel // 4 * channels)
    from prac.models.registry import build_model  # torch
    from prac.pruning.prunable import prunable_weights

    model = build_model(name, num_classes=num_classes, image_shape=image_shape, seed=0)
    return NetworkSize(
        sum(t.numel() * t.element_size() for t in model.state_dict().values()),
        sum(weight.numel() for weight in prunable_weights(model, layers, image_shape).values()),
    )
