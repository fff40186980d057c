"""Samplers against brute force, and what must hold whatever the scores."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prac.config.sections import SAMPLERS as NAMES
from prac.config.strategies import StrataOptions
from prac.errors import ConfigError
from prac.selection.samplers import SAMPLERS, Draw, find_sampler, sampler


def draw(
    scores: list[float], size: int, labels: list[int] | None = None, seed: int = 0, **told: object
) -> Draw:
    return Draw(
        scores=np.array(scores, np.float64),
        labels=np.array(labels if labels is not None else [0] * len(scores)),
        size=size,
        options=StrataOptions(**told),  # type: ignore[arg-type]
        generator=np.random.default_rng(seed),
    )


SCORES = st.lists(st.sampled_from([-2.0, 0.0, 0.5, 1.0, 1.5, 3.0]), min_size=1, max_size=9)


@st.composite
def draws(draw_from, **select):
    scores = draw_from(SCORES)
    labels = draw_from(st.lists(st.integers(0, 3), min_size=len(scores), max_size=len(scores)))
    size = draw_from(st.integers(1, len(scores)))
    strata = draw_from(st.integers(1, 6))
    cut = draw_from(st.sampled_from([0.0, 0.3, 0.9]))
    return draw(scores, size, labels, strata=strata, hardest_cut=cut)


def test_the_names_of_the_configuration_are_those_that_there_are() -> None:
    assert tuple(SAMPLERS) == NAMES


@given(draws())
@settings(max_examples=200)
def test_each_takes_exactly_as_many_as_asked(case: Draw) -> None:
    for name, take in SAMPLERS.items():
        taken = take(case)
        assert len(taken) == case.size, name
        assert len(set(taken.tolist())) == case.size
        assert sorted(taken.tolist()) == taken.tolist()
        assert taken[0] >= 0
        assert taken[-1] < len(case.scores)


@given(draws())
@settings(max_examples=100)
def test_top_is_the_largest_sum_and_the_first_of_equals(case: Draw) -> None:
    taken = SAMPLERS["top"](case).tolist()
    subsets = list(itertools.combinations(range(len(case.scores)), case.size))
    best = max(sum(case.scores[list(s)]) for s in subsets)
    assert sum(case.scores[taken]) == pytest.approx(best)
    for out in set(range(len(case.scores))) - set(taken):
        for inside in taken:
            assert case.scores[inside] > case.scores[out] or (
                case.scores[inside] == case.scores[out] and inside < out
            )


@given(draws())
@settings(max_examples=100)
def test_balanced_is_the_evenest_and_of_those_the_largest(case: Draw) -> None:
    """By brute force over all subsets: smallest counts as large as can be, then the sum."""
    classes = sorted(set(case.labels.tolist()))

    def evenness(subset: tuple[int, ...]) -> list[int]:
        counts = Counter(case.labels[list(subset)].tolist())
        return sorted(counts[label] for label in classes)

    subsets = list(itertools.combinations(range(len(case.scores)), case.size))
    evenest = max(evenness(s) for s in subsets)
    taken = tuple(SAMPLERS["balanced"](case).tolist())
    assert evenness(taken) == evenest
    # Within a class the highest scores.
    for label in classes:
        mine = [i for i in taken if case.labels[i] == label]
        others = [i for i in np.flatnonzero(case.labels == label).tolist() if i not in mine]
        assert all(case.scores[i] >= case.scores[o] for i in mine for o in others)


def test_what_cannot_be_divided_goes_to_the_highest_next_score() -> None:
    case = draw([9, 1, 8, 7, 5, 6], 4, [0, 0, 1, 1, 2, 2])
    # One of each class, and the fourth where 1, 7 and 5 are next.
    assert SAMPLERS["balanced"](case).tolist() == [0, 2, 3, 5]


def strata_of(case: Draw) -> dict[int, list[int]]:
    """Which stratum each sample that is not cut off is in, from the definition."""
    count = len(case.scores)
    order = sorted(range(count), key=lambda i: (-case.scores[i], i))
    kept = order[min(int(case.options.hardest_cut * count), count - case.size) :]
    low = min(case.scores[kept])
    width = (max(case.scores[kept]) - low) / case.options.strata
    found: dict[int, list[int]] = {}
    for i in kept:
        place = (
            0 if width == 0 else min(int((case.scores[i] - low) / width), case.options.strata - 1)
        )
        found.setdefault(place, []).append(i)
    return found


@given(draws())
@settings(max_examples=200)
def test_ccs_shares_the_budget_from_the_smallest_stratum_on(case: Draw) -> None:
    taken = set(SAMPLERS["ccs"](case).tolist())
    found = strata_of(case)
    assert taken <= {i for members in found.values() for i in members}
    got = sorted((len(members), len(taken & set(members))) for members in found.values())
    missing, expected = case.size, []
    for place, (size, _) in enumerate(got):
        share = min(size, missing // (len(got) - place))
        expected.append(share)
        missing -= share
    assert sorted(number for _, number in got) == sorted(expected)


def test_ccs_leaves_the_hardest_out_and_covers_the_rest() -> None:
    scores = [float(i) for i in range(100)]
    case = draw(scores, 20, strata=10, hardest_cut=0.3)
    taken = SAMPLERS["ccs"](case)
    assert taken.max() < 70
    assert [np.sum((taken >= 7 * k) & (taken < 7 * k + 7)) for k in range(10)] == [2] * 10
    # As a pure choice of the hardest is not.
    assert set(SAMPLERS["top"](case).tolist()) == set(range(80, 100))


def test_ccs_is_drawn_by_the_generator() -> None:
    scores = [float(i % 7) for i in range(60)]
    draws = [SAMPLERS["ccs"](draw(scores, 20, seed=s)).tolist() for s in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]


def test_a_sampler_of_ones_own_is_checked() -> None:
    @sampler()
    def twice(case: Draw) -> np.ndarray:
        return np.zeros(case.size, np.int64)

    with pytest.raises(ConfigError, match="took 1 samples where 2 were asked for"):
        twice(draw([1.0, 2.0, 3.0], 2))
    for gives, told in (
        (np.array([-1, 0]), "took positions -1 to 0; allowed: 2 positions, 0 to 2, each once"),
        (np.array([0, 3]), "took positions 0 to 3"),
        (np.array([0.0, 1.0]), r"gave ndarray of float64, shape \(2,\)"),
        (["a", "b"], "gave list of <U1"),
        ({0, 1}, "gave set of object"),
        (None, "gave NoneType of object"),
        ([[0], [1, 2]], "gave list of float64"),
    ):
        with pytest.raises(ConfigError, match=told):
            sampler()(lambda _, gives=gives: gives)(draw([1.0, 2.0, 3.0], 2))
    with pytest.raises(ConfigError, match="known: balanced, ccs"):
        find_sampler("nope")
    with pytest.raises(ConfigError, match=r"decorated with prac.selection.samplers.sampler"):
        find_sampler("json:dumps")
