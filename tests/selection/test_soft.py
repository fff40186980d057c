"""Soft sets: who is in an epoch, what each weighs, and that the mean is that of everything."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prac.selection.soft import SoftSet
from prac.training.randomness import generator

EVERYTHING = np.arange(0, 200, 2, dtype=np.int32)
CRITICAL = EVERYTHING[:30]


def _soft(share: float = 0.2) -> SoftSet:
    return SoftSet(critical=CRITICAL, sample_ids=EVERYTHING, share=share)


@given(st.floats(0.05, 0.95), st.integers(0, 6), st.integers(0, 100))
def test_an_epoch_has_every_critical_sample_and_weighs_as_everything(
    share: float, epoch: int, seed: int
) -> None:
    soft = _soft(share)
    ids, weights = soft.epoch(epoch, 8, generator(seed))
    assert weights is not None
    assert len(ids) == len(weights) == soft.size == 30 + round(share * 70)
    assert ids.tolist() == sorted(set(ids.tolist()))
    assert set(CRITICAL.tolist()) <= set(ids.tolist()) <= set(EVERYTHING.tolist())
    assert weights.dtype == np.float32
    assert np.all(weights[np.isin(ids, CRITICAL)] == 1)
    assert weights.sum() == pytest.approx(100)


def test_the_weighted_sum_over_epochs_is_that_of_everything() -> None:
    soft, total = _soft(), np.zeros(200)
    for epoch in range(400):
        ids, weights = soft.epoch(0, 8, generator(epoch))
        assert weights is not None
        total[ids] += weights
    # 14 of 70 a time, each for 5: 400 expected, with a deviation of 40.
    assert np.all(total[CRITICAL] == 400)
    assert np.all(abs(total[EVERYTHING] - 400) < 5 * 40)


@pytest.mark.parametrize(("epochs", "annealed"), [(7, 0), (8, 1), (16, 2), (182, 22)])
def test_the_last_eighth_is_of_everything_and_weighs_alike(epochs: int, annealed: int) -> None:
    soft, drawn = _soft(), np.zeros(200)
    plain = [epoch for epoch in range(epochs) if soft.epoch(epoch, epochs, generator(0))[1] is None]
    assert plain == list(range(epochs - annealed, epochs))
    for seed in range(200):
        ids, _ = soft.epoch(epochs, epochs, generator(seed))
        assert len(set(ids.tolist())) == soft.size
        drawn[ids] += 1
    # 44 of 100 a time: 88 expected, with a deviation of 7; critical samples are no others.
    assert np.all(abs(drawn[EVERYTHING] - 88) < 5 * 7)
