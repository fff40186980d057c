"""The set sizes that other thresholds would have given, without any training."""

from __future__ import annotations

from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from prac.analysis.results import Results
from prac.config.methods import method_label
from prac.report.figures.style import (
    label_axes,
    legend_below,
    legend_room,
    panel_title,
    panels,
    sparsity_axis,
)
from prac.report.wording import search_rows


def threshold_sizes(results: Results) -> Figure:
    """Set size over the rounds, one line a threshold E_F, a panel a search."""
    searches = list(dict.fromkeys((t.architecture, t.method) for t in results.thresholds))
    limits = sorted({t.threshold for t in results.thresholds})
    shades = {e: colormaps["viridis"](0.85 * k / len(limits)) for k, e in enumerate(limits)}
    title = "The sets that other thresholds would make"
    legend = legend_room(len(limits), min(3, len(searches)))
    figure, axes = panels(len(searches), title=title, height=2.9, legend=legend)
    for ax, (architecture, method) in zip(axes, searches, strict=True):
        panel_title(ax, f"{architecture}, {method_label(method)}")
        rows = [
            t for t in results.thresholds if (t.architecture, t.method) == (architecture, method)
        ]
        for limit in limits:
            own = sorted((t.round, t.set_size) for t in rows if t.threshold == limit)
            line = ax.plot(
                [k for k, _ in own],
                [100 * size / results.num_training_samples for _, size in own],
                "o-",
                color=shades[limit],
                linewidth=1.6,
                markersize=4,
            )
            line[0].set_gid(f"threshold:{limit}")
        ax.set_ylim(bottom=0)
        rounds = {t.round for t in rows}
        searched = search_rows(results, architecture, method)
        sparsity_axis(ax, [row for row in searched if row.round in rounds])
        label_axes(ax, "weights removed (%)", "training samples (%)")
    handles = [
        Line2D([], [], color=shades[e], marker="o", label=f"forgotten more than {e}")
        for e in limits
    ]
    legend_below(figure, handles)
    return figure
