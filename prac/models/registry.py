"""An architecture by name: ours, a library's, or a callable of the user's."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter
from torch.overrides import TorchFunctionMode

from prac.errors import ConfigError
from prac.models.answers import ALLOWED, answer_of, answer_with_logits, described
from prac.models.catalogue import (
    LIBRARIES,
    ImageShape,
    Pictures,
    find_ours,
    is_of_user,
    require_pixels,
)
from prac.models.describe import on_shapes, zero_images
from prac.models.layout import keep_plain
from prac.models.libraries import build_library, one_line
from prac.models.mode import in_mode
from prac.plugins import load_custom


def build_model(
    architecture: str, *, num_classes: int, image_shape: ImageShape, seed: int
) -> nn.Module:
    """A model with new weights, on the CPU, that takes `(N, C, H, W) float32`.

    The weights are a function of the arguments alone; torch's random state is left as it was.
    A model that isn't ours is tried on two images of zeros, so that one that doesn't fit is
    refused here.

    Args:
        architecture: one of `known_architectures()`, or `NAME_xWIDTH` with all its layers that
            many times as wide; `NAME` or `torchvision:NAME` for a classifier of torchvision;
            `timm:NAME`; or `package.module:callable`, called with `num_classes` and
            `in_channels` as far as it accepts them.
        num_classes: width of the output.
        image_shape: `(H, W, C)`.
        seed: of the initial weights.

    Raises:
        ConfigError: the name isn't known, the images are too small or of the wrong channels, or
            the callable can't be imported, fails or returns something else.
    """
    with _seeded(seed):
        if find_ours(architecture) is not None:
            return _of_us_or_a_library(architecture, num_classes, image_shape)
        library, colon, _ = architecture.partition(":")
        if colon and library not in LIBRARIES:
            make = load_custom("architecture", architecture)
            if not callable(make):
                raise ConfigError(
                    f"architecture {architecture!r} is of type {type(make).__name__}; "
                    "allowed: a callable that returns a torch.nn.Module"
                )
            model = _call(architecture, make, num_classes, image_shape[2], seed)
            _refuse_shared_memory(architecture, model)
        else:
            model = _of_us_or_a_library(architecture, num_classes, image_shape)
        _try_forward(architecture, model, num_classes, image_shape)
        return model


def _refuse_shared_memory(architecture: str, model: nn.Module) -> None:
    """Two parameters in one memory come apart when the network is moved or copied."""
    places: dict[int, str] = {}
    for name, weight in model.named_parameters():
        if isinstance(weight, UninitializedParameter):
            continue  # it has no memory before images are seen
        first = places.setdefault(weight.data_ptr(), name) if weight.numel() else name
        if first != name:
            raise ConfigError(
                f"architecture {architecture!r}: {first!r} and {name!r} are two parameters in one "
                "memory; allowed: one parameter under both names"
            )


def network_for(images: Pictures, architecture: str, *, seed: int = 0) -> nn.Module:
    """What `build_model` makes for these images."""
    classes, shape = images.num_classes, images.image_shape
    return build_model(architecture, num_classes=classes, image_shape=shape, seed=seed)


class ShapesUnknown(ConfigError):
    """A network whose weights have shapes that are seen only when it is made."""


def state_shapes(
    architecture: str, *, num_classes: int, image_shape: ImageShape
) -> dict[str, tuple[int, ...]]:
    """Names and shapes of what `build_model` would make of a network of ours or a library's, in
    less than a second and without memory for its weights. Raises ShapesUnknown for one that
    computes with its weights while it is made, ConfigError for one that can't be made.

    Code of the user's is not for this: it may need its weights while it makes them.
    """
    try:
        try:
            with _seeded(0), _WithoutWeights():
                model = _of_us_or_a_library(architecture, num_classes, image_shape)
        except Exception:
            # Some networks of timm add what has memory to what has none.
            with _seeded(0), torch.device("meta"):
                model = _of_us_or_a_library(architecture, num_classes, image_shape)
    except ConfigError:
        raise
    except Exception as error:
        raise ShapesUnknown(
            f"{architecture} can't be made without its weights: {one_line(error)}"
        ) from error
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def _of_us_or_a_library(architecture: str, num_classes: int, image_shape: ImageShape) -> nn.Module:
    ours = find_ours(architecture)
    if ours is None:
        return build_library(architecture, num_classes, image_shape)
    require_pixels(architecture, ours.min_pixels, image_shape)
    return ours.build(image_shape, num_classes)


class _WithoutWeights(TorchFunctionMode):
    """What layers ask for to fill it with weights has a shape and no memory. Numbers that a network
    computes to make its layers are real (RegNet's widths), so the device isn't `meta` for all."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        elsewhere = {"device": "meta"} if func is torch.empty else {}
        return func(*args, **{**(kwargs or {}), **elsewhere})


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    # torch.manual_seed would also seed the accelerators, which fork_rng(devices=[]) doesn't
    # restore.
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(seed)
        yield


def _call(
    architecture: str, make: Callable[..., nn.Module], num_classes: int, in_channels: int, seed: int
) -> nn.Module:
    offered = {"num_classes": num_classes, "in_channels": in_channels}
    named, takes_any = _keywords(make)
    attempts = [{key: value for key, value in offered.items() if takes_any or key in named}]
    if takes_any and "in_channels" not in named:
        # torchvision and timm pass **kwargs on to a class that knows num_classes only.
        attempts.append({"num_classes": num_classes})
    for arguments in attempts:
        torch.default_generator.manual_seed(seed)
        try:
            model: object = make(**arguments)
        except (Exception, SystemExit) as error:
            if isinstance(error, TypeError) and arguments is not attempts[-1]:
                continue
            given = ", ".join(f"{key}={value}" for key, value in arguments.items())
            raise ConfigError(
                f"architecture {architecture!r}, called with ({given}), failed: {one_line(error)}"
            ) from error
        break
    if not isinstance(model, nn.Module):
        raise ConfigError(
            f"architecture {architecture!r} returned {type(model).__name__}; "
            "allowed: a torch.nn.Module"
        )
    return model


def _keywords(make: Callable[..., object]) -> tuple[set[str], bool]:
    try:
        parameters = inspect.signature(make).parameters.values()
    except (TypeError, ValueError):
        return set(), False
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    named = {parameter.name for parameter in parameters if parameter.kind in by_name}
    return named, any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)


def _try_forward(
    architecture: str, model: nn.Module, num_classes: int, image_shape: ImageShape
) -> None:
    height, width, channels = image_shape
    images = f"images of {height}x{width} pixels and {channels} channel{'s' * (channels != 1)}"
    try:
        output = _forward(architecture, model, image_shape)
    except (Exception, SystemExit) as error:
        _refuse_call(architecture, model)
        raise ConfigError(
            f"{architecture} can't take {images}: {one_line(error)}; "
            "data.image_size and data.channels change the images"
        ) from error
    try:
        fits = answer_of(output).shape == (2, num_classes)
    except ConfigError:
        fits = False
    if not fits:
        raise ConfigError(
            f"{architecture} gives {described(output)} for 2 {images}; allowed, with "
            f"{num_classes} classes: {ALLOWED}"
        )
    if not isinstance(output, Tensor):
        answer_with_logits(model)


def _refuse_call(architecture: str, model: nn.Module) -> None:
    """What no other images would mend."""
    try:
        inspect.signature(model.forward).bind(None)
    except TypeError as error:
        raise ConfigError(
            f"{architecture} can't be called with images alone: {error}; allowed: "
            "forward(images), where nothing else has to be given"
        ) from error
    except ValueError:  # it tells no signature
        return
    for name, weight in model.named_parameters():
        if weight.is_floating_point() and weight.dtype != torch.float32:
            kind = str(weight.dtype).removeprefix("torch.")
            raise ConfigError(
                f"{architecture} can't take images, which are float32: {name!r} is {kind}; "
                "allowed: weights of float32 (train.precision is what a run computes in)"
            )


def _forward(architecture: str, model: nn.Module, image_shape: ImageShape) -> object:
    """What it makes of two images. One that fails on shapes alone may need values to go on."""
    ways: list[Callable[..., object]] = [on_shapes, _on_zeros]
    if is_of_user(architecture):
        ways = [_on_zeros]
    elif not _are_of_usual_size(image_shape):
        # A stranger's ticket may name large images: of a library's networks, shapes tell enough.
        ways = [on_shapes]
    for way in ways:
        run = partial(way, model, image_shape, 2)
        try:
            output = run()
            if not _takes_channels_last(model, run):
                keep_plain(model)
            break
        except Exception:
            if way is ways[-1]:
                raise
    return output


def _are_of_usual_size(image_shape: ImageShape) -> bool:
    """Whether any machine has the memory that a network takes for two such images."""
    return math.prod(image_shape) <= 3 * 1024**2


def _on_zeros(
    model: nn.Module,
    image_shape: ImageShape,
    count: int,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> object:
    with in_mode(model, training=False), torch.no_grad():
        made: object = model(zero_images(model, image_shape, count).to(memory_format=memory_format))
    return made


def _takes_channels_last(model: nn.Module, run: Callable[..., object]) -> bool:
    """Whether it runs in the order of memory that we train in; the model stays as it is."""
    try:
        model.to(memory_format=torch.channels_last)
        run(memory_format=torch.channels_last)
    except RuntimeError:
        return False
    finally:
        model.to(memory_format=torch.contiguous_format)
    return True
