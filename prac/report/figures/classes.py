"""Which classes the critical sets hold more of than the training data does."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure

from prac.analysis.results import ClassShare, Results
from prac.config.methods import method_label
from prac.report.figures.style import label_axes, literal, panel_title, panels
from prac.report.wording import ordered_methods, sparsity_tick

_NAMED = 20
"""Classes up to which every row is named and drawn; of more, those furthest from the usual."""


def class_shares(results: Results) -> Figure:
    """The share of each class in the set over its share of the training data: a row a class, a
    column a round."""
    searches = searches_with_classes(results)
    drawn = {search: _ratios(results, *search) for search in searches}
    most = max((len(ratios) for ratios, _ in drawn.values()), default=1)
    title = "Which classes the sets are made of"
    figure, axes = panels(len(searches), title=title, height=1.4 + 0.17 * most, legend=0.05)
    for ax, (search, (ratios, columns)) in zip(axes, drawn.items(), strict=True):
        panel_title(ax, f"{search[0]}, {method_label(search[1])}", "1 is as in the training data")
        _panel(ax, ratios, columns)
    return figure


def searches_with_classes(results: Results) -> list[tuple[str, str]]:
    """The searches whose classes are drawn: PrAC's where it is there, else the first method's."""
    found = []
    for architecture in dict.fromkeys(row.architecture for row in results.classes):
        rows = [row for row in results.classes if row.architecture == architecture]
        found.append((architecture, ordered_methods(row.method for row in rows)[0]))
    return found


def _ratios(
    results: Results, architecture: str, method: str
) -> tuple[dict[str, list[float]], list[str]]:
    """By class its ratio in each round, the hardest in the last round first; and the columns."""
    rows = [r for r in results.classes if (r.architecture, r.method) == (architecture, method)]
    rounds = {row.round: sparsity_tick(row.sparsity) for row in rows}
    by_class: dict[str, dict[int, float]] = {}
    for row in rows:
        by_class.setdefault(row.label, {})[row.round] = _ratio(row)
    order = sorted(rounds)
    found = {label: [at.get(k, 0.0) for k in order] for label, at in by_class.items()}
    ranked = sorted(found, key=lambda label: -found[label][-1])
    if len(ranked) > _NAMED:
        ranked = [*ranked[: _NAMED // 2], *ranked[-_NAMED // 2 :]]
    return {label: found[label] for label in ranked}, [rounds[k] for k in order]


def _panel(ax: Axes, ratios: dict[str, list[float]], columns: Sequence[str]) -> None:
    values = np.array(list(ratios.values()))
    # White is the usual; purple is less, orange more, up to three times.
    image = ax.imshow(
        np.minimum(values, 3), cmap="PuOr_r", norm=TwoSlopeNorm(1.0, 0.0, 3.0), aspect="auto"
    )
    image.set_gid("classes")
    for (row, column), value in np.ndenumerate(values):
        if len(columns) <= _NAMED:
            tone = "white" if value < 0.25 or value > 2.5 else "black"
            told = f"{value:.1f}"
            ax.text(column, row, told, ha="center", va="center", fontsize=6.5, color=tone)
    ax.grid(visible=False)
    every = -(-len(columns) // 9)
    ax.set_xticks(range(0, len(columns), every), columns[::every])
    ax.set_yticks(range(len(ratios)), [literal(label, 14) for label in ratios])
    label_axes(ax, "weights removed (%)", "")


def _ratio(row: ClassShare) -> float:
    return row.share / row.of_training if row.of_training else 0.0
