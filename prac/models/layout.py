"""In which order of memory a network computes: channels last, or plain where it needs that."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def plain(model: nn.Module) -> bool:
    """Whether a network has been marked by `keep_plain`."""
    return any(hook is _plain_images for hook in model._forward_pre_hooks.values())  # noqa: SLF001


def keep_plain(model: nn.Module) -> nn.Module:
    """Mark a network that can't take channels-last maps (`x.view(N, -1)`, 5-D weights): it is
    placed in plain memory, and what it is given is made so."""
    if not plain(model):
        model.register_forward_pre_hook(_plain_images)
    return model.to(memory_format=torch.contiguous_format)


def placed(model: nn.Module, device: torch.device | str) -> nn.Module:
    """The network on a device, in the order of memory that it computes in; in place."""
    wanted = torch.contiguous_format if plain(model) else torch.channels_last
    return model.to(device).to(memory_format=wanted)


def _plain_images(_model: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(_in_order(each) if isinstance(each, Tensor) else each for each in given)


def _in_order(images: Tensor) -> Tensor:
    """With plain strides: of one channel, those of channels last are contiguous as well, and
    layers pass them on."""
    return images.contiguous().flatten().view(images.shape)
