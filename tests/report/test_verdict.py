"""Verdicts against arithmetic done by hand; see `conftest.JUDGED` for the accuracies."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from prac.report import comparisons, noise_points, summaries, verdicts
from prac.report.compare import steps_saved
from prac.results import Results, RoundRow

Rows = Callable[..., RoundRow]
Build = Callable[..., Results]


def test_accuracy_kept_and_steps_saved_by_hand(results: Results) -> None:
    found = {(c.row.method, c.row.round): c for c in comparisons(results, "resnet8")}
    ticket = found["prac", 5]
    assert ticket.to_vanilla == pytest.approx(-0.4)  # 91.4 - 91.8
    assert ticket.to_dense == pytest.approx(-0.6)  # 91.4 - 92.0
    assert ticket.to_random == pytest.approx(1.5)  # 91.4 - 89.9
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


def test_good_verdict(results: Results) -> None:
    verdict = verdicts(results)[2]
    assert (verdict.architecture, verdict.level) == ("vgg16", "good")
    assert verdict.take is not None
    assert (verdict.take.method, verdict.take.round) == ("prac", 8)
    assert verdict.text == (
        "PrAC at 83.2 % sparsity: 91.7 % test accuracy, 0.3 points below dense and 0.1 points "
        "below vanilla, 52 % of the SGD steps saved. One seed: a difference below about 1.0 points "
        "can't be told from noise."
    )


def test_vanilla_is_sparser(results: Results) -> None:
    verdict = verdicts(results)[0]
    assert (verdict.headline, verdict.level) == ("Take vanilla at 83.2 % sparsity", "mixed")
    assert "PrAC comes within 1 point of dense up to 67.2 % sparsity" in verdict.text
    assert "48 % of the SGD steps saved" in verdict.text


def test_says_plainly_that_prac_falls_short_and_random_does_as_well(results: Results) -> None:
    text = verdicts(results)[1].text
    assert "No judged PrAC ticket comes within 1 point of dense" in text
    assert "1.5 points below dense" in text
    assert "does not come within 1 point of vanilla" in text
    assert "A random subset of the same size does as well or better (by 0.1 points)" in text


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
    assert "random subset of the same size does as well: nothing" in verdict.text


def test_random_subset_within_noise_is_a_caveat(row: Rows, build: Build) -> None:
    rows = (row("a", "prac", 3, test=0.90), row("a", "random-subset", 3, test=0.895))
    verdict = verdicts(build(rows=rows, dense_test_accuracy={"a": 0.90}))[0]
    assert verdict.level == "mixed"
    assert "A random subset of the same size comes within 0.5 points of it" in verdict.text
    assert "There is no vanilla ticket to compare with." in verdict.text


def test_nothing_within_one_point(row: Rows, build: Build) -> None:
    rows = (row("a", "prac", 2, test=0.80), row("a", "prac", 3, test=0.78))
    verdict = verdicts(build(rows=rows, dense_test_accuracy={"a": 0.90}))[0]
    assert (verdict.take, verdict.level) == (None, "poor")
    assert verdict.headline == "No judged ticket comes within 1 point of dense"
    assert "The most accurate is PrAC at 36.0 % sparsity" in verdict.text


def test_missing_dense_falls_back_to_vanilla(row: Rows, build: Build) -> None:
    rows = (row("a", "prac", 3, test=0.90), row("a", "vanilla", 3, test=0.905))
    verdict = verdicts(build(rows=rows))[0]
    assert verdict.take is not None
    assert verdict.take.method == "prac"
    assert verdict.level == "mixed"
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
    assert "The search made PrAC at 48.8 % sparsity, 40 % of the SGD steps saved" in verdict.text


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
    assert "No judged cet-only ticket comes within 1 point of dense" in verdict.text


def test_baselines_alone(row: Rows, build: Build) -> None:
    rows = (row("a", "vanilla", 3, test=0.92),)
    verdict = verdicts(build(rows=rows, dense_test_accuracy={"a": 0.92}))[0]
    assert verdict.level == "good"
    assert "within 0.1 points of dense" in verdict.text


def test_saving_is_computed_where_the_row_does_not_tell(row: Rows, build: Build) -> None:
    ticket = dataclasses.replace(row("a", "prac", 3), steps_saved=None, search_steps=750)
    assert steps_saved(build(rows=(ticket, row("a", "vanilla", 3))), ticket) == 0.75
    assert steps_saved(build(rows=(ticket,)), ticket) is None


def test_a_dearer_search_is_called_dearer(row: Rows, build: Build) -> None:
    rows = (row("a", "prac", 3, test=0.9, saved=-0.25),)
    text = verdicts(build(rows=rows, dense_test_accuracy={"a": 0.9}))[0].text
    assert "25 % more SGD steps than vanilla" in text


def test_noise_of_a_small_test_split(row: Rows, build: Build) -> None:
    results = build(rows=(row("a", "prac", 3, test=0.9),))
    assert noise_points(results) == 1.0
    # 100 * 2 * sqrt(2 * 0.9 * 0.1 / 450) = 4.0
    small, large = (dataclasses.replace(results, num_test_samples=n) for n in (450, 1_000_000))
    assert noise_points(small) == pytest.approx(4.0)
    assert noise_points(large) == 1.0
    assert "below about 4.0 points" in verdicts(small)[0].text
