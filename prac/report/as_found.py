"""Networks as found: where weights go on, a round's own network is a ticket that is trained."""

from __future__ import annotations

from prac.analysis.results import Results, RoundRow
from prac.config.methods import method_label
from prac.report.wording import architectures, count, percent


def as_found_sentences(results: Results) -> list[str]:
    """One for each architecture, of its sparsest such round; none where weights are rewound."""
    return [told for name in architectures(results) if (told := _told(results, name))]


def _told(results: Results, architecture: str) -> str:
    rows = [
        row
        for row in results.rows
        if row.architecture == architecture and row.found_test_accuracy is not None
    ]
    if not rows:
        return ""
    last = max(row.round for row in rows)
    sparsest = [row for row in rows if row.round == last]
    dense = results.dense_test_accuracy.get(architecture)
    beside = "" if dense is None else f"; the dense network has {percent(dense, 2)}"
    return (
        f"{architecture} as found, {percent(sparsest[0].sparsity)} of the weights removed and no "
        f"judging step: {'; '.join(map(_one, sparsest))}{beside}."
    )


def _one(row: RoundRow) -> str:
    told = f"{method_label(row.method)} {percent(row.found_test_accuracy, 2)}"
    judged = "" if row.test_accuracy is None else f", judged {percent(row.test_accuracy, 2)}"
    return f"{told} after {count(row.found_steps)} steps{judged}"
