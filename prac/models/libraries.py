"""Networks of torchvision and timm by name."""

from __future__ import annotations

import importlib
import textwrap
from types import ModuleType
from typing import Any

from torch import nn

from prac.errors import ConfigError, unknown
from prac.models.catalogue import ImageShape, require_library, unknown_architecture

# GoogLeNet and Inception return a tuple in training mode and warn about their slow initial
# weights unless told otherwise.
_TORCHVISION_ARGUMENTS: dict[str, dict[str, bool]] = {
    name: {"aux_logits": False, "transform_input": False, "init_weights": True}
    for name in ("googlenet", "inception_v3")
}


def build_library(architecture: str, num_classes: int, image_shape: ImageShape) -> nn.Module:
    """A network with new weights: `timm:NAME`, `torchvision:NAME` or a torchvision `NAME`.

    Nothing is downloaded. Raises ConfigError for a name that isn't known, and for images that the
    library can't make it for.
    """
    if architecture.startswith("timm:"):
        return _build_timm(architecture, num_classes, image_shape)
    return _build_torchvision(architecture, num_classes, image_shape)


def one_line(error: BaseException) -> str:
    """What another library's error says, with its kind."""
    return textwrap.shorten(f"{type(error).__name__}: {error}", width=240, placeholder=" ...")


def _build_torchvision(architecture: str, num_classes: int, image_shape: ImageShape) -> nn.Module:
    name = architecture.removeprefix("torchvision:")
    models = _torchvision_models(architecture)
    names: list[str] = [] if models is None else models.list_models(module=models)
    if models is None or name not in names:
        if name != architecture:
            raise unknown("torchvision architecture", name, names)
        raise unknown_architecture(architecture)
    channels = image_shape[2]
    if channels != 3:
        raise ConfigError(
            f"{architecture} needs images of 3 channels; these have {channels}: set data.channels=3"
        )
    arguments = _TORCHVISION_ARGUMENTS.get(name, {})
    model: nn.Module = models.get_model(name, weights=None, num_classes=num_classes, **arguments)
    return model


def _torchvision_models(architecture: str) -> ModuleType | None:
    try:
        return importlib.import_module("torchvision.models")
    except ImportError as error:
        if architecture.startswith("torchvision:"):
            raise ConfigError(
                f"architecture {architecture!r} needs torchvision: {one_line(error)}"
            ) from error
        return None


def _build_timm(architecture: str, num_classes: int, image_shape: ImageShape) -> nn.Module:
    require_library(architecture)
    try:
        timm: Any = importlib.import_module("timm")
    except ImportError as error:
        raise ConfigError(f"architecture {architecture!r} needs timm: {one_line(error)}") from error
    name = architecture.removeprefix("timm:")
    names: list[str] = timm.list_models()
    if name not in names:
        raise unknown("timm architecture", name, names)
    height, width, channels = image_shape
    made = {"num_classes": num_classes, "in_chans": channels}
    try:
        try:
            # What is made for one size of images (embedded positions, windows) has to know it.
            model: nn.Module = timm.create_model(name, img_size=(height, width), **made)
        except TypeError:  # it is made for any
            model = timm.create_model(name, **made)
    except Exception as error:
        raise ConfigError(
            f"{architecture} can't be made for images of {height}x{width} pixels: "
            f"{one_line(error)}; set data.image_size"
        ) from error
    return model
