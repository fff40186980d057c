"""A network tried as it will be trained, before anything is paid for."""

from __future__ import annotations

import random
import textwrap
from itertools import chain
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from prac.config.sections import Precision, TrainConfig
from prac.errors import ConfigError, PracError
from prac.models.catalogue import ImageShape
from prac.models.layout import placed
from prac.models.libraries import one_line
from prac.models.registry import build_model
from prac.models.state import load_state, unkept_type
from prac.pruning.mask import Mask
from prac.training.optimizers import make_optimizer
from prac.training.passes import EagerPasses
from prac.training.randomness import generators_kept, seed_generators
from prac.training.zeros import Inputs, refuse_without_zeros

_CPU = torch.device("cpu")


def try_network(
    architecture: str,
    num_classes: int,
    image_shape: ImageShape,
    train: TrainConfig,
    precision: Precision,
    layers: str = "conv",
) -> None:
    """One step of a network on two images, its state out and in, and what a pruned weight does.

    One image, where batches of two or fewer will leave one alone. It is made twice, as every stage
    makes it anew, and trained on the CPU, in the run's order of memory and precision. Raises
    ConfigError, in one line, for a network that can't be trained or pruned.
    """
    model, again = (
        build_model(architecture, num_classes=num_classes, image_shape=image_shape, seed=0)
        for _ in range(2)
    )
    try:
        _refuse_another(model, again)
        del again
        with generators_kept(_CPU):
            seed_generators(_CPU, 0)
            mask = Mask.dense(model, layers, image_shape)
            _try(model, mask, num_classes, image_shape, train, precision)
    except (Exception, SystemExit) as error:
        reason = textwrap.shorten(str(error), width=300, placeholder=" ...")
        kind = "" if isinstance(error, PracError) else f"{type(error).__name__}: "
        raise ConfigError(f"{architecture} can't be searched: {kind}{reason}") from error


def _try(
    model: nn.Module,
    mask: Mask,
    num_classes: int,
    image_shape: ImageShape,
    train: TrainConfig,
    precision: Precision,
) -> None:
    if not any(weight.requires_grad for weight in model.parameters()):
        raise ConfigError("all its weights are frozen; allowed: some with requires_grad")
    placed(model, _CPU).train()
    height, width, channels = image_shape
    count = 1 if train.batch_size <= 2 else 2
    images = torch.randn(count, height, width, channels).permute(0, 3, 1, 2)
    labels = torch.arange(count) % num_classes
    called = Inputs(model, mask)
    optimizer = make_optimizer(model, train)
    passes = EagerPasses(model=model, precision=precision, label_smoothing=train.label_smoothing)
    _try_training(model, passes, images, labels, num_classes)
    called.remove()
    optimizer.step(1e-6)
    optimizer.state({parameter: name for name, parameter in model.named_parameters()})
    _try_state(model, mask)
    refuse_without_zeros(model, mask, called.inputs, images)


def _try_state(model: nn.Module, mask: Mask) -> None:
    """Out and in."""
    kept = model.state_dict()
    for name in dict.fromkeys([*dict(model.named_parameters()), *mask]):
        if name not in kept:
            raise ConfigError(
                f"its state dictionary has no {name!r}, so that no ticket would have it; allowed: "
                "all parameters, by their names"
            )
    for name, value in kept.items():
        if not isinstance(value, Tensor):
            raise ConfigError(
                f"its state dictionary has {name!r} of type {type(value).__name__}; allowed: "
                "tensors (no extra state, no packed weights)"
            )
        if (kind := unkept_type(value)) is not None:
            raise ConfigError(f"{name!r} is of {kind}; allowed: real numbers of 16 bits or more")
    load_state(model, {name: tensor.clone() for name, tensor in kept.items()})


def _try_training(
    model: nn.Module, passes: EagerPasses, images: Tensor, labels: Tensor, num_classes: int
) -> None:
    """Leaves gradients, and buffers as after a pass."""
    count = len(images)
    try:
        logits = _repeated(model, passes, images, labels)
    except ValueError as error:
        if count > 1 or isinstance(error, ConfigError):
            raise
        raise ConfigError(
            f"in a batch of one image: {one_line(error)}; allowed: train.batch_size of 3 or more, "
            "which leaves none alone"
        ) from error
    if logits.shape != (count, num_classes):
        raise ConfigError(
            f"in training mode it gives {tuple(logits.shape)} for {count} images; allowed: logits "
            f"of shape ({count}, {num_classes}), or a tuple that begins with them"
        )


def _refuse_another(model: nn.Module, again: nn.Module) -> None:
    """Every stage makes the network anew: it has to be a new one, and the same."""
    first, second = (
        dict(chain(made.named_parameters(), made.named_buffers())) for made in (model, again)
    )
    for name in first | second:
        if name not in first or name not in second or first[name].shape != second[name].shape:
            what = "shape" if name in first and name in second else "being there"
            raise ConfigError(
                f"made twice it is two networks: {name!r} differs in {what}; allowed: the same "
                "layers each time"
            )
    for name, one in first.items():
        other = second[name]
        # A constant that several networks have as a buffer is no weight.
        if isinstance(one, nn.Parameter) and one.data_ptr() == other.data_ptr() != 0:
            raise ConfigError(
                f"each time that it is made it is the same network: {name!r} is kept from the time "
                "before; allowed: a new network each time"
            )
        if not bool(((one == other) | ((one != one) & (other != other))).all()):
            raise ConfigError(
                f"made twice with one seed, {name!r} has two values; allowed: torch's random "
                "numbers, or none"
            )


def _repeated(model: nn.Module, passes: EagerPasses, images: Tensor, labels: Tensor) -> Tensor:
    """The logits of a pass, whose gradients and buffers stay, and which is the same once more from
    where it began."""
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    found: list[Tensor] = []
    drawn = _drawn()
    # Layers left out by chance are left out alike in two passes of some.
    while len(found) < (2 if _drawn() == drawn else 16):
        model.zero_grad()
        with torch.no_grad():
            for name, buffer in model.named_buffers():
                buffer.copy_(before[name])
        seed_generators(_CPU, 0)
        logits, _ = passes(images.clone(), labels, 0.5)
        found.append(logits.clone())
        for name, buffer in model.named_buffers():
            if name not in before or buffer.shape != before[name].shape:
                raise ConfigError(
                    f"buffer {name!r} comes, or changes its shape, in training; allowed: buffers "
                    "that are registered, in their shape, when the network is made"
                )
        if not bool(torch.isfinite(logits).all()):
            raise ConfigError("logits of random images are not finite before any training")
    if not all(torch.equal(found[0], other) for other in found):
        raise ConfigError(
            "two passes with the same weights, buffers and seed give different logits: it draws "
            "random numbers that aren't torch's, or keeps a state that is no buffer; allowed: "
            "torch's random numbers, and states registered as buffers"
        )
    kept = model.state_dict().keys()
    for name, buffer in model.named_buffers():
        if name not in kept and not torch.equal(buffer, before[name]):
            raise ConfigError(
                f"buffer {name!r} changes in training and is not in the state dictionary, so that "
                "no ticket would have it; allowed: register_buffer(..., persistent=True)"
            )
    return found[0]


def _drawn() -> tuple[object, ...]:
    """The states of the generators that are not torch's."""
    name, keys, *rest = cast(tuple[Any, ...], np.random.get_state(legacy=True))
    return random.getstate(), name, keys.tobytes(), *rest
