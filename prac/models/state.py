"""State dictionaries, in and out."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

import torch
from torch import Tensor, nn


def tied_names(state: Mapping[str, Tensor]) -> dict[str, str]:
    """Names of a model's `state_dict()` that are of the same tensor as an earlier one, to that."""
    first: dict[tuple[object, ...], str] = {}
    tied = {}
    for name, tensor in state.items():
        if tensor.numel():
            place = (tensor.device, tensor.data_ptr(), tensor.shape, tensor.stride())
            if first.setdefault(place, name) != name:
                tied[name] = first[place]
    return tied


def free_copies(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies on the CPU, in plain memory, that share none: safetensors refuses tensors that do, as
    tied weights."""
    plain = torch.contiguous_format
    return {n: t.detach().cpu().clone(memory_format=plain) for n, t in weights.items()}


def unkept_type(weight: Tensor) -> str | None:
    """The name of a type that a file of weights doesn't keep; None of real numbers of 16 bits or
    more, whole ones included."""
    if weight.is_complex() or (weight.is_floating_point() and weight.itemsize < 2):
        return str(weight.dtype).removeprefix("torch.")
    return None


def load_state(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Load weights that a network of this kind left.

    With the metadata of the network's own state: files keep names and tensors alone, and modules
    take a state without a version for that of an old one (torchvision's MNASNet rebuilds its
    layers by it). Raises RuntimeError where they don't fit.
    """
    state = OrderedDict(weights)
    state._metadata = model.state_dict()._metadata  # type: ignore[attr-defined]  # noqa: SLF001
    model.load_state_dict(state)
