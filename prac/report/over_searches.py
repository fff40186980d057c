"""Several whole searches in words and tables; what is decided is `prac.analysis.decision`."""

from __future__ import annotations

from prac.analysis.decision import Decision
from prac.analysis.over_searches import OverSearches, over_searches
from prac.analysis.results import Results
from prac.analysis.statistics import ALPHA, Interval
from prac.config.methods import CONTROL, PRAC, VANILLA, method_label
from prac.report.wording import ABSENT, count, duration, percent

_GROUNDS = {
    "control": "the difference to chance",
    "vanilla": "the difference to vanilla",
    "steps": "the steps saved",
}
_MISSING = {"control": CONTROL, "vanilla": VANILLA, "steps": VANILLA}
_SEARCHES = 5  # proposed where one search shows no deviation to plan with


def searches_table(results: Results) -> list[dict[str, str]]:
    """One row a method and judged round, as text; empty of a single search."""
    return [_row(each) for each in over_searches(results)]


def _row(each: OverSearches) -> dict[str, str]:
    return {
        "architecture": each.architecture,
        "method": method_label(each.method),
        "sparsity": percent(each.sparsity),
        "test [95 %]": _accuracy(each),
        "set size": count(round(each.set_size)),
        "steps to find": count(round(each.search_steps)),
        "saved": percent(each.steps_saved),
        "time to find": duration(each.search_seconds),
        "time saved": percent(each.seconds_saved),
        f"minus {method_label(VANILLA)}": points(each.to_vanilla),
        f"minus {method_label(CONTROL)}": points(each.to_control),
        "choosing the samples": "" if each.decision is None else each.decision.verdict,
    }


def _accuracy(each: OverSearches) -> str:
    if each.interval is None:
        return percent(each.accuracy, 2)
    low, high = 100 * each.interval.low, 100 * each.interval.high
    return f"{100 * each.accuracy:.2f} [{low:.2f}, {high:.2f}]"


def points(difference: Interval | None) -> str:
    """A difference in points with its interval: `-0.4 [-1.0, +0.2]`."""
    if difference is None:
        return ABSENT
    middle, low, high = (100 * v for v in (difference.mean, difference.low, difference.high))
    return f"{middle:+.2f} [{low:+.2f}, {high:+.2f}]"


def searches_sentences(results: Results) -> list[str]:
    """What the table is of, and what of it is decided; empty of a single search."""
    return about_searches(results) + [
        f"{each.architecture}, {method_label(each.method)} at {percent(each.sparsity)}: "
        f"{finding(each.decision, results.margin)} {advice(each.decision, each.method, results)}"
        for each in over_searches(results)
        if each.decision is not None
    ]


def about_searches(results: Results) -> list[str]:
    """What the table is of; empty of a single search."""
    found = over_searches(results)
    if not found:
        return []
    seeds = tuple(dict.fromkeys(row.search_seed for row in results.searches))
    told = ", ".join(map(str, seeds))
    trainings = sorted({len(row.test_accuracies) for row in results.searches})
    each = " to ".join(map(str, trainings))
    sentences = [
        f"Over {len(seeds)} whole searches (search seeds {told}), each ticket trained {each} "
        f"time{'s' if trainings != [1] else ''} a search. Intervals are 95 % by Student's t over "
        "searches, differences are paired by search, in points."
    ]
    decided = [each for each in found if each.decision is not None]
    if len({each.method for each in decided}) > 1:
        sentences.append("Where several methods are compared, claims are corrected after Holm.")
    return sentences


def finding(decision: Decision, margin: float, measured: str = "") -> str:
    """Whether choosing the samples paid and by what, in a sentence. margin: as a fraction.
    measured: the differences to chance and to vanilla."""
    within = f"{100 * margin:.1f} points"
    if decision.verdict == "paid":
        told = (
            f"Choosing the samples paid: it beats random samples, keeps vanilla's accuracy within "
            f"{within} and saves steps (error at most {ALPHA:.0%})"
        )
    elif decision.verdict == "did not pay":
        against = {
            "control": "it is no better than random samples",
            "vanilla": f"it loses more than {within} to vanilla",
            "steps": "it saves no steps",
        }
        grounds = " and ".join(against[ground] for ground in decision.grounds)
        told = f"Choosing the samples did not pay, for {grounds}"
    elif decision.verdict == "undecided":
        unshown = {
            "control": "choosing the samples helps",
            "vanilla": f"it keeps vanilla's accuracy within {within}",
        }
        told = f"Not shown that {', nor that '.join(unshown[g] for g in decision.grounds)}"
    else:
        told = "Not measured whether choosing the samples helps"
    return f"{told}{': ' if measured else ''}{measured}."


def advice(decision: Decision, method: str, results: Results) -> str:
    """What would decide it; of what was not measured, why it was not. Empty where it is decided."""
    if decision.verdict == "not measured":
        return f"Whether choosing the samples paid {_unmeasured(decision, method, results)}"
    if decision.verdict != "undecided":
        return ""
    more = decision.searches_needed
    searches = len({row.search_seed for row in results.searches}) or 1
    if more is None:
        wanted = max(_SEARCHES, searches + 1)
        return f"The same command with --searches {wanted} would tell more."
    return (
        f"About {count(more)} more would decide it: the same command with --searches "
        f"{searches + more}."
    )


def _unmeasured(decision: Decision, method: str, results: Results) -> str:
    """Why nothing is known, and what would tell."""
    if "control" in decision.grounds and results.role(method) == "own sizes":
        return (
            "can't be measured: its sets have sizes and steps of their own, and the random subset "
            "has PrAC's."
        )
    wanted = dict.fromkeys(_MISSING[ground] for ground in decision.grounds)
    methods = [row.method for row in results.rows] + [row.method for row in results.searches]
    searched = dict.fromkeys(name for name in methods if name != PRAC.name)
    why = f"was not measured, for want of {' and '.join(_GROUNDS[g] for g in decision.grounds)}"
    if wanted.keys() <= searched.keys():
        return f"{why}: their tickets of this sparsity were not judged (--judge)."
    names = " ".join({**searched, **wanted})
    return f"{why}: the same command with --compare {names} measures it."
