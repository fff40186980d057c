"""Where the steps that a search saves come from: fewer samples, fewer epochs, early ends."""

from __future__ import annotations

from prac.analysis.results import Results
from prac.config.methods import method_label
from prac.report.verdict import own_method
from prac.report.wording import architectures, search_rows


def why_fewer(results: Results) -> str:
    """A sentence on the methods under test; empty where they have trained no round on a set.

    A round's budget of epochs goes by the size of its set where `budget.scaling` says so, and its
    early-bird stop may end it before.
    """
    tested = {name: own for name in architectures(results) if (own := own_method(results, name))}
    rounds = [
        row
        for name, own in tested.items()
        for row in search_rows(results, name, own)
        if row.trained and row.round > 0
    ]
    if not rounds:
        return ""
    full = max(row.budget_epochs for row in results.rows)
    budgets = sorted(row.budget_epochs for row in rounds)
    ended = sum(row.epochs < row.budget_epochs for row in rounds)
    names = " and ".join(sorted({method_label(own) for own in tested.values()}))
    fewer = ""
    if budgets[0] < full:
        told = " to ".join(map(str, dict.fromkeys((budgets[0], budgets[-1]))))
        fewer = f", for fewer epochs ({told} of {full}, by the size of the set)"
    return (
        f"Why fewer: a round of {names} trains on fewer samples{fewer}, and ends where its mask "
        f"has settled ({ended or 'none'} of {len(rounds)} did)."
    )
