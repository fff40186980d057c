"""Answers against scipy.stats, printed tables and closed testing; error rates by simulation."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from prac.analysis.statistics import (
    beats,
    detectable,
    differences,
    holm,
    keeps,
    matches,
    mean_interval,
    p_value,
    p_value_above,
    paired_interval,
    searches_for,
)
from prac.errors import ConfigError

NUMBERS = (2, 3, 5, 8)
PLAYS = 4000


def at_most(share: float, plays: int = PLAYS) -> float:
    """The share and four standard errors of a simulated one."""
    return share + 4 * math.sqrt(share * (1 - share) / plays)


@st.composite
def studies(draw: st.DrawFn, smallest: int = 2) -> tuple[list[float], list[float]]:
    """Accuracies of two methods in the same searches, in thousandths; differences not all alike."""
    n = draw(st.integers(smallest, 9))
    side = st.lists(st.integers(0, 1000), min_size=n, max_size=n)
    ours, theirs = draw(side), draw(side)
    assume(len({a - b for a, b in zip(ours, theirs, strict=True)}) > 1)
    return [a / 1000 for a in ours], [b / 1000 for b in theirs]


# --- against independent answers


@given(studies(), st.sampled_from((0.5, 0.9, 0.95, 0.99)))
def test_intervals_and_p_values_are_scipys(
    study: tuple[list[float], list[float]], confidence: float
) -> None:
    ours, theirs = study
    known = stats.ttest_rel(ours, theirs)
    assert p_value(ours, theirs) == pytest.approx(known.pvalue, rel=1e-6, abs=1e-12)
    interval = paired_interval(ours, theirs, confidence=confidence)
    assert interval is not None
    low, high = known.confidence_interval(confidence)
    assert (interval.low, interval.high) == pytest.approx((low, high), rel=1e-6, abs=1e-9)
    assert interval.n == len(ours)
    shifted = stats.ttest_rel([a + 0.005 for a in ours], theirs, alternative="greater")
    assert p_value_above(ours, theirs, -0.005) == pytest.approx(shifted.pvalue, rel=1e-6, abs=1e-9)


@given(studies(), st.sampled_from((0.005, 0.05, 0.3)))
def test_words_follow_from_intervals(study: tuple[list[float], list[float]], margin: float) -> None:
    ours, theirs = study
    values = np.subtract(ours, theirs)
    n, middle, error = len(ours), values.mean(), stats.sem(values)
    low, high = stats.t.interval(0.95, n - 1, middle, error)
    lower, upper = stats.t.interval(0.90, n - 1, middle, error)
    edges = [edge - at for edge in (low, high, lower, upper) for at in (-margin, 0, margin)]
    assume(min(map(abs, edges)) > 1e-9)
    assert beats(ours, theirs) == ("yes" if low > 0 else "no" if high < 0 else "undecided")
    kept = "yes" if lower > -margin else "no" if upper < -margin else "undecided"
    assert keeps(ours, theirs, margin=margin) == kept


def test_a_mean_interval_by_hand() -> None:
    """1, 2, 3: mean 2, deviation 1, t(0.975, 2) = 4.303 of every printed table."""
    found = mean_interval([1.0, None, 2.0, 3.0])
    assert found is not None
    half = 4.303 / math.sqrt(3)
    assert (found.mean, found.n) == (2.0, 3)
    assert (found.low, found.high) == pytest.approx((2 - half, 2 + half), abs=3e-4)


@pytest.mark.parametrize(
    ("given_values", "adjusted"),
    [
        ((), ()),
        ((0.03,), (0.03,)),
        ((0.01, 0.04, 0.03, 0.005), (0.03, 0.06, 0.06, 0.02)),
        ((0.01, 0.02, 0.03, 0.04, 0.05), (0.05, 0.08, 0.09, 0.09, 0.09)),
        ((0.02, 0.02), (0.04, 0.04)),
        ((0.9, 0.6), (1.0, 1.0)),
    ],
)
def test_holm_by_hand(given_values: tuple[float, ...], adjusted: tuple[float, ...]) -> None:
    assert holm(given_values) == pytest.approx(adjusted)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_the_closed_test_of_bonferroni(p_values: list[float]) -> None:
    """One hypothesis falls where every set of hypotheses that holds it falls."""
    every = [
        group
        for size in range(1, len(p_values) + 1)
        for group in itertools.combinations(range(len(p_values)), size)
    ]
    closed = [
        max(min(1, len(g) * min(p_values[i] for i in g)) for g in every if own in g)
        for own in range(len(p_values))
    ]
    assert holm(p_values) == pytest.approx(closed)


@pytest.mark.parametrize(("effect", "searches"), [(0.2, 199), (0.5, 34), (0.8, 15), (1.0, 10)])
def test_searches_are_those_of_cohens_tables(effect: float, searches: int) -> None:
    """Paired t, two-sided 5 %, power 80 %, as G*Power and R's pwr.t.test print them."""
    assert searches_for(effect * 0.01, 0.01) == searches


def test_one_sided_searches() -> None:
    assert searches_for(0.5, 1.0, alpha=0.10) == 27  # one-sided 5 %: pwr.t.test gives 26.14


@given(st.integers(2, 60), st.floats(0.001, 0.1), st.sampled_from((0.05, 0.05 / 12)))
def test_searches_for_is_the_inverse_of_detectable(n: int, deviation: float, alpha: float) -> None:
    seen = detectable(n, deviation, alpha=alpha)
    assert seen is not None
    assert searches_for(seen * 1.0001, deviation, alpha=alpha) == n


@pytest.mark.parametrize("n", NUMBERS)
def test_a_detectable_difference_is_seen_in_80_percent(n: int) -> None:
    seen = detectable(n, 0.01)
    assert seen is not None
    plays = np.random.default_rng(n).normal(seen, 0.01, (PLAYS, n))
    share = np.mean([beats(play, [0.0] * n) == "yes" for play in plays.tolist()])
    assert share == pytest.approx(0.8, abs=4 * math.sqrt(0.16 / PLAYS))


# --- what is absent, and what is refused


def test_one_search_has_no_interval_and_no_claim() -> None:
    assert mean_interval([0.9]) is None
    assert mean_interval([]) is None
    assert paired_interval([0.9, None], [0.8, 0.7]) is None
    assert p_value([0.9], [0.8]) is None
    assert p_value_above([0.9], [0.8], -0.005) is None
    assert detectable(1, 0.01) is None
    assert beats([0.9], [0.1]) == keeps([0.9], [0.1]) == "undecided"


def test_differences_all_alike_claim_nothing() -> None:
    """Two searches on 360 images, both 7 images better: that happens by chance."""
    ours, theirs = [(150 + 7) / 360, (301 + 7) / 360], [150 / 360, 301 / 360]
    assert ours[0] - theirs[0] != ours[1] - theirs[1]  # by a rounding error
    assert paired_interval(ours, theirs) is None
    assert p_value(ours, theirs) == 1
    assert beats(ours, theirs) == keeps(ours, theirs) == keeps(theirs, ours) == "undecided"


def test_a_pair_with_a_missing_search_is_left_out() -> None:
    ours, theirs = [0.9, None, 0.8, 0.7], [0.8, 0.1, None, 0.65]
    assert paired_interval(ours, theirs) == paired_interval([0.9, 0.7], [0.8, 0.65])
    assert differences(ours, theirs).n == 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: p_value([0.1, 0.2], [0.1]), "2 searches can't be paired with 1"),
        (lambda: p_value([0.1, math.nan], [0.1, 0.2]), "not a finite number"),
        (lambda: holm([0.1, 1.2]), "p-value 1.2 is not in"),
        (lambda: keeps([0.1], [0.1], margin=0.0), "margin 0.0 is not above 0"),
        (lambda: beats([0.1], [0.1], alpha=5), "alpha 5 is not between 0 and 1"),
        (lambda: mean_interval([0.1, 0.2], confidence=95), "confidence 95 is not between"),
        (lambda: searches_for(0.0, 0.1), "difference 0.0 is not above 0"),
        (lambda: detectable(3, 0.1, power=0.01), "power 0.01 is not between 0.05 and 1"),
    ],
)
def test_refusals_are_one_clear_line(call: object, message: str) -> None:
    assert callable(call)
    with pytest.raises(ConfigError, match=message):
        call()


def test_importing_loads_neither_torch_nor_scipy() -> None:
    code = (
        "import sys, prac.analysis.statistics, prac.analysis.decision;"
        "print(sorted({'torch', 'scipy', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- properties


@given(studies(), st.randoms(), st.integers(-500, 500), st.sampled_from((0.01, 3.0, 100.0)))
def test_order_shift_and_scale_change_nothing(
    study: tuple[list[float], list[float]], random: object, shift: int, scale: float
) -> None:
    ours, theirs = study
    p, above = p_value(ours, theirs), p_value_above(ours, theirs, -0.005)
    order = list(range(len(ours)))
    random.shuffle(order)  # type: ignore[attr-defined]
    mixed = [ours[i] for i in order], [theirs[i] for i in order]
    moved = [a + shift / 1000 for a in ours], [b + shift / 1000 for b in theirs]
    scaled = [a * scale for a in ours], [b * scale for b in theirs]
    for a, b in (mixed, moved, scaled):
        assert p_value(a, b) == pytest.approx(p, rel=1e-6)
    for (a, b), bound in ((mixed, -0.005), (moved, -0.005), (scaled, -0.005 * scale)):
        assert p_value_above(a, b, bound) == pytest.approx(above, rel=1e-6, abs=1e-12)
    assert p_value(theirs, ours) == pytest.approx(p)


@given(studies(), st.lists(st.floats(0, 1), max_size=5))
def test_more_comparisons_claim_less(
    study: tuple[list[float], list[float]], others: list[float]
) -> None:
    ours, theirs = study
    assert beats(ours, theirs, comparisons=others) in ("undecided", beats(ours, theirs))
    if keeps(ours, theirs, comparisons=others) == "yes":
        assert keeps(ours, theirs) == "yes"


# --- error rates


def _noise(rng: np.random.Generator, kind: str, shape: tuple[int, ...]) -> np.ndarray:
    """Accuracies of one method whose searches differ; mean 0.8."""
    if kind == "small":
        return rng.normal(0.8, 0.001, shape)
    if kind == "skewed":  # now and then a search goes wrong
        return 0.8 - 0.02 * (rng.exponential(1, shape) - 1)
    if kind == "coarse":  # tested on 360 images
        return np.round(360 * rng.normal(0.8, 0.006, shape)) / 360
    return rng.normal(0.8, 0.02, shape)


@pytest.mark.parametrize("n", NUMBERS)
@pytest.mark.parametrize("kind", ["small", "large", "skewed", "coarse"])
def test_an_identical_method_beats_in_at_most_2_and_a_half_percent(n: int, kind: str) -> None:
    rng = np.random.default_rng(n)
    ours, theirs = _noise(rng, kind, (PLAYS, n)).tolist(), _noise(rng, kind, (PLAYS, n)).tolist()
    answers = [beats(a, b) for a, b in zip(ours, theirs, strict=True)]
    assert answers.count("yes") / PLAYS <= at_most(0.025)
    assert answers.count("no") / PLAYS <= at_most(0.025)


@pytest.mark.parametrize("n", NUMBERS)
def test_of_a_dozen_identical_methods_any_beats_in_at_most_5_percent(n: int) -> None:
    plays = 1500
    rng, false = np.random.default_rng(n), 0
    for _ in range(plays):
        control = rng.normal(0.8, 0.01, n).tolist()  # the same for all: they depend on each other
        methods = rng.normal(0.8, 0.01, (12, n)).tolist()
        p = [p_value(own, control) or 0.0 for own in methods]
        found = [
            beats(own, control, comparisons=p[:i] + p[i + 1 :]) for i, own in enumerate(methods)
        ]
        false += "yes" in found
    assert false / plays <= at_most(0.05, plays)


@pytest.mark.parametrize("n", NUMBERS)
@pytest.mark.parametrize("deviation", [0.001, 0.005, 0.02])
def test_one_that_loses_the_margin_keeps_in_5_percent(n: int, deviation: float) -> None:
    rng = np.random.default_rng(n)
    shared = rng.normal(0.8, 0.02, (PLAYS, n))  # the search's seed moves both sides
    ours = (shared + rng.normal(-0.005, deviation, (PLAYS, n))).tolist()
    pairs = list(zip(ours, shared.tolist(), strict=True))
    kept = [keeps(a, b) for a, b in pairs]
    exact = 4 * math.sqrt(0.05 * 0.95 / PLAYS)
    assert kept.count("yes") / PLAYS == pytest.approx(0.05, abs=exact)
    assert kept.count("no") / PLAYS == pytest.approx(0.05, abs=exact)


@pytest.mark.parametrize("n", NUMBERS)
def test_intervals_hold_the_truth_in_95_percent(n: int) -> None:
    rng = np.random.default_rng(n)
    ours, theirs = rng.normal(0.81, 0.01, (PLAYS, n)), rng.normal(0.79, 0.03, (PLAYS, n))
    found = [paired_interval(a, b) for a, b in zip(ours.tolist(), theirs.tolist(), strict=True)]
    held = np.mean([f is not None and f.low <= 0.02 <= f.high for f in found])
    assert held == pytest.approx(0.95, abs=4 * math.sqrt(0.05 * 0.95 / PLAYS))


@pytest.mark.parametrize(
    ("seeds", "deviations_worse", "share"),
    [(3, 0, 0.83), (3, 1, 0.45), (3, 2, 0.12), (10, 1, 0.48)],
)
def test_how_often_the_published_word_is_said(
    seeds: int, deviations_worse: int, share: float
) -> None:
    plays = 20_000
    rng = np.random.default_rng(seeds)
    ours = rng.normal(0.8 - 0.01 * deviations_worse, 0.01, (plays, seeds)).tolist()
    vanilla = rng.normal(0.8, 0.01, (plays, seeds)).tolist()
    said = np.mean([matches(a, b) for a, b in zip(ours, vanilla, strict=True)])
    assert said == pytest.approx(share, abs=0.005 + 4 * math.sqrt(0.25 / plays))


def test_matches_by_hand() -> None:
    """Vanilla: mean 0.80, deviation 0.01."""
    vanilla = [0.79, 0.80, 0.81]
    assert matches([0.79, 0.79, 0.79], vanilla) is True  # exactly one deviation below
    assert matches([0.789, 0.79, 0.79], vanilla) is False
    assert matches([0.99, 0.99, 0.99], vanilla) is True
    assert matches([0.79, 0.79], vanilla) is None
    assert matches([0.79, 0.79, 0.79], vanilla[:2]) is None
