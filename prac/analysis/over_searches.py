"""What several whole searches say together: means, intervals and differences over searches.

A search is one draw: its sets, masks and stops come from one seed. So a search counts once, by the
mean over the trainings of its ticket, and differences are paired by search.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from statistics import fmean
from typing import Any

from prac.analysis.decision import Decision, Measured, decide
from prac.analysis.results import Results, RoundRow, SearchRow, mean
from prac.analysis.statistics import Accuracies, Interval, mean_interval, paired_interval
from prac.config.methods import CONTROL, VANILLA


@dataclass(frozen=True, kw_only=True)
class OverSearches:
    """The ticket of one method at one round over all searches.

    sparsity, set_size, search_steps, steps_saved, search_seconds, seconds_saved: means over the
    searches. accuracy: the mean test
    accuracy of all searches. interval: of it, Student's t; None of one search. to_vanilla,
    to_control: ours minus theirs, paired by search. decision: None of vanilla, of chance and of
    methods that choose weights.
    """

    architecture: str
    method: str
    round: int
    searches: int
    trainings: int
    sparsity: float
    set_size: float
    search_steps: float
    steps_saved: float | None
    accuracy: float
    interval: Interval | None
    to_vanilla: Interval | None
    to_control: Interval | None
    decision: Decision | None
    search_seconds: float | None = None
    seconds_saved: float | None = None


def over_searches(results: Results) -> list[OverSearches]:
    """One value for each architecture, round and method, in the order of the rows."""
    groups = dict.fromkeys((row.architecture, row.round) for row in results.searches)
    return [each for group in groups for each in _group(results, results.searches, *group)]


def decided(results: Results, row: RoundRow) -> Decision | None:
    """What is decided of a ticket's method at its round; None where it chooses no samples.

    A single search decides nothing but that no steps were saved; it says what is missing.
    """
    rows = results.searches or tuple(
        _single(r, results.seed) for r in results.rows if r.test_accuracies
    )
    found = _group(results, rows, row.architecture, row.round)
    return next((each.decision for each in found if each.method == row.method), None)


def _single(row: RoundRow, seed: int) -> SearchRow:
    told: dict[str, Any] = {f.name: getattr(row, f.name, None) for f in fields(SearchRow)}
    return SearchRow(
        **(told | {"search_seed": seed, "validation_accuracy": row.judge_validation_accuracy})
    )


def _group(
    results: Results, searches: Sequence[SearchRow], architecture: str, index: int
) -> list[OverSearches]:
    rows = [r for r in searches if (r.architecture, r.round) == (architecture, index)]
    seeds = tuple(dict.fromkeys(row.search_seed for row in searches))
    by_method: dict[str, dict[int, SearchRow]] = {}
    for row in rows:
        by_method.setdefault(row.method, {})[row.search_seed] = row
    found = {
        method: tuple(mean(mine[s].test_accuracies) if s in mine else None for s in seeds)
        for method, mine in by_method.items()
    }
    vanilla, control = found.get(VANILLA), found.get(CONTROL)
    measured = {
        method: Measured(
            ours=ours,
            control=control if results.role(method) == "samples" else None,
            vanilla=vanilla,
            steps_saved=_mean([row.steps_saved for row in by_method[method].values()]),
        )
        for method, ours in found.items()
        if index > 0 and results.role(method) in ("samples", "own sizes")
    }
    decisions = decide(measured, margin=results.margin) if measured else {}
    return [
        _over(list(by_method[method].values()), found, method, decisions.get(method))
        for method in by_method
    ]


def _over(
    rows: list[SearchRow], found: Mapping[str, Accuracies], method: str, decision: Decision | None
) -> OverSearches:
    ours = found[method]
    # Each of its rows is one of a judged ticket, so that there is one at least.
    accuracy = fmean(one for one in ours if one is not None)

    def against(other: str) -> Interval | None:
        theirs = found.get(other)
        return None if theirs is None or other == method else paired_interval(ours, theirs)

    return OverSearches(
        architecture=rows[0].architecture,
        method=method,
        round=rows[0].round,
        searches=len(rows),
        trainings=sum(len(row.test_accuracies) for row in rows),
        sparsity=_mean([row.sparsity for row in rows]) or 0.0,
        set_size=_mean([row.set_size for row in rows]) or 0.0,
        search_steps=_mean([row.search_steps for row in rows]) or 0.0,
        steps_saved=_mean([row.steps_saved for row in rows]),
        accuracy=accuracy,
        interval=mean_interval(ours),
        to_vanilla=against(VANILLA),
        to_control=against(CONTROL),
        decision=decision,
        search_seconds=_mean([row.search_seconds for row in rows]),
        seconds_saved=_mean([row.seconds_saved for row in rows]),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    return mean(tuple(float(value) for value in values if value is not None))
