"""The tentative mask against a sorted list, counted entries and a window drawn by hand."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from prac import Mask, TentativeMask
from prac.errors import ConfigError, TicketError

NAMES = ("b", "a")  # the mask's order, not the alphabet's
SIZE = 10


def _weights(rows: list[float]) -> dict[str, Tensor]:
    values = torch.tensor(rows)
    return {"a": values[SIZE:], "other": torch.ones(3), "b": values[:SIZE]}


def _kept(rows: list[float], alive: list[bool], fraction: float) -> list[bool]:
    """Without the smallest of those alive, of equal ones the first."""
    order = sorted((abs(rows[i]), i) for i in range(len(rows)) if alive[i])
    removed = {i for _, i in order[: round(fraction * sum(alive))]}
    return [alive[i] and i not in removed for i in range(len(rows))]


def _row(mask: Mask | None) -> list[bool]:
    assert mask is not None
    return torch.cat([mask[name] for name in NAMES]).tolist()


@st.composite
def trainings(draw):
    values = st.lists(
        st.sampled_from([-1.5, -0.5, 0.0, 0.25, 0.5, 2.0]), min_size=2 * SIZE, max_size=2 * SIZE
    )
    alive = draw(st.lists(st.booleans(), min_size=2 * SIZE, max_size=2 * SIZE).filter(any))
    return draw(st.lists(values, min_size=1, max_size=12)), alive


@given(
    trainings(),
    st.sampled_from([0.0, 0.2, 0.5, 1.0]),
    st.sampled_from([0.05, 0.3, 1.0]),
    st.integers(1, 3),
    st.integers(0, 4),
    st.integers(0, 8),
    st.integers(0, 12),
)
@settings(max_examples=200)
def test_masks_distances_and_the_stop(
    training, fraction, tolerance, patience, warmup, earliest, cut
) -> None:
    epochs, alive = training
    values = torch.tensor(alive)
    mask = Mask({"b": values[:SIZE], "a": values[SIZE:]})

    def fresh() -> TentativeMask:
        return TentativeMask(
            mask, fraction, tolerance, patience, warmup_epochs=warmup, earliest_epochs=earliest
        )

    masks = [_kept(rows, alive, fraction) for rows in epochs]
    distances = [
        sum(x != y for x, y in zip(one, other, strict=True)) / sum(alive)
        for one, other in pairwise(masks)
    ]
    tentative, entries, armed = fresh(), [], False
    assert tentative.latest is None
    for epoch, rows in enumerate(epochs):
        if epoch == cut:  # go on from a checkpoint, whose tensors come in another order
            tensors, progress = tentative.state()
            tentative = fresh()
            tentative.restore(
                {name: tensors[name] for name in sorted(tensors)}, json.loads(json.dumps(progress))
            )
        stop = tentative.update(_weights(rows))
        assert _row(tentative.latest) == masks[epoch]
        assert list(tentative.latest or ()) == list(NAMES)
        assert tentative.distances == distances[:epoch]
        if epoch:
            armed = armed or distances[epoch - 1] > tolerance
            if armed and epoch > warmup:
                entries.append(distances[epoch - 1])
        settled = len(entries) >= patience and max(entries[-patience:]) < tolerance
        assert stop == (settled and epoch + 1 >= earliest)


def test_a_model_and_its_weights_give_the_same() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 8, 3), nn.Flatten())
    mask = Mask.dense(model)
    by_model, by_weights = TentativeMask(mask), TentativeMask(mask)
    by_model.update(model)
    by_weights.update(model.state_dict())
    assert by_model.latest == by_weights.latest
    assert by_model.latest is not None
    assert by_model.latest.num_alive == mask.size - round(0.2 * mask.size)


def test_without_a_tolerance_it_never_stops() -> None:
    tentative = TentativeMask(Mask({"w": torch.ones(5, dtype=torch.bool)}), tolerance=None)
    weights = [{"w": torch.tensor(np.roll(range(5), i), dtype=torch.float32)} for i in range(3)]
    assert not any(tentative.update(w) for w in [*weights, *[weights[0]] * 20])
    assert tentative.distances == [0.4, 0.4, 0.4, *[0.0] * 19]


def test_a_mask_of_another_kind_is_formed_by_who_is_asked() -> None:
    mask = Mask({"w": torch.tensor([True, True])})
    made = Mask({"w": torch.tensor([True, False])})
    tentative = TentativeMask(mask, form=lambda model: made)
    tentative.update(nn.Identity())
    assert tentative.latest is made


def test_wrong_use_is_one_line() -> None:
    mask = Mask({"w": torch.ones(2, dtype=torch.bool)})
    with pytest.raises(ConfigError, match="fraction 20 is not allowed; allowed: 0 to 1"):
        TentativeMask(mask, 20)
    with pytest.raises(ConfigError, match="tolerance 8 is not allowed"):
        TentativeMask(mask, 0.2, 8)
    with pytest.raises(TicketError, match=r"weight w of shape \(2,\) is missing"):
        TentativeMask(mask).update({"v": torch.ones(2)})
