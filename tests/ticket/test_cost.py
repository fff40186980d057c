"""FLOPs and bytes of a ticket, counted by hand on a network of three layers."""

from __future__ import annotations

import torch
from torch import nn

from prac import Mask, global_magnitude
from prac.models.registry import build_model
from prac.pruning.prunable import prunable_weights
from prac.ticket.cost import ticket_cost


def _small() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1, bias=False),  # 18 weights at 8x8 places
        nn.BatchNorm2d(2),
        nn.Conv2d(2, 4, 1, stride=2),  # 8 weights and 4 biases at 4x4 places
        nn.Flatten(),
        nn.Linear(64, 3),  # 192 weights and 3 biases
    )


def test_by_hand() -> None:
    first, second = torch.zeros(2, 1, 3, 3, dtype=torch.bool), torch.ones(4, 2, 1, 1).bool()
    first.flatten()[:6] = True
    second[0] = False
    cost = ticket_cost(_small(), Mask({"0.weight": first, "2.weight": second}), (8, 8, 1))
    assert cost.flops_dense == 2 * (18 * 64 + 8 * 16 + 192)
    assert cost.flops_sparse == 2 * (6 * 64 + 6 * 16 + 192)
    # BatchNorm: weight, bias, mean and variance of 2 and an int64 counter.
    others = 4 * (4 * 2) + 8 + 4 * 4 + 4 * (192 + 3)
    assert cost.bytes_dense == 4 * (18 + 8) + others
    # 6 values and 3 bytes of bits; 6 values and 1 byte of bits.
    assert cost.bytes_sparse == (24 + 3) + (24 + 1) + others


def test_a_mask_of_ones_costs_nothing_more() -> None:
    model = _small()
    cost = ticket_cost(model, Mask.dense(model), (8, 8, 1))
    assert cost.flops_sparse == cost.flops_dense
    assert cost.bytes_sparse == cost.bytes_dense


def test_flops_fall_with_each_layers_own_density() -> None:
    model = build_model("resnet20s", num_classes=10, image_shape=(32, 32, 3), seed=0)
    mask = global_magnitude(prunable_weights(model), Mask.dense(model), 0.8)
    cost = ticket_cost(model, mask, (32, 32, 3))
    # He et al.'s 40.6 million multiply-adds, of which the linear layer takes 640.
    assert cost.flops_dense == 2 * 40_551_040
    layers = {name: int(alive.sum()) for name, alive in mask.items()}
    places = {n: 32 * 32 if "stem" in n or "stages.0" in n else 16 * 16 for n in layers}
    places |= {n: 8 * 8 for n in layers if "stages.2" in n}
    by_hand = 2 * (sum(layers[n] * places[n] for n in layers) + 640)
    assert abs(cost.flops_sparse - by_hand) < len(layers)
