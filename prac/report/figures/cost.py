"""SGD steps round by round: what the search cost."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from prac.report.compare import steps_saved
from prac.report.figures.style import (
    MethodStyle,
    label_axes,
    legend_below,
    literal,
    method_styles,
    panel_title,
    panels,
    sparsity_axis,
    thousands,
)
from prac.report.wording import architectures, method_label, methods_of, percent, search_rows
from prac.results import Results


def cost(results: Results) -> Figure:
    """SGD steps of each trained round, one bar a method; the share saved in words."""
    names, styles = architectures(results), method_styles(results)
    figure, axes = panels(len(names), title="SGD steps of each round", height=3.1)
    for ax, architecture in zip(axes, names, strict=True):
        _panel(ax, results, architecture, styles)
    handles = [
        Patch(color=style.colour, label=literal(method_label(method)))
        for method, style in styles.items()
        if method != "dense"
    ]
    legend_below(figure, handles)
    return figure


def saving_in_words(results: Results, architecture: str) -> str:
    """How much the first method that isn't vanilla saved by its last ticket, as a phrase."""
    for method in methods_of(results, architecture):
        rows = search_rows(results, architecture, method)
        saved = steps_saved(results, rows[-1])
        if method != "vanilla" and saved is not None:
            by = f"{method_label(method)}, all rounds: "
            if saved < 0:
                return f"{by}{percent(-saved, 0)} more than vanilla"
            return f"{by}{percent(saved, 0)} saved against vanilla"
    return ""


def _panel(ax: Axes, results: Results, architecture: str, styles: dict[str, MethodStyle]) -> None:
    panel_title(ax, architecture, saving_in_words(results, architecture))
    methods, every = methods_of(results, architecture), []
    width = 0.84 / len(methods)
    for place, method in enumerate(methods):
        rows = [r for r in search_rows(results, architecture, method) if r.trained]
        every.extend(rows)
        shift = (place - (len(methods) - 1) / 2) * width
        bars = ax.bar(
            [r.round + shift for r in rows],
            [r.steps for r in rows],
            width * 0.92,
            color=styles[method].colour,
        )
        bars.set_label(literal(method))
    sparsity_axis(ax, every)
    thousands(ax)
    label_axes(ax, "weights removed while training (%)", "SGD steps")
