"""How alike the masks of different methods are."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from prac.analysis.results import MaskOverlap, Results
from prac.config.methods import VANILLA, method_label
from prac.report.figures.style import (
    GREY,
    INK,
    MethodStyle,
    label_axes,
    legend_below,
    legend_room,
    literal,
    method_styles,
    panel_title,
    panels,
    sparsity_axis,
)
from prac.report.wording import ordered_methods, percent, search_rows

_NUMBERED = 8
"""Methods up to which the matrix has room for numbers."""


def mask_overlaps(results: Results) -> Figure:
    """For each architecture: overlap with one method over sparsity, and all pairs at the end."""
    names = list(dict.fromkeys(row.architecture for row in results.masks))
    styles = method_styles(results)
    shown = ordered_methods(m for row in results.masks for m in (row.method, row.other))
    handles = [
        Line2D([], [], color=styles[m].colour, marker=styles[m].marker, label=literal(_label(m)))
        for m in shown
    ]
    handles.append(Line2D([], [], color=GREY, linestyle=":", label="two random masks"))
    figure, axes = panels(
        2 * len(names),
        title="How alike the masks are",
        height=3.2 if len(shown) <= _NUMBERED else 3.7,
        columns=2,
        legend=legend_room(len(handles), 2),
    )
    for place, architecture in enumerate(names):
        rows = [row for row in results.masks if row.architecture == architecture]
        _lines(axes[2 * place], results, architecture, rows, styles)
        _matrix(axes[2 * place + 1], rows)
    legend_below(figure, handles)
    return figure


def reference(rows: list[MaskOverlap]) -> str:
    """The method whose masks the others' are compared with: vanilla where it is there."""
    methods = ordered_methods(m for row in rows for m in (row.method, row.other))
    return VANILLA if VANILLA in methods else methods[0]


def _lines(
    ax: Axes,
    results: Results,
    architecture: str,
    rows: list[MaskOverlap],
    styles: dict[str, MethodStyle],
) -> None:
    base = reference(rows)
    panel_title(ax, architecture, f"each method's mask against {_label(base)}'s")
    chance: dict[int, float] = {}
    for method in ordered_methods(m for row in rows for m in (row.method, row.other)):
        points = {r.round: r for r in rows if {r.method, r.other} == {base, method}}
        chance |= {k: row.chance for k, row in points.items()}
        if not points:
            continue
        line = ax.plot(
            sorted(points),
            [100 * points[k].overlap for k in sorted(points)],
            color=styles[method].colour,
            marker=styles[method].marker,
            linewidth=1.6,
            markersize=5,
        )
        line[0].set_gid(f"overlap:{method}")
    expected = ax.plot(sorted(chance), [100 * chance[k] for k in sorted(chance)], ":", color=GREY)
    expected[0].set_gid("chance")
    ax.set_ylim(0, 103)
    sparsity_axis(ax, [r for r in search_rows(results, architecture, base) if r.round in chance])
    label_axes(ax, "weights removed (%)", "live weights in common (%)")


def _matrix(ax: Axes, rows: list[MaskOverlap]) -> None:
    last = max(row.round for row in rows)
    rows = [row for row in rows if row.round == last]
    methods = ordered_methods(m for row in rows for m in (row.method, row.other))
    place = {method: k for k, method in enumerate(methods)}
    cells = [[math.nan] * len(methods) for _ in methods]
    for method in methods:
        cells[place[method]][place[method]] = 100.0
    for row in rows:
        for one, other in ((row.method, row.other), (row.other, row.method)):
            cells[place[one]][place[other]] = 100 * row.overlap
    panel_title(ax, f"at {percent(rows[0].sparsity)} sparsity", "live weights in common (%)")
    image = ax.imshow(cells, cmap="viridis", vmin=0, vmax=100, aspect="auto")
    image.set_gid("matrix")
    ax.grid(visible=False)
    labels = [literal(_label(m), 18) for m in methods]
    ax.set_xticks(range(len(methods)), labels, rotation=40, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(methods)), labels)
    size = 8 if len(methods) <= _NUMBERED else 6
    for y, line in enumerate(cells):
        for x, value in enumerate(line):
            if not math.isnan(value):
                colour = "white" if value < 60 else INK
                text = f"{value:.0f}"
                ax.text(x, y, text, ha="center", va="center", fontsize=size, color=colour)


def _label(method: str) -> str:
    return method_label(method)
