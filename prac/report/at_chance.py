"""Dense networks that learned nothing: beside them no ticket tells anything."""

from __future__ import annotations

import math

from prac.analysis.results import Results
from prac.report.wording import percent


def at_chance(results: Results, architecture: str) -> str | None:
    """That the dense network's test accuracy can't be told (two standard errors) from that of
    answering the test split's most frequent class throughout, in a sentence; None where it can."""
    dense = results.dense_test_accuracy.get(architecture)
    share, images = results.commonest_share, results.num_test_samples
    # With one class alone, every answer is right.
    if dense is None or share is None or not images or share == 1:
        return None
    if dense > share + 2 * math.sqrt(share * (1 - share) / images):
        return None
    return (
        f"The dense network has {percent(dense)} test accuracy, where one class answered for every "
        f"image has {percent(share)}: it is not shown to have learned anything, so no ticket of it "
        "tells anything. Train longer (--epochs), or with another rate "
        "(--set train.learning_rate=...)."
    )
