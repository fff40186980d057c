"""A network tried as it will be trained, before anything is paid for."""

from __future__ import annotations

import random
import textwrap
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

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

_CPU = torch.device("cpu")
_WEIGHTED = (functional.conv1d, functional.conv2d, functional.conv3d, functional.linear)


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
    called = _Inputs(model, mask)
    optimizer = make_optimizer(model, train)
    passes = EagerPasses(model=model, precision=precision, label_smoothing=train.label_smoothing)
    _try_training(model, passes, images, labels, num_classes)
    called.remove()
    optimizer.step(1e-6)
    optimizer.state({parameter: name for name, parameter in model.named_parameters()})
    for name, value in model.state_dict().items():
        if not isinstance(value, Tensor):
            raise ConfigError(
                f"its state dictionary has {name!r} of type {type(value).__name__}; allowed: "
                "tensors (no extra state, no packed weights)"
            )
        if (kind := unkept_type(value)) is not None:
            raise ConfigError(f"{name!r} is of {kind}; allowed: real numbers of 16 bits or more")
    load_state(model, {name: tensor.clone() for name, tensor in model.state_dict().items()})
    for name, given in called.inputs.items():
        layer = model.get_submodule(name)
        # Attention has other names for its weights, and uses them as they are.
        if isinstance(getattr(layer, "weight", None), Tensor) and not _zeros_stay(layer, given):
            raise _computed(f"layer {name!r}", "it has")
    weights = dict(model.named_parameters())
    uncalled = [
        name
        for name in mask
        if name.rpartition(".")[0] not in called.inputs
        and name in weights
        and weights[name].grad is not None
    ]
    # Of those whose layers nothing calls, a layer above may use the weights by itself.
    for name in _without_zeros(model, {n: weights[n] for n in uncalled}, images):
        raise _computed("the network", f"{name!r} has")


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


def _computed(what: str, whose: str) -> ConfigError:
    return ConfigError(
        f"{what} computes the weight that it uses from the weight that {whose}, so that a pruned "
        "weight takes part all the same; allowed: weights that are used as they are"
    )


def _repeated(model: nn.Module, passes: EagerPasses, images: Tensor, labels: Tensor) -> Tensor:
    """The logits of a pass, whose gradients and buffers stay, and which is the same once more from
    where it began."""
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    found: list[Tensor] = []
    drawn = random.getstate()
    # Layers left out by chance are left out alike in two passes of some.
    while len(found) < (2 if random.getstate() == drawn else 16):
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


class _Inputs:
    """What each prunable layer is given, as it is called: one sample of it."""

    def __init__(self, model: nn.Module, mask: Mask) -> None:
        self.inputs: dict[str, Tensor] = {}
        self._handles = [
            model.get_submodule(layer).register_forward_pre_hook(self._keeper(layer))
            for layer in (name.rpartition(".")[0] for name in mask)
        ]

    def _keeper(self, name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def keep(_layer: nn.Module, given: tuple[Tensor, ...]) -> None:
            self.inputs[name] = given[0][:1].detach().clone()

        return keep

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()


def _zeros_stay(layer: nn.Module, given: Tensor) -> bool:
    """Whether an output that half of the weights is pruned of depends on no more inputs than
    weights are left. The gradient of one output by the inputs is the weight that the layer used."""
    weight = layer.weight
    assert isinstance(weight, Tensor)
    before = weight.detach().clone()
    images = given.to(weight.dtype).requires_grad_()
    try:
        with torch.no_grad():
            drawn = torch.randn(weight.shape).to(weight.dtype)
            weight.copy_(torch.where(torch.rand(weight.shape) < 0.5, drawn, 0))
        output = layer(images)
        is_linear = weight.dim() == 2
        channels = output.movedim(-1 if is_linear else 1, 0)[0]
        middle = channels.reshape(-1)[_middle(tuple(channels.shape))]
        (gradient,) = torch.autograd.grad(middle.real, images)
        return int(gradient.count_nonzero()) <= int(weight[0].count_nonzero())
    finally:
        with torch.no_grad():
            weight.copy_(before)


class _Weights(TorchFunctionMode):
    """What convolutions and linear maps are given for a weight, but for these parameters."""

    def __init__(self, parameters: Iterable[Tensor]) -> None:
        super().__init__()
        self.given: list[Tensor] = []
        self._others = {parameter.data_ptr() for parameter in parameters}

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _WEIGHTED:
            weight = args[1] if len(args) > 1 else kwargs["weight"]
            if weight.data_ptr() not in self._others:
                self.given.append(weight.detach().clone())
        return func(*args, **kwargs)


def _without_zeros(
    model: nn.Module, weights: Mapping[str, nn.Parameter], images: Tensor
) -> list[str]:
    """Those of the weights whose layers nothing calls that are used without the zeros which half
    of them are pruned to."""
    pruned = {name: torch.rand(weight.shape) < 0.5 for name, weight in weights.items()}
    before = {name: weight.detach().clone() for name, weight in weights.items()}
    with torch.no_grad(), _Weights(model.parameters()) as used:
        try:
            for name, weight in weights.items():
                weight.masked_fill_(pruned[name], 0)
            model(images.clone())
        finally:
            for name, weight in weights.items():
                weight.copy_(before[name])
    found = []
    for name, gone in pruned.items():
        made = [given for given in used.given if given.shape == gone.shape]
        if made and not any(bool((given[gone] == 0).all()) for given in made):
            found.append(name)
    return found


def _middle(shape: tuple[int, ...]) -> int:
    """The place in a flat tensor of what is in the middle of each axis."""
    place = 0
    for size in shape:
        place = place * size + size // 2
    return place
