"""What a model costs: FLOPs."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call

from prac.models.mode import in_mode

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


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
        try:
            on_shapes(model, image_shape, count=1)
        except Exception:
            flops.update(dict.fromkeys(flops, 0))
            with in_mode(model, training=False), torch.no_grad():
                model(zero_images(model, image_shape, count=1))
    finally:
        for handle in handles:
            handle.remove()
    return flops


def on_shapes(
    model: nn.Module,
    image_shape: tuple[int, int, int],
    count: int,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> object:
    """What the model makes of images, shapes and strides alone: nothing is computed, and no memory
    is taken that grows with the images. The model and its mode are left as they were.

    Raises what the model raises, also where it needs values to go on: that is no refusal.
    """
    meta = torch.device("meta")
    weights = {n: t.to(meta) for n, t in (*model.named_parameters(), *model.named_buffers())}
    height, width, channels = image_shape
    with in_mode(model, training=False), torch.no_grad(), meta:
        images = torch.zeros(count, channels, height, width).to(memory_format=memory_format)
        made: object = functional_call(model, weights, (images,))
    return made


def zero_images(model: nn.Module, image_shape: tuple[int, int, int], count: int) -> Tensor:
    """Zeros `(count, C, H, W) float32` where the model's parameters are; shape is `(H, W, C)`."""
    height, width, channels = image_shape
    parameter = next(model.parameters(), None)
    device = torch.device("cpu") if parameter is None else parameter.device
    return torch.zeros(count, channels, height, width, device=device)


def _adder(flops: dict[str, int], name: str) -> Callable[[nn.Module, object, Tensor], None]:
    def add(module: nn.Module, _inputs: object, output: Tensor) -> None:
        """Of one call of a layer."""
        if isinstance(module, _CONVOLUTIONS):
            per_output = module.in_channels // module.groups * math.prod(module.kernel_size)
        else:
            assert isinstance(module, nn.Linear)
            per_output = module.in_features
        flops[name] += 2 * per_output * output.numel()

    return add
