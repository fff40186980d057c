"""What several searches show about a method, with the chance of a false claim kept at 5 %.

The unit is a whole search: training one ticket again with another seed repeats nothing of the
search that found it, so a search counts once, with the mean over its training seeds. Two methods
are compared in pairs of searches that share a seed; the differences go into Student's t.
Accuracies, margins and deviations have one unit, here shares: 0.005 is half a point. A search that
one side lacks is None, and its pair is left out.

Differences that are all alike (two searches, tested on a few hundred images) show nothing of
chance: they give no interval, a p-value of 1 and no claim, where the formula would divide by 0.

Student's t comes from scipy.special, which scikit-learn brings. The power of a t test needs the
noncentral t, of which no short exact routine exists. The import takes 0.2 s, so it waits for the
first test.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any, Literal

from prac.analysis.results import MARGIN, mean, sample_std
from prac.errors import ConfigError

Answer = Literal["yes", "no", "undecided"]
Accuracies = Sequence[float | None]
"""One a search, in the order of the other side's; None where a search is missing."""

ALPHA = 0.05
"""The share of false claims that is allowed."""

POWER = 0.8
"""The chance to see a true difference with which searches are planned."""

MATCHING_SEEDS = 3
"""With fewer seeds nothing "matches" (arXiv:2106.03225)."""

_ALIKE = 1e-9  # rounding errors of equal differences are far below, a single test image far above


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean over n searches and its confidence interval, in the unit of the values."""

    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Mean and sample standard deviation of n values; None where there are too few of them."""

    mean: float | None
    deviation: float | None
    n: int

    @property
    def error(self) -> float | None:
        """The standard error of the mean; None where the values show no deviation."""
        return self.deviation / math.sqrt(self.n) if self.deviation else None


def differences(ours: Accuracies, theirs: Accuracies) -> Sample:
    """Ours minus theirs, search by search."""
    if len(ours) != len(theirs):
        raise ConfigError(
            f"{len(ours)} searches can't be paired with {len(theirs)}; give both sides one value "
            "a search in the same order, None for a search that is missing"
        )
    pairs = [(a, b) for a, b in zip(ours, theirs, strict=True) if a is not None and b is not None]
    largest = max((abs(value) for pair in pairs for value in pair), default=0.0)
    return _sample(tuple(a - b for a, b in pairs), largest)


def mean_interval(values: Accuracies, *, confidence: float = 1 - ALPHA) -> Interval | None:
    """The confidence interval of a mean; None of fewer than two values or of values all alike."""
    known = tuple(value for value in values if value is not None)
    return _interval(_sample(known, max(map(abs, known), default=0.0)), confidence)


def paired_interval(
    ours: Accuracies, theirs: Accuracies, *, confidence: float = 1 - ALPHA
) -> Interval | None:
    """The confidence interval of the mean of ours minus theirs (Student's t, n - 1 degrees).

    None of fewer than two pairs and of differences that are all alike.
    """
    return _interval(differences(ours, theirs), confidence)


def p_value(ours: Accuracies, theirs: Accuracies) -> float | None:
    """The two-sided p-value of the paired t test; None of fewer than two pairs."""
    found = differences(ours, theirs)
    if found.mean is None or found.n < 2:
        return None
    if found.error is None:
        return 1.0
    return float(2 * _special().stdtr(found.n - 1, -abs(found.mean) / found.error))


def p_value_above(ours: Accuracies, theirs: Accuracies, bound: float) -> float | None:
    """The one-sided p-value of "ours minus theirs is above `bound`"; None below two pairs."""
    found = differences(ours, theirs)
    if found.mean is None or found.n < 2:
        return None
    if found.error is None:
        return 1.0
    return float(_special().stdtr(found.n - 1, (bound - found.mean) / found.error))


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Holm's adjusted p-values, in the order given (Holm 1979).

    To claim those at or below alpha makes any false claim at all in at most alpha of the cases,
    however the comparisons depend on each other.
    """
    for value in p_values:
        if not 0 <= value <= 1:
            raise ConfigError(f"p-value {value} is not in [0, 1]")
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = highest
    return tuple(adjusted)


def beats(
    ours: Accuracies, theirs: Accuracies, *, alpha: float = ALPHA, comparisons: Sequence[float] = ()
) -> Answer:
    """Whether ours is above theirs: `yes` and `no` (theirs is above ours) are shown.

    Two-sided, so that alone it says `yes` or `no` exactly where the interval excludes 0.
    comparisons: `p_value` of every other comparison of the same family (a study's other methods
    with their controls); Holm's correction is over these and this one.
    """
    _within("alpha", alpha)
    found, p = differences(ours, theirs), p_value(ours, theirs)
    if p is None or found.mean is None or holm((p, *comparisons))[0] > alpha:
        return "undecided"
    return "yes" if found.mean > 0 else "no"


def keeps(
    ours: Accuracies,
    theirs: Accuracies,
    *,
    margin: float = MARGIN,
    alpha: float = ALPHA,
    comparisons: Sequence[float] = (),
) -> Answer:
    """Whether ours keeps their accuracy: loses less than `margin` (non-inferiority).

    yes: shown to lose less than the margin, or to gain. no: shown to lose more. One-sided both: one
    that truly loses the whole margin gets a `yes` in alpha of the cases and a `no` in alpha. To be
    better by any amount keeps the accuracy. comparisons: `p_value_above(..., -margin)` of the other
    methods; Holm's correction guards `yes` alone.
    """
    _within("alpha", alpha)
    _positive("margin", margin)
    less, more = p_value_above(ours, theirs, -margin), p_value_above(theirs, ours, margin)
    if less is None or more is None:
        return "undecided"
    if holm((less, *comparisons))[0] <= alpha:
        return "yes"
    return "no" if more <= alpha else "undecided"


def matches(ours: Sequence[float], vanilla: Sequence[float]) -> bool | None:
    """The published word: the mean is at worst one standard deviation of vanilla's below vanilla's.

    None where either side has fewer than `MATCHING_SEEDS` values. It is a description, no test.
    With 3 seeds an identical method "matches" in 83 % of the cases, one that is truly a standard
    deviation worse in 45 %, one two deviations worse in 12 %. More seeds do not mend it: with 10,
    one that is a deviation worse still matches in 48 %.
    """
    if min(len(ours), len(vanilla)) < MATCHING_SEEDS:
        return None
    return fmean(ours) >= fmean(vanilla) - stdev(vanilla) - _ALIKE


def detectable(
    n: int, deviation: float, *, alpha: float = ALPHA, power: float = POWER
) -> float | None:
    """The smallest true difference that `beats` sees over n searches with this power.

    deviation: standard deviation of the differences, in the unit of the answer. From the noncentral
    t; None of fewer than two searches.
    """
    _within("alpha", alpha)
    _within("power", power, low=alpha)
    if n < 2:
        return None
    return _noncentrality(n, alpha, power) * deviation / math.sqrt(n)


def searches_for(
    difference: float, deviation: float, *, alpha: float = ALPHA, power: float = POWER
) -> int:
    """How many searches `beats` needs to see a true difference with this power; at least 2."""
    _within("alpha", alpha)
    _within("power", power, low=alpha)
    _positive("difference", difference)
    # With a known deviation it would be this many; Student's t needs a few more.
    normal = -_special().ndtri(alpha / 2) + _special().ndtri(power)
    n = max(2, math.floor(float(normal * deviation / difference) ** 2))
    while (detectable(n, deviation, alpha=alpha, power=power) or 0.0) > difference:
        n += 1
    return n


@functools.cache
def _noncentrality(n: int, alpha: float, power: float) -> float:
    """The true difference, in standard errors, with which t exceeds its upper critical value."""
    critical = _special().stdtrit(n - 1, 1 - alpha / 2)
    return float(_special().nctdtrinc(n - 1, 1 - power, critical))


@functools.lru_cache  # the exact deviation is slow, and a decision asks for each a dozen times
def _sample(values: tuple[float, ...], largest: float) -> Sample:
    if not all(map(math.isfinite, values)):
        raise ConfigError("an accuracy is not a finite number; give None for a missing search")
    deviation = sample_std(values)
    alike = deviation is not None and deviation <= _ALIKE * largest
    return Sample(mean=mean(values), deviation=0.0 if alike else deviation, n=len(values))


def _interval(found: Sample, confidence: float) -> Interval | None:
    _within("confidence", confidence)
    if found.mean is None or found.error is None:
        return None
    half = float(_special().stdtrit(found.n - 1, (1 + confidence) / 2)) * found.error
    return Interval(mean=found.mean, low=found.mean - half, high=found.mean + half, n=found.n)


def _within(name: str, value: float, low: float = 0.0) -> None:
    if not low < value < 1:
        raise ConfigError(f"{name} {value} is not between {low:g} and 1")


def _positive(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise ConfigError(f"{name} {value} is not above 0")


@functools.cache
def _special() -> Any:
    import scipy.special  # type: ignore[import-untyped, unused-ignore]

    return scipy.special
