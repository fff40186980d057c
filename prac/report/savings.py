"""What made a search's rounds cheaper than vanilla's: samples, epochs, early ends."""

from __future__ import annotations

from collections.abc import Iterable

from prac.analysis.results import Results
from prac.config.methods import method_label
from prac.report.compare import own_method
from prac.report.wording import architectures, count, search_rows


def why_fewer(results: Results) -> str:
    """What the rounds of the methods under test had of the full budget's samples and epochs, and
    how many ended early; empty where no step was saved."""
    tested = {name: own for name in architectures(results) if (own := own_method(results, name))}
    rows = [row for name, own in tested.items() for row in search_rows(results, name, own)]
    rounds = [row for row in rows if row.trained and row.round > 0]
    if not rounds or not any((row.steps_saved or 0) > 0 for row in rows):
        return ""
    full = max(row.budget_epochs for row in results.rows)
    samples = _span(row.set_size for row in rounds)
    epochs = _span(row.budget_epochs for row in rounds)
    ended = sum(row.epochs < row.budget_epochs for row in rounds)
    names = " and ".join(sorted({method_label(own) for own in tested.values()}))
    return (
        f"Why fewer: rounds of {names} had {samples} of {count(results.num_training_samples)} "
        f"samples and at most {epochs} of {full} epochs; {ended or 'none'} of {len(rounds)} ended "
        "sooner, as their masks had settled."
    )


def _span(numbers: Iterable[int]) -> str:
    every = sorted(numbers)
    return " to ".join(map(count, dict.fromkeys((every[0], every[-1]))))
