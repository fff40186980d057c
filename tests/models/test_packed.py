"""Weights without their zeros come back bit for bit."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError
from torch import Tensor

from prac.lottery.footprint import packed_bytes
from prac.lottery.sizes import NetworkSize
from prac.models.packed import from_bytes, to_bytes

REFUSED = (ValueError, KeyError, TypeError, SafetensorError)


def _bits(tensor: Tensor) -> Any:
    return bytes(tensor.clone().untyped_storage())


@given(
    shape=st.lists(st.integers(0, 9), max_size=4),
    alive=st.sampled_from([0.0, 0.05, 0.5, 1.0]),
    dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.float64, torch.int64, torch.bool]),
    seed=st.integers(0, 9),
)
@settings(deadline=None)
def test_any_weights_come_back(
    shape: list[int], alive: float, dtype: torch.dtype, seed: int
) -> None:
    drawn = np.random.default_rng(seed)
    values = drawn.normal(size=shape) * (drawn.random(shape) < alive)
    weight = torch.tensor(values).to(dtype)
    if weight.is_floating_point() and weight.numel():
        weight.flatten()[-1] = -0.0  # a value of its own
        weight.flatten()[0] = float("nan")
    before = {"a.weight": weight, "a.bias": weight.flatten()[:3]}
    after = from_bytes(to_bytes(before))
    assert sorted(after) == ["a.bias", "a.weight"]
    for name, tensor in before.items():
        assert after[name].dtype == tensor.dtype
        assert after[name].shape == tensor.shape
        assert _bits(after[name]) == _bits(tensor)


def test_a_pruned_layer_takes_its_values_and_a_bit_a_place() -> None:
    weight = torch.zeros(64, 64, 3, 3)
    weight.flatten()[::20] = 1.5
    data = to_bytes({"conv.weight": weight, "bn.num_batches_tracked": torch.tensor(3)})
    alone = packed_bytes(NetworkSize(weight.nbytes + 8, weight.numel()), 1 / 20) - 8
    assert alone == 7373 + 4608
    assert alone < len(data) < alone + 400 < weight.nbytes / 10


def test_the_order_of_the_weights_is_none_of_the_file_s() -> None:
    weights = {name: torch.eye(40) for name in ("b.weight", "a.weight", "c.weight")}
    assert to_bytes(weights) == to_bytes(dict(sorted(weights.items())))


def test_dense_weights_are_an_ordinary_file() -> None:
    weights = {"conv.weight": torch.randn(32, 16, 3, 3)}
    assert to_bytes(weights) == safetensors.torch.save(weights)
    after = from_bytes(safetensors.torch.save(weights))
    assert torch.equal(after["conv.weight"], weights["conv.weight"])


def test_a_name_that_is_taken_is_left_alone() -> None:
    weights = {"w": torch.zeros(2000), "w/places": torch.ones(3)}
    after = from_bytes(to_bytes(weights))
    assert after.keys() == weights.keys()
    assert torch.equal(after["w/places"], weights["w/places"])


@pytest.mark.parametrize(
    "shapes",
    [
        {"w": [2001]},
        {"w": [10**12, 10**12]},
        {"w": [-40, -50]},
        {"w": [1992]},
        {"w": "2000"},
        {"other": [2000]},
        ["w"],
    ],
)
def test_a_file_whose_shapes_lie_is_refused(shapes: Any) -> None:
    weight = torch.zeros(2000)
    weight[1999] = 1.0
    tensors = safetensors.torch.load(to_bytes({"w": weight}))
    lying = safetensors.torch.save(tensors, {"prac.packed": json.dumps(shapes)})
    with pytest.raises(REFUSED):
        from_bytes(lying)


@given(at=st.integers(0, 10**6), byte=st.integers(0, 255))
def test_any_damage_is_refused_or_another_number(at: int, byte: int) -> None:
    weight = torch.zeros(2000)
    weight[::50] = 1.0
    data = bytearray(to_bytes({"w": weight}))
    data[at % len(data)] = byte
    with contextlib.suppress(*REFUSED):
        assert from_bytes(bytes(data)).keys()
