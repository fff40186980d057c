"""The true class's probability, from the two numbers that an event holds of a prediction."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def true_and_rival(
    margin: NDArray[np.floating], el2n: NDArray[np.floating], num_classes: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(N,) softmax probabilities of the true classes and of their strongest rivals, by (N,) margins
    and (N,) el2n of events.

    With p the true class's probability, q = p * exp(-margin) is its strongest rival's, and
    el2n^2 = (1 - p)^2 + q^2 + the sum of the squares of the K - 2 others, which share 1 - p - q.
    They are taken as equal, which leaves a quadratic equation in p.

    Exact for two classes (the margin alone says it). Exact for three, and for more whose others are
    equal, where the prediction is right. Where it is wrong the equation may have two answers that
    are both possible, of which the middle is taken: for three classes that is at most 0.06 off.
    Else near: on CIFAR-10 at 16x16 pixels (resnet8, 16 epochs of 3,000 samples, a third of the
    predictions wrong) 0.015 off in the mean; sigmoid(margin) is 0.126 off.
    """
    margins = np.asarray(margin, np.float64)
    # Both by the larger of p and q, for which the equation is solved: neither overflows.
    true: NDArray[np.float64] = np.exp(np.minimum(margins, 0))
    rival: NDArray[np.float64] = np.exp(-np.maximum(margins, 0))
    both = true + rival
    others = num_classes - 2
    if others < 1:
        return true / both, rival / both
    square = true**2 + rival**2 + both**2 / others
    linear = true + both / others
    constant = 1 + 1 / others - np.asarray(el2n, np.float64) ** 2
    middle = linear / square
    apart = np.sqrt(np.maximum(linear**2 - square * constant, 0)) / square
    # The others have nothing at most, and no more each than the rival.
    least, most = 1 / (both + others * rival), 1 / both
    smaller, larger = middle - apart, middle + apart
    possible = [(least <= root) & (root <= most) for root in (smaller, larger)]
    wrong = margins < 0
    chosen = np.where(wrong & possible[1], larger, smaller)
    chosen = np.where(wrong & possible[0] & possible[1], middle, chosen)
    larger_one = np.clip(chosen, least, most)
    return true * larger_one, rival * larger_one
