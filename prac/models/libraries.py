"""Networks of torchvision and timm by name."""

from __future__ import annotations

import contextlib
import importlib
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from prac.errors import ConfigError, unknown
from prac.models.catalogue import ImageShape, find_ours, require_library, unknown_architecture

# GoogLeNet and Inception return a tuple in training mode and warn about their slow initial
# weights unless told otherwise.
_TORCHVISION_ARGUMENTS: dict[str, dict[str, bool]] = {
    name: {"aux_logits": False, "transform_input": False, "init_weights": True}
    for name in ("googlenet", "inception_v3")
}

_ASIDE = ("AuxLogits.", "aux1.", "aux2.")


def build_library(architecture: str, num_classes: int, image_shape: ImageShape) -> nn.Module:
    """A network with new weights: `timm:NAME`, `torchvision:NAME` or a torchvision `NAME`.

    Nothing is downloaded. Raises ConfigError for a name that isn't known, and for images that the
    library can't make it for.
    """
    if architecture.startswith("timm:"):
        return _build_timm(architecture, num_classes, image_shape)
    return _build_torchvision(architecture, num_classes, image_shape)


def torchvision_weights(architecture: str, name: str) -> dict[str, Tensor]:
    """The state dictionary that torchvision has for a network by a name, `IMAGENET1K_V1`.

    Read from where torch keeps what it downloads, never downloaded; the file runs no code. Raises
    ConfigError for another name, and where the file isn't there or can't be read.
    """
    library = architecture.removeprefix("torchvision:")
    is_other = ":" in library or find_ours(architecture) is not None
    models = None if is_other else _torchvision_models(architecture)
    if models is None or library not in models.list_models(module=models):
        raise ConfigError(
            f"model.weights: {name} is of torchvision's networks, and {architecture} is none; "
            "allowed: torchvision:NAME, or FILE.safetensors"
        )
    entries = models.get_model_weights(library)
    known = list(entries.__members__)
    if name not in known:
        raise unknown(f"model.weights: torchvision's weights of {library}", name, known)
    entry = entries[name]
    file = Path(torch.hub.get_dir()) / "checkpoints" / entry.url.rpartition("/")[2]
    if not file.is_file():
        raise ConfigError(
            f"model.weights: {name} of {architecture} is not on this machine, and nothing is "
            f"downloaded unasked; put {entry.url} at {file}"
        )
    try:
        read = torch.load(file, map_location="cpu", weights_only=True)
        with torch.random.fork_rng(devices=[]), _handed(entry, read):
            # torchvision itself knows the names that its older files have.
            state = models.get_model(library, weights=entry, progress=False).state_dict()
    except Exception as error:
        raise ConfigError(f"model.weights: {file} can't be read: {one_line(error)}") from error
    # It takes a file of theirs with the auxiliary heads alone, which ours don't have.
    return {name: weight for name, weight in state.items() if not name.startswith(_ASIDE)}


@contextlib.contextmanager
def _handed(entry: Any, read: dict[str, Tensor]) -> Iterator[None]:
    """Have torchvision take what was read: it would read the file itself, with pickles' code."""
    kind = type(entry)
    own = kind.get_state_dict
    kind.get_state_dict = lambda *_, **__: dict(read)
    try:
        yield
    finally:
        kind.get_state_dict = own


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


def _torchvision_models(architecture: str) -> Any:
    """None where it isn't there and isn't asked for by its name."""
    try:
        return _imported("torchvision.models", architecture)
    except ConfigError:
        if architecture.startswith("torchvision:"):
            raise
        return None


def _imported(module: str, architecture: str) -> Any:
    require_library(architecture)
    try:
        return importlib.import_module(module)
    except ImportError as error:
        library = module.partition(".")[0]
        raise ConfigError(
            f"architecture {architecture!r} needs {library}: {one_line(error)}"
        ) from error


def _build_timm(architecture: str, num_classes: int, image_shape: ImageShape) -> nn.Module:
    timm = _imported("timm", architecture)
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
