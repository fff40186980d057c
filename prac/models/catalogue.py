"""Architectures by name, and the check of a name before anything long starts.

Without torch, so that a plan or a replay of our own architectures needs none of it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from prac.errors import ConfigError, unknown
from prac.plugins import is_custom

if TYPE_CHECKING:
    from torch import nn

ImageShape = tuple[int, int, int]
"""(H, W, C)."""


class Pictures(Protocol):
    """Images that a network is built for: those of a data set, on a device or not."""

    @property
    def num_classes(self) -> int: ...

    @property
    def image_shape(self) -> ImageShape: ...


@dataclass(frozen=True)
class Format:
    """All that a network needs to know of pictures: they may still be unread."""

    num_classes: int
    image_shape: ImageShape


LIBRARIES = ("torchvision", "timm")
"""Whose networks are named `LIBRARY:NAME`."""

LARGE_PIXELS = 64
"""From here on a stem at full resolution only costs: on Tiny ImageNet 4.4 GFLOPs an image with
ResNet-18's 3x3 stem, 0.3 with the published 7x7 one."""


@dataclass(frozen=True)
class Architecture:
    """One of our architectures.

    maker: `module:callable` in `prac.models`; it takes `arguments`, a `width` by which the channels
    of all layers are multiplied, in_channels and num_classes. min_pixels: the smallest height and
    width that leave a pixel after all strides and pools. large: arguments that take the place of
    others where height and width are `LARGE_PIXELS` or more.
    """

    maker: str
    min_pixels: int
    arguments: Mapping[str, Any] = field(default_factory=dict)
    large: Mapping[str, Any] = field(default_factory=dict)

    def build(self, image_shape: ImageShape, num_classes: int) -> nn.Module:
        """The model with new weights, for images of this `(H, W, C)`."""
        height, width, channels = image_shape
        large = self.large if min(height, width) >= LARGE_PIXELS else {}
        module, _, name = self.maker.partition(":")
        make = getattr(import_module(f"prac.models.{module}"), name)
        arguments = {**self.arguments, **large}
        model: nn.Module = make(in_channels=channels, num_classes=num_classes, **arguments)
        return model


ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {
        "vgg8s": Architecture("vgg:vgg8s", 4),
        "conv4": Architecture("conv:conv4", 4),
        "airbench8s": Architecture("airbench:airbench8s", 9),
        **{
            name: Architecture("resnet:cifar_resnet", 4, {"depth": depth})
            for name, depth in {
                "resnet8": 8,
                "resnet14": 14,
                "resnet20s": 20,
                "resnet32s": 32,
                "resnet44s": 44,
                "resnet56s": 56,
                "resnet110s": 110,
            }.items()
        },
        "resnet18": Architecture("resnet:resnet18", 8, {"stem": "3x3"}, large={"stem": "7x7"}),
        "resnet18-3x3": Architecture("resnet:resnet18", 8, {"stem": "3x3"}),
        "resnet18-7x7": Architecture("resnet:resnet18", 32, {"stem": "7x7"}),
        **{
            f"vgg{depth}": Architecture("vgg:vgg", 32, {"depth": depth})
            for depth in (11, 13, 16, 19)
        },
    }
)


_WIDTH = re.compile(r"(?P<base>.+)_x(?P<width>[0-9.]+)")
_WIDEST = 16.0


def find_ours(name: str) -> Architecture | None:
    """One of our architectures, of any width (`resnet20s_x0.5`); None where it isn't ours.

    Raises ConfigError for a width that can't be: each network has one name, as keys are of names.
    """
    found = _WIDTH.fullmatch(name)
    ours = ARCHITECTURES.get(name if found is None else found["base"])
    if ours is None or found is None:
        return ours
    try:
        width = float(found["width"])
    except ValueError:
        width = 0.0
    spelt = f"{found['base']}_x{width:g}" if width != 1 else found["base"]
    if not 0 < width <= _WIDEST:
        raise ConfigError(
            f"architecture {name!r}: width {found['width']} is not allowed; allowed: above 0 to "
            f"{_WIDEST:g} times as wide as {found['base']}"
        )
    if name != spelt:
        raise ConfigError(f"architecture {name!r} is not known; did you mean {spelt!r}?")
    return dataclasses.replace(ours, arguments={**ours.arguments, "width": width})


def is_of_user(name: str) -> bool:
    """Whether a network is code of the user's, `package.module:callable`: not a library's."""
    return is_custom(name) and name.partition(":")[0] not in LIBRARIES


def require_library(name: str) -> None:
    """Raise ConfigError where a network is timm's and timm isn't installed; nothing is imported."""
    if name.startswith("timm:") and find_spec("timm") is None:
        raise ConfigError(
            f"architecture {name!r} needs timm, which is not installed: pip install 'prac[timm]'"
        )


def unknown_architecture(name: str) -> ConfigError:
    """The error for a name that nobody has."""
    found = _WIDTH.fullmatch(name)
    tail = "" if found is None else f"_x{found['width']}"
    names = [f"{ours}{tail}" for ours in ARCHITECTURES]
    others = ["torchvision:NAME (any classifier of torchvision)", "timm:NAME (any of timm)"]
    return unknown("architecture", name, [*names, *others, "package.module:callable"])


def known_architectures() -> tuple[str, ...]:
    """The names of our own architectures."""
    return tuple(ARCHITECTURES)


def require_pixels(architecture: str, min_pixels: int, image_shape: ImageShape) -> None:
    """Raise ConfigError for images that are smaller."""
    height, width, _ = image_shape
    if min(height, width) >= min_pixels:
        return
    smaller = [n for n, a in ARCHITECTURES.items() if a.min_pixels <= min(height, width)]
    way_out = f"smaller: {', '.join(smaller)}" if smaller else "set data.image_size to enlarge them"
    raise ConfigError(
        f"{architecture} needs images of at least {min_pixels}x{min_pixels} pixels; "
        f"these are {height}x{width}; {way_out}"
    )
