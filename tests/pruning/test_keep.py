"""The highest scores are kept: against a sorted list, and what must always hold."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prac import Mask, global_magnitude
from prac.errors import ConfigError
from prac.pruning.keep import keep_highest


@st.composite
def cases(draw):
    sizes = draw(st.lists(st.integers(1, 6), min_size=1, max_size=3))
    values = st.sampled_from([-2.0, -1.0, 0.0, 0.25, 0.5, 3.0])
    scores = {f"w{i}": torch.tensor(draw(st.lists(values, min_size=n, max_size=n))) for i, n in
              enumerate(sizes)}  # fmt: skip
    alive = {
        f"w{i}": torch.tensor(draw(st.lists(st.booleans(), min_size=n, max_size=n)))
        for i, n in enumerate(sizes)
    }
    mask = Mask(alive)
    return scores, mask, draw(st.integers(0, mask.num_alive))


@given(cases())
@settings(max_examples=200)
def test_the_highest_are_kept_and_of_equals_the_last(case) -> None:
    scores, mask, kept = case
    flat = [
        (float(score), name, place)
        for name in mask
        for place, score in enumerate(scores[name])
        if mask[name][place]
    ]
    order = sorted(range(len(flat)), key=lambda i: (flat[i][0], i))
    expected = {flat[i][1:] for i in order[len(flat) - kept :]}
    made = keep_highest(scores, mask, kept)
    got = {(name, place) for name in made for place in np.flatnonzero(made[name].numpy()).tolist()}
    assert got == expected
    assert made.is_subset_of(mask)
    assert made.num_alive == kept


@given(cases())
@settings(max_examples=100)
def test_the_scores_of_magnitude_prune_as_global_magnitude_does(case) -> None:
    weights, mask, kept = case
    gone = mask.num_alive - kept
    fraction = gone / mask.num_alive if mask.num_alive else 0.0
    magnitudes = {name: weight.abs() for name, weight in weights.items()}
    assert keep_highest(magnitudes, mask, kept) == global_magnitude(weights, mask, fraction)


def test_scores_that_do_not_fit_are_refused() -> None:
    mask = Mask({"w": torch.tensor([True, True, False])})
    for scores in ({"w": torch.zeros(2)}, {"w": np.zeros(3)}, {}, None, [torch.zeros(3)]):
        with pytest.raises(ConfigError, match=r"no tensor of shape \(3,\) for w; allowed"):
            keep_highest(scores, mask, 1)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="not finite"):
        keep_highest({"w": torch.tensor([0.0, float("nan"), 1.0])}, mask, 1)
    # What is pruned already may score anything.
    kept = keep_highest({"w": torch.tensor([0.0, 1.0, float("nan")])}, mask, 1)
    assert kept["w"].tolist() == [False, True, False]
