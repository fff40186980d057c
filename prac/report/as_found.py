"""Networks as found: where weights go on, a round's own network is a ticket that is trained."""

from __future__ import annotations

from prac.analysis.results import Results, RoundRow
from prac.config.methods import method_label
from prac.report.wording import architectures, count, ordered_methods, percent

AS_FOUND = (
    "Weights go on from round to round: a ticket is tested as its own round left it trained, whose "
    "steps are among those to find it; nothing was trained to judge it."
)

MORE_TRAININGS = "There is one training of each; --searches N repeats the whole with N seeds."


def as_found_sentences(results: Results) -> list[str]:
    """How tickets were tested where that is as found; or one for each architecture, of its sparsest
    such round, beside judged tickets; none where weights are rewound."""
    if any(row.as_found and row.round > 0 for row in results.rows):
        tickets = [row for row in results.rows if row.round > 0 and row.test_accuracies]
        alone = {row.method for row in tickets if not row.as_found}
        others = [method_label(name) for name in ordered_methods(alone)]
        apart = f" Of {', '.join(others)} it was trained alone, and that is among its steps too."
        return [f"{AS_FOUND}{apart if others else ''} {MORE_TRAININGS}"]
    return [told for name in architectures(results) if (told := _told(results, name))]


def _told(results: Results, architecture: str) -> str:
    found = [
        row
        for row in results.rows
        if row.architecture == architecture and row.found_test_accuracy is not None
    ]
    last = max((row.round for row in found), default=0)
    if last == 0:
        return ""
    sparsest = [row for row in found if row.round == last]
    # The one that was trained longest: others may have stopped early.
    dense = max((row for row in found if row.round == 0), key=lambda row: row.epochs, default=None)
    judged = results.dense_test_accuracy.get(architecture)
    told = [] if dense is None else [percent(dense.found_test_accuracy, 2)]
    told += [] if judged is None else [f"judged {percent(judged, 2)}"]
    beside = f"; the dense network {', '.join(told)}" if told else ""
    return (
        f"{architecture} as found, {percent(sparsest[0].sparsity)} of the weights removed and no "
        f"judging step: {'; '.join(map(_one, sparsest))}{beside}."
    )


def _one(row: RoundRow) -> str:
    told = f"{method_label(row.method)} {percent(row.found_test_accuracy, 2)}"
    judged = "" if row.test_accuracy is None else f", judged {percent(row.test_accuracy, 2)}"
    return f"{told} after {count(row.found_steps)} steps{judged}"
