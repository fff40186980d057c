"""Verdicts against arithmetic done by hand; see `conftest.JUDGED` for the accuracies."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import pytest

from prac.analysis.results import Results, RoundRow, SearchRow
from prac.config.methods import METHODS
from prac.report.compare import comparisons, noise_points, own_method, summaries
from prac.report.verdict import earned_aliases, verdicts

Rows = Callable[..., RoundRow]
Build = Callable[..., Results]


def test_accuracy_kept_and_steps_saved_by_hand(results: Results) -> None:
    found = {(c.row.method, c.row.round): c for c in comparisons(results, "resnet8")}
    ticket = found["prac", 5]
    assert ticket.to_vanilla == pytest.approx(-0.4)  # 91.4 - 91.8
    assert ticket.to_dense == pytest.approx(-0.6)  # 91.4 - 92.0
    assert ticket.random is not None
    assert ticket.random.points == pytest.approx(1.5)  # 91.4 - 89.9
    assert ticket.steps_saved == pytest.approx(0.48)  # 1 - (1000 + 4 * 400) / 5000
    assert len(found) == 9


def test_sparsest_ticket_within_one_point_of_dense(results: Results) -> None:
    best = {(s.architecture, s.method): s.best for s in summaries(results)}
    rounds = {search: c.row.round if c else None for search, c in best.items()}
    assert rounds["resnet8", "prac"] == 5
    assert rounds["resnet8", "vanilla"] == 8
    assert rounds["resnet8", "random-subset"] == 2  # exactly 1.0 below counts as within
    assert rounds["resnet20s", "prac"] is None
    assert rounds["vgg16", "prac"] == 8


def test_one_search_leaves_it_undecided(results: Results) -> None:
    verdict = verdicts(results)[2]
    assert (verdict.architecture, verdict.paid, verdict.level) == ("vgg16", "undecided", "open")
    assert (verdict.headline, verdict.take) == ("No ticket is recommended yet", None)
    assert verdict.shown is not None
    assert (verdict.shown.method, verdict.shown.round) == ("prac", 8)
    assert verdict.text == (
        "Not shown that choosing the samples helps, nor that it keeps vanilla's accuracy within "
        "0.5 points: 3.7 points above a random subset of the same size, in one search. "
        "PrAC at 83.2 % sparsity: 91.7 % test accuracy, 0.3 points below dense and 0.1 points "
        "below vanilla, found in 3,800 SGD steps, 52 % fewer than vanilla. Without a choice of "
        "samples, the sparsest within 1 point of dense in validation accuracy: vanilla at 83.2 % "
        "sparsity, 91.8 % test accuracy, 8,000 SGD steps. The same command with --searches 5 "
        "would tell more. A difference of two accuracies below about 1.0 points can't be told "
        "from noise (a rule of thumb, one seed)."
    )


def test_vanilla_is_sparser(results: Results) -> None:
    verdict = verdicts(results)[0]
    assert (verdict.headline, verdict.level) == ("Take vanilla at 83.2 % sparsity", "mixed")
    assert (
        "PrAC comes within 1 point of dense in validation accuracy up to 67.2 % sparsity"
        in verdict.text
    )
    assert "48 % fewer SGD steps than vanilla" in verdict.text


def test_says_plainly_that_prac_falls_short_and_how_near_chance_is(results: Results) -> None:
    text = verdicts(results)[1].text
    assert "No judged PrAC ticket comes within 1 point of dense" in text
    assert "1.5 points below dense" in text
    assert "does not come within 1 point of vanilla" in text
    assert "Not shown that choosing the samples helps, nor that " in text
    assert "0.1 points below a random subset of the same size and 1.6 points below vanilla" in text


def test_one_seed_never_matches(results: Results) -> None:
    for verdict in verdicts(results):
        assert "match" not in verdict.headline + verdict.text


def test_the_calibration_of_the_method_page(row: Rows, build: Build) -> None:
    judged = {
        ("prac", 4): 0.8044,
        ("prac", 7): 0.7815,
        ("vanilla", 4): 0.8320,
        ("vanilla", 7): 0.8333,
        ("random-subset", 4): 0.8047,
        ("random-subset", 7): 0.7793,
    }
    rows = tuple(row("resnet8", m, k, test=accuracy) for (m, k), accuracy in judged.items())
    verdict = verdicts(build(rows=rows, dense_test_accuracy={"resnet8": 0.8196}))[0]
    assert verdict.headline == "Take vanilla at 79.0 % sparsity"
    assert "the nearest, at 59.0 % sparsity" in verdict.text
    assert "2.8 points below vanilla" in verdict.text
    assert "within 0.1 points of a random subset of the same size and " in verdict.text


@pytest.mark.parametrize(
    ("name", "other", "role"),
    [("rs2", "mine:fresh", "chance"), ("random-erk", "mine:erk", "drawn weights"),
     ("vanilla", "mine:everything", "everything")],
)  # fmt: skip
def test_a_baseline_is_one_by_what_it_does(
    row: Rows, build: Build, name: str, other: str, role: str
) -> None:
    """Whatever it is called: of PrAC's ticket and its own it is never the one under test."""
    found = []
    for called in (name, other):
        rows = (row("resnet8", called, 4, test=0.95), row("resnet8", "cep-only", 4, test=0.93))
        results = build(rows=rows, dense_test_accuracy={"resnet8": 0.93})
        results = dataclasses.replace(results, roles={other: role})
        assert own_method(results, "resnet8") == "cep-only"
        assert [c.baseline for c in comparisons(results, "resnet8")] == [True, False]
        found.append(verdicts(results)[0].headline)
    if name != "vanilla":  # whose ticket may be the one to take
        assert found[0] == found[1]
    baselines = {"vanilla", "random-subset", "rs2", "random-pruning", "random-erk",
                 "random-tickets"}  # fmt: skip
    assert {name for name in METHODS if build(rows=()).is_baseline(name)} == baselines


# Means and deviations by hand: vanilla 92.0 and 0.2; PrAC 91.9 at 59 % and 91.5 at 67.2 %.
VANILLA = (0.918, 0.920, 0.922)
NEAR, FAR = (0.917, 0.919, 0.921), (0.912, 0.918, 0.915)


def _three_seeds(row: Rows, build: Build, *more: RoundRow) -> Results:
    rows = (
        row("a", "prac", 4, test=NEAR),
        row("a", "prac", 5, test=FAR),
        row("a", "vanilla", 4, test=VANILLA),
        row("a", "vanilla", 5, test=VANILLA),
        *more,
    )
    return build(rows=rows, judging_seeds=(0, 1, 2), dense_test_accuracies={"a": (0.92,) * 3})


def test_three_seeds_by_hand(row: Rows, build: Build) -> None:
    near, far = comparisons(_three_seeds(row, build), "a")[:2]
    assert (near.matches, far.matches) == (True, False)
    assert near.test_accuracy == pytest.approx(0.919)
    assert near.test_std == pytest.approx(0.002)
    assert near.vanilla is not None
    assert (near.vanilla.points, near.vanilla.error) == pytest.approx((-0.1, 0.0))
    assert far.vanilla is not None
    # Pairs -0.6, -0.2, -0.7: the variance is 0.07, the standard error sqrt(0.07 / 3).
    assert far.vanilla.points == pytest.approx(-0.5)
    assert far.vanilla.error == pytest.approx((0.07 / 3) ** 0.5)
    assert far.dense is not None
    assert (far.dense.points, far.dense.pairs) == (pytest.approx(-0.5), 3)


def test_three_seeds_say_what_matches(row: Rows, build: Build) -> None:
    results = _three_seeds(row, build)
    verdict = verdicts(results)[0]
    assert (verdict.headline, verdict.level) == ("No ticket is recommended yet", "open")
    assert verdict.sentences == (
        "Not measured whether choosing the samples helps.",
        "PrAC at 67.2 % sparsity: 91.50 ± 0.30 % test accuracy, 0.5 ± 0.2 points below dense and "
        "0.5 ± 0.2 points below vanilla, found in 2,600 SGD steps, 48 % fewer than vanilla.",
        "Of the tickets of one search, trained with 3 seeds, the sparsest PrAC ticket that matches "
        "vanilla: 59.0 % sparsity, 45 % fewer SGD steps than vanilla.",
        "Without a choice of samples, the sparsest within 1 point of dense in validation accuracy: "
        "vanilla at 67.2 % sparsity, 92.00 ± 0.20 % test accuracy, 5,000 SGD steps.",
        "It does not match vanilla at the same sparsity: 0.5 ± 0.2 points below vanilla.",
    )
    assert verdict.advice == (
        "Whether choosing the samples paid was not measured, for want of the difference to chance: "
        "the same command with --compare vanilla random-subset measures it."
    )
    assert verdict.noise == (
        "Tickets of one search, trained with 3 seeds: ± after an accuracy is the standard "
        "deviation over these trainings, ± after a difference its standard error (paired by seed). "
        "Each search was run once, with seed 0: other sets, masks and stops may give other tickets."
    )
    summary = summaries(results)[0]
    assert (summary.method, summary.num_comparable) == ("prac", 2)
    assert summary.matching is not None
    assert summary.matching.row.round == 4


def test_exactly_one_deviation_below_matches_and_above_does_too(row: Rows, build: Build) -> None:
    for shift, wanted in ((-0.002, True), (-0.0021, False), (0.05, True)):
        rows = (
            row("a", "prac", 4, test=tuple(v + shift for v in VANILLA)),
            row("a", "vanilla", 4, test=VANILLA),
        )
        assert comparisons(build(rows=rows), "a")[0].matches is wanted


def test_two_seeds_never_match(row: Rows, build: Build) -> None:
    rows = (row("a", "prac", 4, test=NEAR[:2]), row("a", "vanilla", 4, test=VANILLA))
    results = build(rows=rows, dense_test_accuracies={"a": (0.92, 0.92)})
    assert comparisons(results, "a")[0].matches is None
    verdict = verdicts(results)[0]
    assert "match" not in verdict.headline + verdict.text
    assert verdict.noise.startswith("Tickets of one search, trained with 2 seeds: ")
    assert "run once, with seed 0" in verdict.noise
    assert summaries(results)[0].num_comparable == 0


def test_a_ticket_of_another_sparsity_is_not_compared(row: Rows, build: Build) -> None:
    other = dataclasses.replace(row("a", "vanilla", 4, test=VANILLA), sparsity=0.5)
    found = comparisons(build(rows=(row("a", "prac", 4, test=NEAR), other)), "a")
    assert found[0].vanilla is None
    assert found[0].matches is None


def _over_searches(row: Rows, build: Build, gains: Sequence[float], saved: float) -> Results:
    """Five searches whose PrAC ticket is above its control by `gains`, and vanilla as it."""
    tickets = {"prac": gains, "random-subset": [0.0] * 5, "vanilla": gains}
    rows = tuple(row("a", method, 3, test=0.9 + g[0], saved=saved) for method, g in tickets.items())
    searches = tuple(
        dataclasses.replace(over, search_seed=seed, test_accuracies=(0.9 + g[seed] + 0.001 * seed,))
        for method, g in tickets.items()
        for seed in range(5)
        for over in [_search_row(next(r for r in rows if r.method == method))]
    )
    return build(rows=rows, searches=searches, dense_test_accuracy={"a": 0.9})


def _search_row(row: RoundRow) -> SearchRow:
    return SearchRow(
        architecture=row.architecture,
        method=row.method,
        round=row.round,
        search_seed=0,
        sparsity=row.sparsity,
        set_size=row.set_size,
        search_steps=row.search_steps,
        steps_saved=row.steps_saved,
        validation_accuracy=0.9,
        test_accuracies=row.test_accuracies,
    )


# The means and half widths by hand; vanilla is not told where all differences to it are alike.
_KEPT = (
    "Not shown that it keeps vanilla's accuracy within 0.5 points: 0.8 points above a random "
    "subset of the same size (95 %: +0.6 to +1.0), over 5 searches."
)
_AS_CHANCE = (
    "Choosing the samples did not pay, for it is no better than random samples: PrAC at 48.8 % "
    "sparsity, within 0.1 points of a random subset of the same size (95 %: −0.2 to +0.2) and "
    "within 0.1 points of vanilla, over 5 searches."
)
_NO_STEPS = (
    "Choosing the samples did not pay, for it saves no steps: PrAC at 48.8 % sparsity, 0.8 points "
    "above a random subset of the same size (95 %: +0.6 to +1.0) and within 0.1 points of vanilla, "
    "over 5 searches."
)


@pytest.mark.parametrize(
    ("gains", "saved", "paid", "level", "words"),
    [
        # 0.8 +- 0.16 points: t = 11 of 4 degrees. Vanilla's differences are all 0: no deviation.
        ((0.008, 0.006, 0.01, 0.009, 0.007), 0.4, "undecided", "open", _KEPT),
        # 0.0 +- 0.16 points: within half a point of chance, shown.
        ((0.002, -0.002, 0.001, -0.001, 0.0), 0.4, "did not pay", "mixed", _AS_CHANCE),
        ((0.008, 0.006, 0.01, 0.009, 0.007), -0.1, "did not pay", "mixed", _NO_STEPS),
    ],
)
def test_five_searches_decide(
    row: Rows, build: Build, gains: Sequence[float], saved: float, paid: str, level: str, words: str
) -> None:
    verdict = verdicts(_over_searches(row, build, gains, saved))[0]
    assert (verdict.paid, verdict.level) == (paid, level)
    assert verdict.sentences[0] == words


GAINS = (0.008, 0.006, 0.01, 0.009, 0.007)  # over the control: 0.8 +- 0.16 points
NONE = (0.002, -0.002, 0.001, -0.001, 0.0)  # as good as the control, shown


def _as_good_as_vanilla(row: Rows, build: Build, gains: Sequence[float] | None) -> Results:
    """Each badge by hand: PrAC is as good as vanilla to 0.02 points, better than chance by gains,
    which without gains is not there."""
    built = _over_searches(row, build, gains or NONE, 0.4)
    near = {s: 0.9 + (gains or NONE)[s] + 0.001 * s + (-1) ** s * 0.0002 for s in range(5)}
    searches = tuple(
        dataclasses.replace(each, test_accuracies=(near[each.search_seed],))
        if each.method == "vanilla"
        else each
        for each in built.searches
        if gains is not None or each.method != "random-subset"
    )
    rows = tuple(dataclasses.replace(r, ticket=f"models:/a/{r.method}") for r in built.rows)
    return dataclasses.replace(built, rows=rows, searches=searches)


@pytest.mark.parametrize(
    ("gains", "paid", "headline", "recommended"),
    [
        (GAINS, "paid", "Take PrAC at 48.8 % sparsity", "models:/a/prac"),
        (NONE, "did not pay", "Take vanilla at 48.8 % sparsity", "models:/a/vanilla"),
        ((0.01, -0.008, 0.012, -0.01, 0.002), "undecided", "No ticket is recommended yet", None),
        (None, "not measured", "No ticket is recommended yet", None),
    ],
)
def test_only_what_paid_is_taken_and_recommended(
    row: Rows,
    build: Build,
    gains: Sequence[float] | None,
    paid: str,
    headline: str,
    recommended: str | None,
) -> None:
    results = _as_good_as_vanilla(row, build, gains)
    (verdict,) = verdicts(results)
    assert (verdict.paid, verdict.headline) == (paid, headline)
    assert (verdict.level == "good") == (paid == "paid")
    assert earned_aliases(results)["a"]["recommended"] == recommended
    if paid == "did not pay":
        # Where no dense network was judged vanilla itself is what tickets are compared with.
        alone = dataclasses.replace(
            results, dense_test_accuracies={}, dense_validation_accuracies={}
        )
        assert verdicts(alone)[0].headline == headline
        # Nothing tells how good a sparser one of vanilla's is.
        sparser = dataclasses.replace(row("a", "vanilla", 9, test=0.1), ticket="models:/a/9")
        more = dataclasses.replace(alone, rows=(*alone.rows, sparser))
        assert verdicts(more)[0].headline == headline


def test_what_paid_and_is_too_poor_leaves_nothing_open(row: Rows, build: Build) -> None:
    """SNIP is close, and chooses no samples: the badge is PrAC's, and nothing is left to decide."""
    built = _as_good_as_vanilla(row, build, GAINS)
    snip = row("a", "snip", built.rows[0].round, test=0.95)
    results = dataclasses.replace(
        built,
        rows=(*built.rows, snip),
        dense_test_accuracies={"a": (0.95,)},
        dense_validation_accuracies={"a": (0.95,)},
    )
    (verdict,) = verdicts(results)
    assert (verdict.paid, verdict.level, verdict.headline) == ("paid", "poor", "No ticket to take")


def test_what_chance_does_better_is_not_taken(row: Rows, build: Build) -> None:
    """One search of a default run: all three come close, chance the closest."""
    tests = {"prac": 0.989, "vanilla": 0.994, "random-subset": 0.994}
    rows = tuple(row("a", method, 8, test=test) for method, test in tests.items())
    results = build(rows=rows, dense_test_accuracy={"a": 0.9916})
    (verdict,) = verdicts(results)
    assert (verdict.paid, verdict.take, verdict.level) == ("undecided", None, "open")
    assert "0.5 points below a random subset of the same size, where" in verdict.text
    assert "The same command with --searches 5 would tell more." in verdict.text
    assert earned_aliases(results) == {"a": {"recommended": None, "sparsest-matching": None}}


def test_a_search_that_saves_nothing_is_not_called_cheaper(row: Rows, build: Build) -> None:
    rows = (row("a", "prac", 3, test=0.9, saved=0.0),)
    text = verdicts(build(rows=rows, dense_test_accuracy={"a": 0.9}))[0].text
    assert "found in 1,800 SGD steps, as many as every round on all samples" in text
    assert "0 % fewer" not in text


def test_without_vanilla_it_is_not_measured(row: Rows, build: Build) -> None:
    rows = (row("a", "prac", 3, test=0.90), row("a", "random-subset", 3, test=0.895))
    verdict = verdicts(build(rows=rows, dense_test_accuracy={"a": 0.90}))[0]
    assert (verdict.paid, verdict.level) == ("not measured", "open")
    assert (
        "the difference to vanilla: the same command with --compare random-subset vanilla "
        "measures it" in verdict.text
    )
    assert "There is no vanilla ticket to compare with." in verdict.text
    assert "than vanilla" not in verdict.text
    assert "fewer than every round on all samples" in verdict.text


def test_nothing_within_one_point(row: Rows, build: Build) -> None:
    rows = (row("a", "prac", 2, test=0.80), row("a", "prac", 3, test=0.78))
    verdict = verdicts(build(rows=rows, dense_test_accuracy={"a": 0.90}))[0]
    assert (verdict.take, verdict.level) == (None, "poor")
    assert (
        verdict.headline == "No judged ticket comes within 1 point of dense in validation accuracy"
    )
    assert "The best in validation accuracy is PrAC at 36.0 % sparsity" in verdict.text


def test_the_test_split_chooses_nothing(row: Rows, build: Build) -> None:
    """By test accuracy the sparser one would be taken; by validation accuracy it may not."""
    validated = {2: (0.915,), 3: (0.88,)}
    rows = tuple(
        dataclasses.replace(row("a", "prac", k, test=test), validation_accuracies=validated[k])
        for k, test in ((2, 0.90), (3, 0.92))
    )
    results = build(
        rows=rows, dense_test_accuracies={"a": (0.92,)}, dense_validation_accuracies={"a": (0.92,)}
    )
    verdict = verdicts(results)[0]
    assert verdict.shown == rows[0]
    # What it is told with is the test split's, whatever that is.
    assert "90.0 % test accuracy, 2.0 points below dense" in verdict.text
    assert summaries(results)[0].best == comparisons(results, "a")[0]
    unknown = dataclasses.replace(results, dense_validation_accuracies={})
    assert (verdicts(unknown)[0].take, verdicts(unknown)[0].level) == (None, "open")


def test_where_none_is_close_the_nearest_is_so_in_validation(row: Rows, build: Build) -> None:
    rows = tuple(
        dataclasses.replace(row("a", "prac", k, test=test), validation_accuracies=(validated,))
        for k, test, validated in ((2, 0.80, 0.85), (3, 0.86, 0.80))
    )
    results = build(
        rows=rows, dense_test_accuracies={"a": (0.95,)}, dense_validation_accuracies={"a": (0.95,)}
    )
    assert verdicts(results)[0].shown == rows[0]


def test_what_chance_found_as_sparse_for_fewer_steps_is_told_while_nothing_is_decided(
    row: Rows, build: Build
) -> None:
    rows = [row("a", name, 3, test=0.91) for name in ("prac", "vanilla", "random-subset")]
    told = "; for fewer, random subset, 91.0 % test accuracy, 1,800 SGD steps"
    (verdict,) = verdicts(build(rows=tuple(rows), dense_test_accuracy={"a": 0.912}))
    assert (verdict.take, verdict.level) == (None, "open")
    assert (
        f"vanilla at 48.8 % sparsity, 91.0 % test accuracy, 3,000 SGD steps{told}" in verdict.text
    )
    # One that is not as good is none.
    rows[2] = row("a", "random-subset", 3, test=0.89)
    (verdict,) = verdicts(build(rows=tuple(rows), dense_test_accuracy={"a": 0.912}))
    assert "; for fewer" not in verdict.text


def test_of_two_as_sparse_the_better_validated_is_taken(row: Rows, build: Build) -> None:
    """Where nothing chose samples, so that nothing has to be decided."""
    rows = tuple(
        dataclasses.replace(row("a", method, 3, test=test), validation_accuracies=(validated,))
        for method, test, validated in (("random-subset", 0.93, 0.91), ("rs2", 0.91, 0.93))
    )
    verdict = verdicts(build(rows=rows, dense_test_accuracy={"a": 0.915}))[0]
    assert verdict.take is not None
    assert (verdict.take.method, verdict.paid, verdict.level) == ("rs2", "not measured", "good")


def test_missing_dense_falls_back_to_vanilla(row: Rows, build: Build) -> None:
    rows = (row("a", "prac", 3, test=0.90), row("a", "vanilla", 3, test=0.905))
    verdict = verdicts(build(rows=rows))[0]
    assert verdict.shown is not None
    assert (verdict.shown.method, verdict.take, verdict.level) == ("prac", None, "open")
    assert "0.5 points below vanilla" in verdict.text
    assert "There is no dense model to compare with." in verdict.text


def test_neither_dense_nor_vanilla(row: Rows, build: Build) -> None:
    verdict = verdicts(build(rows=(row("a", "prac", 3, test=0.9),)))[0]
    assert (verdict.take, verdict.level) == (None, "open")
    assert "no dense model and no vanilla ticket" in verdict.text


def test_nothing_judged(row: Rows, build: Build) -> None:
    rows = tuple(row("a", "prac", k) for k in range(4))
    verdict = verdicts(build(rows=rows, dense_test_accuracy={"a": 0.9}))[0]
    assert (verdict.headline, verdict.level) == ("No ticket was judged", "open")
    assert (
        "The search made PrAC at 48.8 % sparsity, 40 % fewer SGD steps than vanilla" in verdict.text
    )


def test_a_judged_round_zero_is_the_dense_model_and_no_ticket(row: Rows, build: Build) -> None:
    results = build(rows=(row("a", "prac", 0, test=0.9),), dense_test_accuracy={"a": 0.9})
    assert comparisons(results, "a") == []
    assert verdicts(results)[0].level == "open"


def test_no_rows(build: Build) -> None:
    assert verdicts(build()) == []


def test_an_unknown_method_is_compared_as_prac_is(row: Rows, build: Build) -> None:
    rows = (row("a", "cet-only", 3, test=0.9), row("a", "vanilla", 3, test=0.92))
    verdict = verdicts(build(rows=rows, dense_test_accuracy={"a": 0.92}))[0]
    assert verdict.headline == "Take vanilla at 48.8 % sparsity"
    assert "No judged CET only ticket comes within 1 point of dense" in verdict.text


def test_baselines_alone(row: Rows, build: Build) -> None:
    rows = (row("a", "vanilla", 3, test=0.92),)
    verdict = verdicts(build(rows=rows, dense_test_accuracy={"a": 0.92}))[0]
    assert verdict.level == "good"
    assert "within 0.1 points of dense" in verdict.text


def test_a_dearer_search_is_called_dearer(row: Rows, build: Build) -> None:
    rows = (row("a", "prac", 3, test=0.9, saved=-0.25),)
    text = verdicts(build(rows=rows, dense_test_accuracy={"a": 0.9}))[0].text
    assert "found in 1,800 SGD steps, 25 % more than every round on all samples" in text


def test_the_cheapest_as_sparse_as_the_one_to_take_is_told(
    row: Rows, build: Build, results: Results
) -> None:
    rows = (
        row("a", "vanilla", 3, test=0.91),
        row("a", "prac", 2, test=0.91, search_steps=10),  # not as sparse
        row("a", "prac", 3, test=0.85, search_steps=20),  # not close enough
        row("a", "random-subset", 3, test=0.905, search_steps=1500),
        row("a", "rs2", 3, test=0.905, search_steps=1600),
    )
    bill = results.bills[0]
    control = {"architecture": "a", "method": "random-subset", "borrowed_steps": 900}
    bills = (dataclasses.replace(bill, **control),)
    verdict = verdicts(build(rows=rows, bills=bills, dense_test_accuracy={"a": 0.91}))[0]
    assert verdict.headline == "Take vanilla at 48.8 % sparsity"
    assert (
        "The fewest SGD steps for that sparsity within 1 point of dense in validation accuracy: "
        "random subset, 90.5 % test"
        " accuracy, 1,500 SGD steps, with the set sizes of another search."
    ) in verdict.text
    dearer = (rows[0], row("a", "rs2", 3, test=0.905, search_steps=3000))
    assert "fewest" not in verdicts(build(rows=dearer, dense_test_accuracy={"a": 0.91}))[0].text


def test_noise_of_a_small_test_split(row: Rows, build: Build) -> None:
    results = build(rows=(row("a", "prac", 3, test=0.9),))
    assert noise_points(results) == 1.0
    # 100 * 2 * sqrt(2 * 0.9 * 0.1 / 450) = 4.0
    small, large = (dataclasses.replace(results, num_test_samples=n) for n in (450, 1_000_000))
    assert noise_points(small) == pytest.approx(4.0)
    assert noise_points(large) == 1.0
    assert (
        "below about 4.0 points can't be told from noise (95 %, 450 test samples of 0.22 points "
        "each, one seed)" in verdicts(small)[0].text
    )
