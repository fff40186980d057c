"""How numbers and names are said in tables, figures and verdicts: one spelling everywhere."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from prac.analysis.results import Results, RoundRow
from prac.config.methods import METHODS, method_label
from prac.errors import printable

ABSENT = "–"
"""What a table shows where there is no number."""


def broken(text: str, width: int, indent: str = "") -> list[str]:
    """Lines so wide at most, broken between words alone. indent: of all lines but the first."""
    return [
        line
        for told in map(printable, text.split("\n"))
        for line in textwrap.wrap(
            told, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
        )
        or [""]
    ]


def percent(share: float | None, digits: int = 1) -> str:
    """A fraction in [0, 1] as a percentage: `0.79` is `79.0 %`."""
    return ABSENT if share is None else f"{100 * share:.{digits}f} %".replace("-", "−")


def spread(share: float | None, std: float | None, digits: int = 2) -> str:
    """A mean with its standard deviation, both as percentages: `91.43 ± 0.12 %`."""
    if share is None or std is None:
        return percent(share, digits)
    return f"{100 * share:.{digits}f} ± {100 * std:.{digits}f} %"


def count(number: int | None) -> str:
    """A whole number with thousands separated: `45,056`."""
    return ABSENT if number is None else f"{number:,}"


def searches_of(names: Iterable[str]) -> str:
    """Searches that are named `architecture:method`: `PrAC on resnet8, PrAC on conv4`."""
    pairs = (name.rpartition(":") for name in names)
    return ", ".join(f"{method_label(method)} on {network}" for network, _, method in pairs)


def duration(seconds: float | None) -> str:
    """Wall time in the two largest units that matter: `2 h 05 min`, `3 min 20 s`, `4.2 s`."""
    if seconds is None:
        return ABSENT
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def effort_sentence(results: Results) -> str:
    """How much was run for these results: search seeds, trainings, wall time."""
    seeds = dict.fromkeys(row.search_seed for row in results.searches) or {results.seed: None}
    trained = [stage for stage in results.stages if stage.steps]
    told = f"Search seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
    if not trained:
        return f"{told}."
    seconds = sum(stage.seconds for stage in results.stages)
    return (
        f"{told}; {count(len(trained))} trainings, {duration(seconds)} with all stages one after "
        "another (some ran side by side)."
    )


def short_count(number: int | None) -> str:
    """A large number with a prefix: `1.23 P` is 1.23e15."""
    if number is None:
        return ABSENT
    value, prefixes = float(number), iter(("", "k", "M", "G", "T", "P", "E", "Z"))
    prefix = next(prefixes)
    while value >= 999.5:
        value, prefix = value / 1000, next(prefixes)
    return f"{value:.3g} {prefix}".strip()


def energy(joules: float | None) -> str:
    """Energy in watt-hours or kilowatt-hours: `3.41 Wh`."""
    if joules is None:
        return "not measured"
    hours = joules / 3600
    return f"{hours:.3g} Wh" if hours < 999.5 else f"{hours / 1000:.3g} kWh"


def gap(points: float, name: str, error: float | None = None) -> str:
    """How far an accuracy lies from another, in points: `0.4 ± 0.1 points below vanilla`.

    error: standard error of the difference, where it is known.
    """
    known = "" if error is None else f" ± {error:.1f}"
    if abs(points) < 0.05:
        return f"within 0.1 points of {name}"
    return f"{abs(points):.1f}{known} points {'above' if points > 0 else 'below'} {name}"


def sparsity_tick(sparsity: float) -> str:
    """A sparsity as an axis label in percent, at most one decimal: `79`, `83.2`."""
    return f"{100 * sparsity:.1f}".removesuffix(".0")


def ordered_methods(methods: Iterable[str]) -> list[str]:
    """Each method once: PrAC first, then the usual baselines, then the rest by name."""
    known = {method: place for place, method in enumerate(METHODS)}
    return sorted(set(methods), key=lambda method: (known.get(method, len(known)), method))


def architectures(results: Results) -> list[str]:
    """The architectures in the order in which their rows come."""
    return list(dict.fromkeys(row.architecture for row in results.rows))


def methods_of(results: Results, architecture: str) -> list[str]:
    """The methods that searched on one architecture, PrAC first."""
    return ordered_methods(r.method for r in results.rows if r.architecture == architecture)


def search_rows(results: Results, architecture: str, method: str) -> list[RoundRow]:
    """The rows of one search by round, the mask after the last round included."""
    rows = [r for r in results.rows if (r.architecture, r.method) == (architecture, method)]
    return sorted(rows, key=lambda row: row.round)


def searches_by_sets(results: Results) -> list[tuple[str, list[str]]]:
    """The searches whose sets have parts: architecture, and its methods with the same sizes."""
    found: dict[tuple[object, ...], list[str]] = {}
    for architecture in architectures(results):
        for method in methods_of(results, architecture):
            rows = search_rows(results, architecture, method)
            sizes = tuple((r.set_size, r.cet_size, r.cep_size, r.overlap) for r in rows)
            if any(row.cet_size is not None or row.cep_size is not None for row in rows):
                found.setdefault((architecture, sizes), []).append(method)
    return [(str(key[0]), methods) for key, methods in found.items()]
