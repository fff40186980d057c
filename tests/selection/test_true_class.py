"""The true class's probability from what events hold, against the softmax they were made of."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from prac.selection.true_class import true_and_rival


def drawn(num_classes: int, spread: float, count: int = 4000) -> tuple[NDArray[np.float64], ...]:
    """Logits drawn: the true class's probability, the margin and el2n, in double precision."""
    generator = np.random.default_rng(num_classes)
    logits = generator.normal(0, spread, (count, num_classes))
    return columns(logits, generator.integers(0, num_classes, count))


def columns(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> tuple[NDArray, ...]:
    rows = np.arange(len(labels))
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    others = logits.copy()
    others[rows, labels] = -np.inf
    margins = logits[rows, labels] - others.max(axis=1)
    errors = np.linalg.norm(shares - np.eye(logits.shape[1])[labels], axis=1)
    return shares[rows, labels], margins, errors


@pytest.mark.parametrize("spread", [0.3, 2.0, 6.0])
def test_two_classes_are_exact(spread: float) -> None:
    true, margins, errors = drawn(2, spread)
    found, rival = true_and_rival(margins, errors, 2)
    np.testing.assert_allclose(found, true, rtol=1e-9)
    np.testing.assert_allclose(rival, 1 - true, atol=1e-12)


@pytest.mark.parametrize("spread", [0.3, 2.0, 6.0])
def test_three_classes_are_exact_where_the_prediction_is_right(spread: float) -> None:
    true, margins, errors = drawn(3, spread)
    found = true_and_rival(margins, errors, 3)[0]
    right = margins > 0
    np.testing.assert_allclose(found[right], true[right], atol=1e-7)
    # Where it is wrong two distributions may have the same margin and el2n; the middle is taken.
    assert np.abs(found - true)[~right].max() < 0.06


def test_one_rival_among_equals_is_exact_where_the_prediction_is_right() -> None:
    """The true class, a rival, and eight others alike."""
    generator = np.random.default_rng(0)
    logits = np.zeros((2000, 10))
    rival = np.abs(generator.normal(0, 2, 2000))
    logits[:, 1] = rival
    logits[:, 0] = rival + np.abs(generator.normal(0, 2, 2000))
    true, margins, errors = columns(logits, np.zeros(2000, np.int64))
    np.testing.assert_allclose(true_and_rival(margins, errors, 10)[0], true, atol=1e-7)


@pytest.mark.parametrize(("num_classes", "bound"), [(10, 0.03), (100, 0.04)])
def test_many_classes_are_near(num_classes: int, bound: float) -> None:
    for spread in (0.3, 2.0, 6.0):
        true, margins, errors = drawn(num_classes, spread)
        found = true_and_rival(margins, errors, num_classes)[0]
        assert np.abs(found - true).mean() < bound
        # What events hold has half precision.
        halves = (column.astype(np.float16) for column in (margins, errors))
        assert np.abs(true_and_rival(*halves, num_classes)[0] - true).mean() < bound + 0.002


def test_a_run_that_diverged_has_probabilities_still() -> None:
    margins = np.array([65504, -65504, 0, 0], np.float16)
    errors = np.array([0, 2**0.5, 2**0.5, 0], np.float16)
    for num_classes in (2, 3, 10):
        found, rival = true_and_rival(margins, errors, num_classes)
        assert found.dtype == rival.dtype == np.float64
        assert np.all((rival >= 0) & (found + rival <= 1 + 1e-12))
        assert np.all((found >= 0) & (found <= 1))
        assert found[:2].tolist() == pytest.approx([1, 0], abs=1e-6)
