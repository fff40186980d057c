"""What a sparse network costs beside the dense one: FLOPs of an image, bytes of its weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from prac.models.describe import forward_flops
from prac.models.state import tied_names


@dataclass(frozen=True, kw_only=True)
class TicketCost:
    """Dense and sparse.

    flops_dense, flops_sparse: of the forward pass of one image, a multiply-add is two; convolutions
    and linear layers. Sparse counts weights that are alive alone: what sparse kernels could save.
    bytes_dense: of the weights and buffers, one that several layers share once. bytes_sparse:
    pruned weights as one bit a weight for the mask and the values alive, the rest as it is.
    """

    flops_dense: int
    flops_sparse: int
    bytes_dense: int
    bytes_sparse: int


def ticket_cost(
    model: nn.Module, mask: Mapping[str, Tensor], image_shape: tuple[int, int, int]
) -> TicketCost:
    """Count a network under a mask; image_shape is `(H, W, C)`. Runs it once on zeros.

    A weight that runs at every position of an image costs as much at each, alive or not: a layer's
    FLOPs fall with its own density, not with that of the network.
    """
    state = model.state_dict()
    tied = tied_names(state)
    alive = {name: (int(m.sum()), m.numel()) for name, m in mask.items()}
    flops = forward_flops(model, image_shape)
    sparse = 0
    for layer, count in flops.items():
        weight = f"{layer}.weight"
        kept, size = alive.get(tied.get(weight, weight), (1, 1))
        sparse += count * kept // size
    dense_bytes = {n: t.numel() * t.element_size() for n, t in state.items() if n not in tied}
    sparse_bytes = dict(dense_bytes)
    for name, (kept, size) in alive.items():
        packed = kept * state[name].element_size() + math.ceil(size / 8)
        sparse_bytes[name] = min(packed, dense_bytes[name])
    return TicketCost(
        flops_dense=sum(flops.values()),
        flops_sparse=sparse,
        bytes_dense=sum(dense_bytes.values()),
        bytes_sparse=sum(sparse_bytes.values()),
    )
