"""Accuracy over sparsity: what each ticket is worth."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from prac.report.figures.style import (
    INK,
    MethodStyle,
    label_axes,
    legend_below,
    literal,
    method_styles,
    panel_title,
    panels,
    sparsity_axis,
)
from prac.report.wording import architectures, method_label, methods_of, search_rows
from prac.results import Results


def accuracy(results: Results) -> Figure:
    """Test accuracy of judged tickets, validation accuracy by round, dense as a dashed line."""
    names, styles = architectures(results), method_styles(results)
    figure, axes = panels(
        len(names), title="Accuracy as weights are removed", height=3.3, legend=0.6
    )
    for ax, architecture in zip(axes, names, strict=True):
        _panel(ax, results, architecture, styles)
    methods = [method for method in styles if method != "dense"]
    handles = [
        Line2D([], [], color=styles[m].colour, marker=styles[m].marker, label=literal(_label(m)))
        for m in methods
    ]
    handles.append(Line2D([], [], color=INK, linewidth=1, alpha=0.5, label="validation, by round"))
    if results.dense_test_accuracy:
        handles.append(Line2D([], [], color=INK, linestyle="--", label="test: dense model"))
    legend_below(figure, handles)
    return figure


def _label(method: str) -> str:
    return f"test: {method_label(method)} tickets"


def _panel(ax: Axes, results: Results, architecture: str, styles: dict[str, MethodStyle]) -> None:
    panel_title(ax, architecture)
    every = []
    for method in reversed(methods_of(results, architecture)):
        rows, style = search_rows(results, architecture, method), styles[method]
        every.extend(rows)
        seen = [(r.round, 100 * v) for r in rows if (v := r.validation_accuracy) is not None]
        judged = [(r.round, 100 * v) for r in rows if (v := r.test_accuracy) is not None]
        thin = ax.plot(*_columns(seen), color=style.colour, linewidth=1, alpha=0.5)
        thin[0].set_gid(f"validation:{method}")
        thick = ax.plot(
            *_columns(judged), color=style.colour, marker=style.marker, linewidth=2, markersize=6
        )
        thick[0].set_gid(f"test:{method}")
    dense = results.dense_test_accuracy.get(architecture)
    if dense is not None:
        ax.axhline(100 * dense, color=INK, linestyle="--", linewidth=1.2).set_gid("dense")
    sparsity_axis(ax, every)
    label_axes(ax, "weights removed (%)", "accuracy (%)")


def _columns(points: list[tuple[int, float]]) -> tuple[list[int], list[float]]:
    return [x for x, _ in points], [y for _, y in points]
