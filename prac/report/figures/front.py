"""Test accuracy over cost, one point a trial: which configurations no other beats."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from prac.analysis.trials import COSTS, CostName, SweepResults, TrialRow
from prac.report.figures.style import (
    GREY,
    INK,
    label_axes,
    legend_below,
    literal,
    panel_title,
    panels,
)

_FRONT, _BEST = "#0072B2", "#D55E00"
_MAX_LABELS = 12
_AXIS = {"search_steps": "SGD steps of the search", "set_size": "last set (samples)"}


def pareto_front(results: SweepResults) -> Figure:
    """One row an architecture: test accuracy against search steps, and against the last set; the
    front is that of validation accuracies, so that the test split chooses nothing."""
    names = results.architectures
    figure, axes = panels(
        2 * max(1, len(names)), title="What no other configuration beats", height=3.4, columns=2
    )
    for place, architecture in enumerate(names):
        for ax, cost in zip(axes[2 * place : 2 * place + 2], COSTS, strict=True):
            _panel(ax, results, architecture, cost)
    handles = [
        Line2D([], [], color=_FRONT, marker="o", label="Pareto front by validation"),
        Line2D(
            [], [], color=GREY, marker="o", markerfacecolor="white", linestyle="", label="beaten"
        ),
        Line2D(
            [], [], color=_BEST, marker="*", markersize=11, linestyle="", label="best on validation"
        ),
    ]
    if results.dense_test_accuracy:
        handles.append(Line2D([], [], color=INK, linestyle="--", label="dense model"))
    legend_below(figure, handles)
    return figure


def _panel(ax: Axes, results: SweepResults, architecture: str, cost: CostName) -> None:
    panel_title(ax, architecture, "each point is one configuration: up and left is better")
    front = results.front(architecture, cost)
    beaten = [
        row
        for row in results.rows
        if row.architecture == architecture
        and row.test_accuracy is not None
        and getattr(row, cost) is not None
        and row not in front
    ]
    hollow = ax.plot(*_points(beaten, cost), "o", color=GREY, markerfacecolor="white")
    hollow[0].set_gid("beaten")
    ax.plot(*_points(front, cost), "o-", color=_FRONT, linewidth=1.5, drawstyle="steps-post")[
        0
    ].set_gid("front")
    best = [row for row in (*front, *beaten) if row.trial == results.best]
    ax.plot(*_points(best, cost), "*", color=_BEST, markersize=13, zorder=3)[0].set_gid("best")
    dense = results.dense_test_accuracy.get(architecture)
    if dense is not None:
        ax.axhline(100 * dense, color=INK, linestyle="--", linewidth=1.2).set_gid("dense")
    for point, text in list(_labels(front, cost).items())[:_MAX_LABELS]:
        ax.annotate(
            literal(text, 48),
            point,
            xytext=(6, -10),
            textcoords="offset points",
            fontsize=7.5,
            color=INK,
        )
    ax.margins(x=0.18, y=0.15)
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    label_axes(ax, _AXIS[cost], "test accuracy (%)")


def _points(rows: list[TrialRow], cost: CostName) -> tuple[list[int], list[float]]:
    return [getattr(r, cost) for r in rows], [100 * (r.test_accuracy or 0) for r in rows]


def _labels(rows: list[TrialRow], cost: CostName) -> dict[tuple[int, float], str]:
    """One label a point: trials that found the same are named together."""
    found: dict[tuple[int, float], list[str]] = {}
    for row in rows:
        point = (getattr(row, cost), 100 * (row.test_accuracy or 0))
        found.setdefault(point, []).append(row.label)
    return {
        point: labels[0] + (f" and {len(labels) - 1} more" if len(labels) > 1 else "")
        for point, labels in found.items()
    }
