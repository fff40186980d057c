"""The size of the critical sets over the rounds, and what they are made of."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from prac.analysis.results import Results, RoundRow
from prac.config.methods import method_label
from prac.report.figures.style import label_axes, legend_below, panel_title, panels, sparsity_axis
from prac.report.wording import percent, search_rows, searches_by_sets

_PARTS = {
    "CET only": "#5E4FA2",
    "both": "#A99BD6",
    "CEP only": "#E8A33D",
    "easy, drawn beside them": "#8FBF9F",
    "not divided (the first round trains on everything)": "#CFCFCF",
}

PALE = 0.35
"""Opacity of a set that was made after the last round and that no training saw."""


def set_sizes(results: Results) -> Figure:
    """Stacked parts of each round's set, as a share of the training samples."""
    searches = searches_by_sets(results)
    figure, axes = panels(len(searches), title="How many samples each round trains on", height=2.9)
    for ax, (architecture, methods) in zip(axes, searches, strict=True):
        rows = search_rows(results, architecture, methods[0])
        last = percent(rows[-1].set_size / results.num_training_samples, 0)
        more = f" and {len(methods) - 1} more" if len(methods) > 1 else ""
        name = f"{architecture}, {method_label(methods[0])}{more}"
        panel_title(ax, name, f"last set: {last} of all")
        _panel(ax, rows, results.num_training_samples)
    drawn = [_parts(row) for row in results.rows]
    met = [any(parts[place] for parts in drawn) for place in range(len(_PARTS))]
    shown = [item for item, some in zip(_PARTS.items(), met, strict=True) if some]
    patches = [Patch(color=c, label=name) for name, c in shown]
    if not all(row.trained for row in results.rows):
        patches.append(Patch(color="#5E4FA2", alpha=PALE, label="pale: made, not trained on"))
    legend_below(figure, patches)
    return figure


def _parts(row: RoundRow) -> tuple[int, ...]:
    """Samples of each of `_PARTS`."""
    easy = row.easy_size
    if easy is None:
        return 0, 0, 0, 0, row.set_size
    both = row.overlap or 0
    return (row.cet_size or 0) - both, both, (row.cep_size or 0) - both, easy, 0


def _panel(ax: Axes, rows: list[RoundRow], total: int) -> None:
    rounds, floor = [row.round for row in rows], [0.0] * len(rows)
    for part, (name, colour) in enumerate(_PARTS.items()):
        heights = [100 * _parts(row)[part] / total for row in rows]
        bars = ax.bar(rounds, heights, 0.8, bottom=floor, color=colour)
        bars.set_label(name)
        for bar, row in zip(bars, rows, strict=True):
            bar.set_alpha(None if row.trained else PALE)
        floor = [low + high for low, high in zip(floor, heights, strict=True)]
    ax.set_ylim(0, 105)
    sparsity_axis(ax, rows)
    label_axes(ax, "weights removed (%)", "training samples (%)")
