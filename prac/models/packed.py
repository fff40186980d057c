"""Weights as bytes without their zeros: of a pruned network, a fraction of them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from prac.models.state import free_copies
from prac.schema import Count, formed, parse

_SHAPES = "prac.packed"
"""Metadata: shapes of the packed tensors by name, as JSON. A packed tensor holds its other values
in order, and beside it `_PLACES` a bit for each of its places, the first in the highest bit."""
_PLACES = "{name}/places"
_INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}
_WORTH = 256
"""Bytes that packing has to save: names and shapes take some, too."""


def to_bytes(weights: Mapping[str, Tensor]) -> bytes:
    """A safetensors file; zeros are left out of real tensors that are smaller so."""
    tensors, shapes = free_copies(weights), {}
    for name, tensor in list(tensors.items()):
        if not tensor.is_floating_point() or tensor.element_size() not in _INTEGERS:
            continue
        # Bit for bit: a negative zero is a value.
        alive = tensor.view(_INTEGERS[tensor.element_size()]).flatten() != 0
        values, places = tensor.flatten()[alive], np.packbits(alive.numpy())
        saved, beside = tensor.nbytes - values.nbytes - places.nbytes, _PLACES.format(name=name)
        if saved >= _WORTH and beside not in tensors:
            shapes[name] = list(tensor.shape)
            tensors |= {name: values, beside: torch.from_numpy(places)}
    # A resumed training has its weights in another order.
    told = {_SHAPES: json.dumps(shapes, sort_keys=True)} if shapes else None
    data: bytes = safetensors.torch.save(tensors, told)
    return data


def from_bytes(data: bytes) -> dict[str, Tensor]:
    """What `to_bytes` wrote, or any safetensors file. Raises ValueError, KeyError, TypeError or
    SafetensorError for anything else."""
    tensors: dict[str, Tensor] = safetensors.torch.load(data)
    length = int.from_bytes(data[:8], "little")
    shapes = parse(data[8 : 8 + length]).get("__metadata__", {}).get(_SHAPES, "{}")
    for name, shape in formed(dict[str, tuple[Count, ...]], parse(shapes)).items():
        places = tensors.pop(_PLACES.format(name=name)).numpy()
        size, values = math.prod(shape), tensors[name]
        if places.shape != (-(-size // 8),):
            raise ValueError(f"{name} of shape {shape} has {len(places)} bytes of places")
        alive = torch.from_numpy(np.unpackbits(places, count=size).astype(bool))
        if values.shape != (int(alive.sum()),):
            raise ValueError(f"{name} has {len(values)} values for {int(alive.sum())} places")
        whole = torch.zeros(size, dtype=values.dtype)
        whole[alive] = values
        tensors[name] = whole.reshape(shape)
    return tensors
