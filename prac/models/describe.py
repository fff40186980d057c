"""What a model holds and what it costs: parameters, prunable weights, FLOPs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from prac.errors import ConfigError

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def count_parameters(model: nn.Module) -> int:
    """Scalars in all parameters, a shared one counted once; buffers are not parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def convolution_weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """The prunable weights: of every Conv1d/2d/3d, in module order, named as in `state_dict`.

    A weight that several modules share appears once, under its first name.

    Raises:
        ConfigError: a convolution's weight is computed (a parametrisation), not a parameter.
    """
    weights: dict[str, nn.Parameter] = {}
    seen: set[int] = set()
    for name, module in model.named_modules():
        if not isinstance(module, _CONVOLUTIONS):
            continue
        weight: object = module.weight
        if not isinstance(weight, nn.Parameter):
            raise ConfigError(
                f"convolution {name!r} computes its weight (a parametrisation) and can't be "
                "pruned; allowed: convolutions whose weight is a plain parameter"
            )
        if id(weight) not in seen:
            seen.add(id(weight))
            weights[f"{name}.weight" if name else "weight"] = weight
    return weights


def forward_flops(model: nn.Module, image_shape: tuple[int, int, int]) -> dict[str, int]:
    """FLOPs of each convolution and linear layer in the forward pass of one image.

    A multiply-add is two FLOPs; biases, BatchNorm, activations and products outside of such
    modules (attention) are not counted. All weights count, pruned or not: scale a layer by its
    density for the cost of its remaining weights. A layer that doesn't run has 0.

    Args:
        model: left as it was, every module's mode included.
        image_shape: `(H, W, C)`.

    Returns:
        FLOPs by module name, in module order.
    """
    flops: dict[str, int] = {}
    handles = []
    for name, module in model.named_modules():
        if isinstance(module, (*_CONVOLUTIONS, nn.Linear)):
            flops[name] = 0
            handles.append(module.register_forward_hook(_adder(flops, name)))
    try:
        with evaluating(model), torch.no_grad():
            model(zero_images(model, image_shape, count=1))
    finally:
        for handle in handles:
            handle.remove()
    return flops


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode inside; afterwards each module has the mode it had."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def zero_images(model: nn.Module, image_shape: tuple[int, int, int], count: int) -> Tensor:
    """Zeros `(count, C, H, W) float32` where the model's parameters are; shape is `(H, W, C)`."""
    height, width, channels = image_shape
    parameter = next(model.parameters(), None)
    device = torch.device("cpu") if parameter is None else parameter.device
    return torch.zeros(count, channels, height, width, device=device)


def _adder(flops: dict[str, int], name: str) -> Callable[[nn.Module, object, Tensor], None]:
    def add(module: nn.Module, _inputs: object, output: Tensor) -> None:
        if isinstance(module, _CONVOLUTIONS):
            per_output = module.in_channels // module.groups * math.prod(module.kernel_size)
        else:
            assert isinstance(module, nn.Linear)
            per_output = module.in_features
        flops[name] += 2 * per_output * output.numel()

    return add
