"""Whether a network uses its prunable weights as they are: what is pruned takes no part."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from prac.errors import ConfigError
from prac.pruning.mask import Mask
from prac.training.randomness import generators_kept, seed_generators

_CPU = torch.device("cpu")
_WEIGHTED = (functional.conv1d, functional.conv2d, functional.conv3d, functional.linear)


def refuse_without_zeros(
    model: nn.Module, mask: Mask, inputs: Mapping[str, Tensor], images: Tensor
) -> None:
    """Raise ConfigError for a weight from which the network computes the one that it uses.

    inputs: by layer that is called, one sample of what it is given. The model has gradients.
    """
    for name, given in inputs.items():
        layer = model.get_submodule(name)
        # Attention has other names for its weights, and uses them as they are.
        if isinstance(getattr(layer, "weight", None), Tensor) and not _zeros_stay(layer, given):
            raise _computed(f"layer {name!r}", "it has")
    weights = dict(model.named_parameters())
    uncalled = {
        name: weights[name]
        for name in mask
        if name.rpartition(".")[0] not in inputs
        and name in weights
        and weights[name].grad is not None
    }
    # Of those whose layers nothing calls, a layer above may use the weights by itself.
    for name in _without_zeros(model, uncalled, images):
        raise _computed("the network", f"{name!r} has")
    called = {n: weights[n] for n in mask if n in weights and n not in uncalled}
    if (used := _made_of(model, called, images)) is not None:
        raise _computed("the network", f"{used!r} has")


def _computed(what: str, whose: str) -> ConfigError:
    return ConfigError(
        f"{what} computes the weight that it uses from the weight that {whose}, so that a pruned "
        "weight takes part all the same; allowed: weights that are used as they are"
    )


class Inputs:
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


def _made_of(model: nn.Module, weights: Mapping[str, nn.Parameter], images: Tensor) -> str | None:
    """One of the weights of which the network makes others, of the same shape and without the zeros
    that they are pruned to, and uses these beside them or in their place; None without any."""
    before = _given(model, images)
    for shape in {given.shape for given in before}:
        alike = {name: weight for name, weight in weights.items() if weight.shape == shape}
        own = {name: weight.detach().clone() for name, weight in alike.items()}
        # All of one shape alike: of a sum of several, what none of them has is none's.
        pruned = torch.rand(shape) < 0.5
        try:
            with torch.no_grad():
                for weight in alike.values():
                    weight.masked_fill_(pruned, 0)
            after = _given(model, images)
        finally:
            with torch.no_grad():
                for name, weight in alike.items():
                    weight.copy_(own[name])
        pairs = [(b, a) for b, a in zip(before, after, strict=False) if a.shape == shape]
        if any(not torch.equal(b, a) and bool(a[pruned].any()) for b, a in pairs):
            return next(iter(alike), None)
    return None


def _given(model: nn.Module, images: Tensor) -> list[Tensor]:
    """Weights that convolutions and linear maps are given and that are no parameters."""
    with torch.no_grad(), generators_kept(_CPU), _Weights(model.parameters()) as used:
        seed_generators(_CPU, 0)
        model(images.clone())
    given: list[Tensor] = used.given
    return given


def _middle(shape: tuple[int, ...]) -> int:
    """The place in a flat tensor of what is in the middle of each axis."""
    place = 0
    for size in shape:
        place = place * size + size // 2
    return place
