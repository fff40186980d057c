"""The gradual mask against counts by the published formula, sorted lists, and one cut."""

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from prac import GradualMask, Mask, global_magnitude
from prac.errors import ConfigError, TicketError


def _model(weights: list[float]) -> nn.Module:
    model = nn.Conv2d(1, len(weights), 1, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor(weights).view(-1, 1, 1, 1))
    return model


def _alive(mask: Mask) -> list[bool]:
    return mask["weight"].flatten().tolist()


def test_weights_go_by_the_cube_of_what_is_left() -> None:
    # 64 weights of rising size, half of them to go in 4 steps: 32 * (1 - (1 - t)^3), drawn by hand.
    model = _model([float(n) for n in range(1, 65)])
    gradual = GradualMask(Mask.dense(model), 0.5, steps=4)
    gone = []
    for step in range(1, 7):
        changed = gradual.update(step, model)
        gone.append((64 - gradual.mask.num_alive, changed, gradual.done))
    assert gone == [
        (18, True, False),  # 32 * 37 / 64 = 18.5, to even
        (28, True, False),  # 32 * 7 / 8
        (32, True, False),  # 32 * 63 / 64 = 31.5, to even
        (32, False, True),
        (32, False, True),
        (32, False, True),
    ]
    assert _alive(gradual.mask) == [n > 32 for n in range(1, 65)]
    assert [w != 0 for w in model.weight.flatten().tolist()] == _alive(gradual.mask)


@given(
    st.lists(st.lists(st.sampled_from([-2.0, -0.5, 0.25, 1.0, 3.0]), min_size=30, max_size=30),
             min_size=1, max_size=12),
    st.lists(st.booleans(), min_size=30, max_size=30),
    st.sampled_from([0.0, 0.1, 0.55, 0.784, 1.0]),
    st.integers(1, 12),
)  # fmt: skip
@settings(max_examples=150)
def test_masks_counts_and_zeros(trained, alive, fraction, steps) -> None:
    start = sum(alive)
    gradual = GradualMask(
        Mask({"weight": torch.tensor(alive).view(-1, 1, 1, 1)}), fraction, steps=steps
    )
    kept = list(alive)
    for step, weights in enumerate(trained, start=1):
        # As a training leaves them: what was pruned is zero.
        model = _model([w * k for w, k in zip(weights, kept, strict=True)])
        gradual.update(step, model)
        if step <= steps:
            share = 1 - (1 - step / steps) ** 3
            target = start - round((fraction if step == steps else share * fraction) * start)
            order = sorted((abs(weights[n]), n) for n in range(30) if kept[n])
            for _, n in order[: sum(kept) - target]:
                kept[n] = False
        assert _alive(gradual.mask) == kept
        assert gradual.done == (step >= steps)
        assert all(w == 0 for w, k in zip(model.weight.flatten().tolist(), kept, strict=True)
                   if not k)  # fmt: skip


@pytest.mark.parametrize("fraction", [0.2, 0.784, 0.99])
def test_weights_that_do_not_move_end_as_by_one_cut(fraction: float) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3))
    mask = Mask.dense(model)
    once = global_magnitude(mask.weights(model), mask, fraction)
    gradual = GradualMask(mask, fraction, steps=37)
    changed = sum(gradual.update(step, model) for step in range(1, 60))
    assert gradual.mask == once
    assert 25 < changed <= 37


def test_a_long_training_is_pruned_a_hundred_times() -> None:
    torch.manual_seed(0)
    model = nn.Conv2d(1, 3000, 1)
    gradual = GradualMask(Mask.dense(model), 0.9, steps=2000)
    at = [step for step in range(1, 2100) if gradual.update(step, model)]
    # The last of the cubes are less than a weight.
    assert at[:3] == [20, 40, 60]
    assert 90 < len(at) <= 100
    assert gradual.mask.num_alive == 300


def test_another_s_order_and_one_that_goes_on() -> None:
    def first(model: nn.Module, mask: Mask, fraction: float) -> Mask:
        places = torch.nonzero(mask["weight"].flatten()).flatten()
        left = mask["weight"].flatten().clone()
        left[places[: round(fraction * mask.num_alive)]] = False
        return Mask({"weight": left.view_as(mask["weight"])})

    model = _model([9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0])
    whole = GradualMask(Mask.dense(model), 0.5, steps=3, prune=first)
    whole.update(1, model)
    other = GradualMask(Mask.dense(model), 0.5, steps=3, prune=first)
    tensors, told = whole.state()
    other.restore(dict(tensors), json.loads(json.dumps(told)))
    for gradual in (whole, other):
        for step in (2, 3):
            gradual.update(step, model)
        assert _alive(gradual.mask) == [False] * 4 + [True] * 4
        assert gradual.done


def test_what_is_not_allowed() -> None:
    mask = Mask.dense(_model([1.0, 2.0]))
    with pytest.raises(ConfigError, match="fraction 20 is not allowed; allowed: 0 to 1"):
        GradualMask(mask, 20, steps=5)
    with pytest.raises(ConfigError, match="steps 0 is not allowed; allowed: 1 or more"):
        GradualMask(mask, 0.5, steps=0)
    with pytest.raises(TicketError, match="not finite"):
        GradualMask(mask, 0.5, steps=1).update(1, _model([1.0, float("nan")]))
