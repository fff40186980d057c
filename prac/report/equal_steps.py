"""What each method reaches with the same number of SGD steps: the comparison at equal cost."""

from __future__ import annotations

from dataclasses import dataclass

from prac.analysis.results import Results, RoundRow
from prac.report.compare import SAME_SPARSITY, own_method
from prac.report.wording import architectures, methods_of, search_rows


@dataclass(frozen=True, kw_only=True)
class EqualSteps:
    """The sparsest judged ticket, up to a sparsity, that a method finds within a budget.

    steps: the budget, SGD steps: what the method under test paid for its own judged ticket of
    `sparsity`. row: None where the method has no judged ticket within it. Sparser tickets are left
    out: they would be compared with a denser one.
    """

    architecture: str
    steps: int
    sparsity: float
    method: str
    row: RoundRow | None


def equal_steps(results: Results) -> list[EqualSteps]:
    """For every judged ticket of the method under test, all methods within what it cost."""
    found = []
    for architecture in architectures(results):
        own = own_method(results, architecture)
        if own is None:
            continue
        for ticket in _judged(results, architecture, own):
            for method in methods_of(results, architecture):
                affordable = [
                    row
                    for row in _judged(results, architecture, method)
                    if row.search_steps <= ticket.search_steps
                    and row.sparsity < ticket.sparsity + SAME_SPARSITY
                ]
                found.append(
                    EqualSteps(
                        architecture=architecture,
                        steps=ticket.search_steps,
                        sparsity=ticket.sparsity,
                        method=method,
                        row=max(affordable, key=lambda row: row.sparsity, default=None),
                    )
                )
    return found


def _judged(results: Results, architecture: str, method: str) -> list[RoundRow]:
    rows = search_rows(results, architecture, method)
    return [row for row in rows if row.test_accuracies and row.sparsity > 0]
