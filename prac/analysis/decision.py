"""Whether choosing the samples paid: one of four answers, and what would settle an open one.

A method is held against two others, search by search: its random control (the same steps on random
samples of the same number) and vanilla at the same sparsity.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from prac.analysis.results import MARGIN
from prac.analysis.statistics import (
    ALPHA,
    POWER,
    Accuracies,
    Answer,
    Interval,
    beats,
    detectable,
    differences,
    holm,
    keeps,
    p_value,
    p_value_above,
    paired_interval,
    searches_for,
)

Verdict = Literal["paid", "did not pay", "undecided", "not measured"]
Ground = Literal["control", "vanilla", "steps"]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a study measured of one method at one sparsity.

    ours, control, vanilla: test accuracies in [0, 1], one a search (its mean over training
    seeds), all three in the order of the same searches; None (whole, or single searches) where
    there is none.
    steps_saved: share of vanilla's SGD steps, negative where it took more; None if not known.
    """

    ours: Accuracies
    control: Accuracies | None
    vanilla: Accuracies | None
    steps_saved: float | None


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The verdict of one method and what it rests on.

    grounds: the comparisons behind the verdict. Of `paid` all three; of `did not pay` those that
    went against the method; of `undecided` the open ones; of `not measured` the missing ones.
    beats_control, keeps_accuracy: None where that side is missing. to_control, to_vanilla: ours
    minus theirs, each interval for itself, not corrected for several methods. p_value: of `paid`,
    after Holm's correction over the methods; None where it could not be tested.
    detectable: the smallest true advantage over the control that so many searches would have seen.
    searches_needed: how many more searches would decide; None where nothing is open or one search
    shows no deviation to plan with.
    """

    verdict: Verdict
    grounds: tuple[Ground, ...]
    beats_control: Answer | None
    keeps_accuracy: Answer | None
    to_control: Interval | None
    to_vanilla: Interval | None
    p_value: float | None
    detectable: float | None
    searches_needed: int | None


@dataclass(frozen=True, kw_only=True)
class _Tests:
    """The p-values of a method that was tested against its control; 1 where vanilla is missing."""

    above_control: float  # two-sided, of `beats`
    near_vanilla: float  # one-sided, of `keeps`
    paid: float


def decide(
    methods: Mapping[str, Measured],
    *,
    margin: float = MARGIN,
    alpha: float = ALPHA,
    power: float = POWER,
) -> dict[str, Decision]:
    """The verdict of every method of a study, by name.

    paid: beats its control, keeps vanilla's accuracy within `margin` and saves steps. Both must be
    shown, so the larger p-value counts; with Holm's correction over the methods, any false `paid`
    in a study comes in at most alpha of the cases.
    did not pay: does not beat its control and is shown to be above it by less than `margin` (the
    control `keeps` its accuracy), or is shown to lose more than `margin` to vanilla, or saves no
    steps. Each of the first two is wrong in at most alpha of the cases.
    not measured: control, vanilla or steps are missing, and what is there does not speak against
    the method; without a control always.
    undecided: all else; always with one search, unless it saves no steps.
    """
    tests = {name: _tests(method, margin) for name, method in methods.items()}
    # One family for all three p-values, so that `paid` never stands beside an open part.
    family = {name: test for name, test in tests.items() if test is not None}
    paid = dict(zip(family, holm([test.paid for test in family.values()]), strict=True))
    decisions = {}
    for name, method in methods.items():
        others = [test for other, test in family.items() if other != name]
        decisions[name] = _decide(method, others, paid.get(name), margin, alpha, power)
    return decisions


def _tests(method: Measured, margin: float) -> _Tests | None:
    above = None if method.control is None else p_value(method.ours, method.control)
    if method.control is None or above is None:
        return None
    near = None if method.vanilla is None else p_value_above(method.ours, method.vanilla, -margin)
    near = 1.0 if near is None else near
    ahead = (differences(method.ours, method.control).mean or 0.0) > 0
    return _Tests(above_control=above, near_vanilla=near, paid=max(above if ahead else 1.0, near))


def _decide(
    method: Measured,
    others: list[_Tests],
    p_paid: float | None,
    margin: float,
    alpha: float,
    power: float,
) -> Decision:
    ours = method.ours
    control, vanilla = _present(ours, method.control), _present(ours, method.vanilla)
    beaten = kept = as_good = None
    if control is not None:
        beside = [test.above_control for test in others]
        beaten = beats(ours, control, alpha=alpha, comparisons=beside)
        as_good = keeps(control, ours, margin=margin, alpha=alpha)
    if vanilla is not None:
        beside = [test.near_vanilla for test in others]
        kept = keeps(ours, vanilla, margin=margin, alpha=alpha, comparisons=beside)
    verdict, grounds = _verdict(
        against={
            "control": as_good == "yes" and beaten != "yes",
            "vanilla": kept == "no",
            "steps": method.steps_saved is not None and method.steps_saved <= 0,
        },
        missing={
            "control": control is None,
            "vanilla": vanilla is None,
            "steps": method.steps_saved is None,
        },
        unshown={"control": beaten != "yes", "vanilla": kept != "yes"},
        paid=p_paid is not None and p_paid <= alpha,
    )
    # Planned for the hardest of Holm's steps: every method of the family is still open.
    strict = alpha / (1 + len(others))
    plans: list[int | None] = []
    if verdict == "undecided" and "control" in grounds:
        plans.append(_more(ours, control, margin, strict, power))
    if verdict == "undecided" and "vanilla" in grounds:
        plans.append(_more(ours, vanilla, margin, 2 * strict, power))  # `keeps` is one-sided
    known = [plan for plan in plans if plan is not None]
    return Decision(
        verdict=verdict,
        grounds=grounds,
        beats_control=beaten,
        keeps_accuracy=kept,
        to_control=_interval(ours, control, alpha),
        to_vanilla=_interval(ours, vanilla, alpha),
        p_value=p_paid if vanilla is not None else None,
        detectable=_detectable(ours, control, strict, power),
        searches_needed=max(known) if known and len(known) == len(plans) else None,
    )


def _verdict(
    *,
    against: Mapping[Ground, bool],
    missing: Mapping[Ground, bool],
    unshown: Mapping[Ground, bool],
    paid: bool,
) -> tuple[Verdict, tuple[Ground, ...]]:
    def those(marked: Mapping[Ground, bool]) -> tuple[Ground, ...]:
        return tuple(ground for ground, holds in marked.items() if holds)

    if those(against) and not missing["control"]:
        return "did not pay", those(against)
    if those(missing):
        return "not measured", those(missing)
    if paid:
        return "paid", ("control", "vanilla", "steps")
    # Each alone can be shown while both at once, corrected for several methods, are not.
    return "undecided", those(unshown) or ("control", "vanilla")


def _present(ours: Accuracies, theirs: Accuracies | None) -> Accuracies | None:
    """That side; None where no search has both."""
    return theirs if theirs is not None and differences(ours, theirs).n else None


def _interval(ours: Accuracies, theirs: Accuracies | None, alpha: float) -> Interval | None:
    return None if theirs is None else paired_interval(ours, theirs, confidence=1 - alpha)


def _deviation(ours: Accuracies, theirs: Accuracies | None) -> tuple[int, float | None]:
    """The pairs and the deviation of their differences; None where they show none."""
    found = None if theirs is None else differences(ours, theirs)
    return (0, None) if found is None else (found.n, found.deviation or None)


def _detectable(
    ours: Accuracies, theirs: Accuracies | None, alpha: float, power: float
) -> float | None:
    n, deviation = _deviation(ours, theirs)
    return None if deviation is None else detectable(n, deviation, alpha=alpha, power=power)


def _more(
    ours: Accuracies, theirs: Accuracies | None, margin: float, alpha: float, power: float
) -> int | None:
    """How many more searches would decide; None where the searches show no deviation.

    Planned for a true difference of `margin`, not for the one observed, which chance has made too
    large or too small. Where so many were run already, the truth lies between 0 and the margin:
    half the difference is planned for, and half of that.
    """
    n, deviation = _deviation(ours, theirs)
    if deviation is None:
        return None
    while (planned := searches_for(margin, deviation, alpha=alpha, power=power)) <= n:
        margin /= 2
    return planned - n
