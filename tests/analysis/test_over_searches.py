"""Several whole searches: every number against scipy and by hand, and the words of each verdict."""

from __future__ import annotations

import dataclasses

import pytest
from scipy import stats

from prac.analysis.over_searches import over_searches
from prac.analysis.results import Results, SearchRow, results_from_json, results_to_json
from prac.report.over_searches import searches_sentences, searches_table

VANILLA = ((0.90, 0.92), (0.91, 0.91), (0.93, 0.92), (0.90, 0.91))
CONTROL = ((0.88, 0.90), (0.89, 0.888), (0.911, 0.90), (0.88, 0.891))


def _results(ours: tuple[tuple[float, ...], ...], *, methods: str = "pvr") -> Results:
    by_letter = {
        "p": ("prac", ours),
        "v": ("vanilla", VANILLA),
        "r": ("random-subset", CONTROL),
        "c": ("cet-only", ours),
        "e": ("entropy", ours),
        "s": ("snip", ours),
        "f": ("rs2", ours),
        "t": ("random-tickets", ours),
        "x": ("mine:weights", ours),
        "y": ("mine:score", ours),
    }
    rows = [
        SearchRow(
            architecture="resnet8",
            method=name,
            round=3,
            search_seed=seed,
            sparsity=0.784,
            set_size=(50 if name == "cet-only" else 100) + seed,
            search_steps=1000 if name == "vanilla" else 400,
            steps_saved=0.0 if name == "vanilla" else 0.6,
            validation_accuracy=0.9,
            test_accuracies=accuracies,
        )
        for letter in methods
        for name, every in [by_letter[letter]]
        for seed, accuracies in enumerate(every[: len(ours)])
    ]
    return Results(
        title="",
        data="toy",
        recipe="toy",
        num_training_samples=1000,
        num_classes=3,
        tolerance=None,
        seed=0,
        settings={},
        rows=(),
        dense_test_accuracies={},
        searches=tuple(rows),
    )


PAID = ((0.902, 0.921), (0.911, 0.91), (0.931, 0.92), (0.90, 0.912))
POOR = ((0.70, 0.71), (0.69, 0.70), (0.70, 0.70), (0.71, 0.70))
OPEN = ((0.95, 0.96), (0.80, 0.81), (0.93, 0.93), (0.85, 0.84))


def test_a_search_counts_once_by_the_mean_of_its_trainings() -> None:
    found = {each.method: each for each in over_searches(_results(OPEN))}
    ours = [sum(pair) / 2 for pair in OPEN]
    theirs = [sum(pair) / 2 for pair in VANILLA]
    prac = found["prac"]
    assert (prac.searches, prac.trainings) == (4, 8)
    assert prac.accuracy == pytest.approx(sum(ours) / 4)
    assert prac.interval is not None
    low, high = stats.t.interval(0.95, 3, loc=sum(ours) / 4, scale=stats.sem(ours))
    assert (prac.interval.low, prac.interval.high) == pytest.approx((low, high))
    paired = stats.ttest_rel(ours, theirs).confidence_interval()
    assert prac.to_vanilla is not None
    assert (prac.to_vanilla.low, prac.to_vanilla.high) == pytest.approx((paired.low, paired.high))
    assert prac.set_size == 101.5
    assert found["vanilla"].decision is None
    assert found["vanilla"].to_vanilla is None
    assert found["random-subset"].to_vanilla is not None


@pytest.mark.parametrize(
    ("ours", "methods", "verdict"),
    [
        (PAID, "pvr", "paid"),
        (POOR, "pvr", "did not pay"),
        (OPEN, "pvr", "undecided"),
        (PAID, "pv", "not measured"),
    ],
)
def test_each_verdict_is_decided_and_then_worded(
    ours: tuple[tuple[float, ...], ...], methods: str, verdict: str
) -> None:
    results = _results(ours, methods=methods)
    decision = next(e for e in over_searches(results) if e.method == "prac").decision
    assert decision is not None
    assert decision.verdict == verdict
    cells = next(row for row in searches_table(results) if row["method"] == "PrAC")
    assert cells["choosing the samples"] == verdict
    said = {"undecided": "Not shown that", "not measured": "was not measured"}.get(verdict, verdict)
    assert said in searches_sentences(results)[-1]


def test_the_head_says_over_how_many_searches_and_trainings() -> None:
    first = searches_sentences(_results(PAID))[0]
    assert first.startswith("Over 4 whole searches (search seeds 0, 1, 2, 3), each ticket trained")
    assert "paired by search" in first


def test_one_search_has_no_interval_and_is_undecided() -> None:
    results = _results(PAID[:1])
    prac = next(each for each in over_searches(results) if each.method == "prac")
    assert prac.interval is None
    assert prac.to_vanilla is None
    assert prac.decision is not None
    assert prac.decision.verdict == "undecided"


def test_without_several_searches_nothing_is_said() -> None:
    results = dataclasses.replace(_results(PAID), searches=())
    assert over_searches(results) == searches_table(results) == searches_sentences(results) == []


def test_they_survive_json() -> None:
    results = _results(OPEN)
    assert results_from_json(results_to_json(results)) == results


def test_a_wider_margin_decides_what_half_a_point_leaves_open() -> None:
    """0.8 +- 0.3 points below vanilla: more than half a point is not shown, less than three is."""
    results = _results(((0.91 - 0.011,), (0.91 - 0.005,), (0.925 - 0.008,)), methods="pv")
    kept = {
        margin: over_searches(dataclasses.replace(results, margin=margin))[0].decision
        for margin in (0.005, 0.03)
    }
    answers = {margin: each and each.keeps_accuracy for margin, each in kept.items()}
    assert answers == {0.005: "undecided", 0.03: "yes"}


def test_only_those_that_choose_samples_are_decided_and_against_a_control_of_their_size() -> None:
    alone = over_searches(_results(PAID))[0].decision
    found = {each.method: each.decision for each in over_searches(_results(PAID, methods="pvrsft"))}
    assert found["prac"] == alone, "what chooses weights, or nothing, is in no correction"
    assert [found[name] for name in ("snip", "rs2", "random-tickets")] == [None, None, None]
    results = _results(PAID, methods="pvrce")
    found = {each.method: each.decision for each in over_searches(results)}
    cet, entropy = found["cet-only"], found["entropy"]
    assert cet is not None
    assert (cet.verdict, cet.grounds) == ("not measured", ("control",))
    assert entropy is not None
    assert entropy.beats_control == "yes"
    assert entropy.p_value == pytest.approx(2 * alone.p_value), "of a family of two, not of three"
    (said,) = (s for s in searches_sentences(results) if "CET only" in s)
    assert "can't be measured: its sets have sizes and steps of their own" in said


def test_methods_of_ones_own_have_the_role_that_they_were_searched_with() -> None:
    results = _results(PAID, methods="pvrxy")
    roles = {"mine:weights": "weights", "mine:score": "samples"}
    told = dataclasses.replace(results, roles=roles)
    found = {each.method: each.decision for each in over_searches(told)}
    assert found["mine:weights"] is None
    assert found["mine:score"] is not None
    assert found["mine:score"].beats_control == "yes"
    # An earlier version wrote none: no control can be said to be theirs.
    found = {each.method: each.decision for each in over_searches(results)}
    assert [found[name].beats_control for name in roles] == [None, None]  # type: ignore[union-attr]


def test_what_would_measure_it_leaves_out_nothing_that_was_searched() -> None:
    """`--compare` replaces: what is asked for has to be said again."""
    said = searches_sentences(_results(PAID, methods="pvc"))
    (ours,) = (s for s in said if ", PrAC at" in s)
    assert "the same command with --compare vanilla cet-only random-subset measures it" in ours
