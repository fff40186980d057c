"""Sets that hardly choose: of so few samples, so few classes or so much that it should be said."""

from __future__ import annotations

from prac.analysis.results import Results, RoundRow
from prac.config.methods import method_label
from prac.report.wording import architectures, count, methods_of, percent, search_rows

FEW = 10
"""Samples a class, on average, below which a set is called small."""


def odd_sets(results: Results) -> list[str]:
    """A sentence for each search that has such sets, which names the first; empty where none is."""
    return [
        _sentence(architecture, method, told)
        for architecture in architectures(results)
        for method in methods_of(results, architecture)
        if (told := _odd(results, architecture, method))
    ]


def _odd(results: Results, architecture: str, method: str) -> list[tuple[RoundRow, str]]:
    chosen: dict[int, list[tuple[int, str]]] = {}
    for part in results.classes:
        if (part.architecture, part.method) == (architecture, method):
            chosen.setdefault(part.round, []).append((part.samples, part.label))
    found = []
    for row in search_rows(results, architecture, method):
        if row.round in chosen and (what := _what(results, row, chosen[row.round])):
            found.append((row, what))
    return found


def _what(results: Results, row: RoundRow, classes: list[tuple[int, str]]) -> str:
    total, held = results.num_training_samples, [label for n, label in classes if n]
    if row.set_size == total:
        return "every sample, so that nothing was chosen"
    parts = []
    if row.set_size < FEW * results.num_classes:
        parts.append(f"{count(row.set_size)} of {count(total)} samples")
    if len(held) == 1 < results.num_classes:
        parts.append(f"all of one class ({held[0]})")
    elif 2 * len(held) < results.num_classes:
        parts.append(f"of {len(held)} of {results.num_classes} classes")
    return ", ".join(parts)


def _sentence(architecture: str, method: str, told: list[tuple[RoundRow, str]]) -> str:
    row, what = told[0]
    more = f"; and in {len(told) - 1} more" if told[1:] else ""
    return (
        f"{architecture}, {method_label(method)}: the set of round {row.round} "
        f"({percent(row.sparsity)} sparsity) is {what}{more}."
    )
