"""What a trial says of its judgements."""

from __future__ import annotations

from prac.sweep.union import _mean


def test_accuracies_are_means_over_the_seeds() -> None:
    judged = [{"test_accuracy": 0.9}, {"test_accuracy": 0.8}]
    assert _mean(judged, "test_accuracy") == (0.9 + 0.8) / 2


def test_nothing_is_said_before_all_seeds_are_judged() -> None:
    assert _mean([{"test_accuracy": 0.9}, {}], "test_accuracy") is None
    assert _mean([], "test_accuracy") is None
