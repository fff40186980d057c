"""What a ticket of each sparsity cost: the SGD steps of its search, added up round by round."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from prac.analysis.results import Results, RoundRow
from prac.config.methods import VANILLA, method_label
from prac.report.figures.style import (
    REFERENCES,
    MethodStyle,
    View,
    label_axes,
    legend_below,
    legend_room,
    literal,
    method_styles,
    panel_title,
    panels,
    sparsity_axis,
    thousands,
    views,
)
from prac.report.wording import methods_of, ordered_methods, percent, search_rows


def cost(results: Results) -> Figure:
    """SGD steps to find a ticket over its sparsity, one line a method; the share saved in words."""
    shown, styles = views(results), method_styles(results)
    methods = ordered_methods(row.method for row in results.rows)
    handles = [
        Line2D(
            [], [], color=styles[m].colour, marker=styles[m].marker, label=literal(method_label(m))
        )
        for m in methods
    ]
    legend = legend_room(len(handles), min(3, len(shown)))
    title = "SGD steps to find a ticket"
    figure, axes = panels(len(shown), title=title, height=3.1, legend=legend)
    for ax, view in zip(axes, shown, strict=True):
        _panel(ax, results, view, styles)
    legend_below(figure, handles)
    return figure


def saving_in_words(results: Results, architecture: str) -> str:
    """What the first method that isn't vanilla saved by its last ticket against it, as a phrase."""
    for method in methods_of(results, architecture):
        rows = search_rows(results, architecture, method)
        saved = rows[-1].steps_saved
        if method != VANILLA and saved is not None:
            seconds = rows[-1].seconds_saved
            told = [f"{percent(abs(saved), 0)} {'more' if saved < 0 else 'fewer'} steps"]
            if seconds is not None:
                told.append(f"{percent(abs(seconds), 0)} {'more' if seconds < 0 else 'less'} time")
            # As short as it can be: it stands over one panel of three.
            return f"{method_label(method)}: {', '.join(told)}"
    return ""


def _panel(ax: Axes, results: Results, view: View, styles: dict[str, MethodStyle]) -> None:
    panel_title(ax, view.architecture, view.note or saving_in_words(results, view.architecture))
    every: list[RoundRow] = []
    for method in reversed(view.methods):
        rows = search_rows(results, view.architecture, method)
        every.extend(rows)
        strong = method in REFERENCES
        line = ax.plot(
            [r.round for r in rows],
            [r.search_steps for r in rows],
            color=styles[method].colour,
            marker=styles[method].marker,
            linewidth=2 if strong else 1.2,
            markersize=5,
            zorder=3 if strong else 2,
        )
        line[0].set_gid(f"steps:{method}")
    ax.set_ylim(bottom=0)
    sparsity_axis(ax, every)
    thousands(ax)
    label_axes(ax, "weights removed (%)", "SGD steps of all rounds before")
