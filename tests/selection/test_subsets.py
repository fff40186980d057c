"""Sets by a score: as many as asked for, by seed and round alone, each with its reason."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prac.config.sections import SelectConfig
from prac.errors import ConfigError
from prac.lottery.method_config import sampler_settings, score_settings
from prac.selection.prac_set import PracSet, Reason
from prac.selection.scores import Evidence
from prac.selection.subsets import score_samples, take_by_score

RANDOM = score_settings(SelectConfig(score="random"))
TOP = sampler_settings(SelectConfig())


def draw(ids: np.ndarray, size: int, *, seed: int, round_index: int) -> PracSet:
    labels = np.zeros(len(ids), np.int64)
    evidence = Evidence(
        sample_ids=ids.astype(np.int32), labels=labels, num_classes=1, seed=(seed, round_index)
    )
    scores = score_samples(RANDOM, evidence)
    return take_by_score(
        TOP, scores, evidence.sample_ids, labels, size, seed=seed, round_index=round_index
    )


@given(st.sets(st.integers(0, 500), min_size=1, max_size=60), st.data())
@settings(max_examples=60)
def test_a_random_subset_is_a_subset_of_the_size(ids: set[int], data) -> None:
    ids_array = np.array(sorted(ids))
    size = data.draw(st.integers(1, len(ids)))
    drawn = draw(ids_array, size, seed=3, round_index=2)
    assert len(drawn) == size
    assert set(drawn.sample_ids.tolist()) <= ids
    assert set(drawn.reasons.tolist()) == {int(Reason.SCORED)}
    assert drawn == draw(ids_array, size, seed=3, round_index=2)


def test_a_random_subset_depends_on_seed_and_round_and_is_even() -> None:
    ids = np.arange(100)
    draws = [draw(ids, 30, seed=s, round_index=r) for s in range(20) for r in range(20)]
    assert len({d.digest for d in draws}) == 400
    counts = np.bincount(np.concatenate([d.sample_ids for d in draws]), minlength=100)
    # Each id is expected 120 times with a deviation of 9.2.
    assert counts.min() > 120 - 5 * 9.2
    assert counts.max() < 120 + 5 * 9.2


def test_golden_random_subset() -> None:
    drawn = draw(np.arange(1000), 5, seed=0, round_index=1)
    assert drawn.sample_ids.tolist() == [443, 515, 546, 692, 897]


@pytest.mark.parametrize("size", [0, -1, 11])
def test_a_size_that_is_not_there_is_refused(size: int) -> None:
    with pytest.raises(ConfigError, match=f"set of {size} is not allowed; allowed: 1 to 10"):
        draw(np.arange(10), size, seed=0, round_index=0)


def test_the_ids_of_the_highest_scores_are_taken() -> None:
    ids = np.array([3, 5, 8, 13], np.int32)
    scores = np.array([0.5, 2.0, -1.0, 2.0])
    labels = np.array([0, 0, 1, 1])
    taken = take_by_score(TOP, scores, ids, labels, 2, seed=0, round_index=1)
    assert taken.sample_ids.tolist() == [5, 13]
    assert taken.having(Reason.SCORED).tolist() == [5, 13]
