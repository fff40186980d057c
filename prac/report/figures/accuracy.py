"""What each ticket is worth: accuracy over sparsity, and over the steps it cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from prac.analysis.results import Results, RoundRow
from prac.config.methods import method_label
from prac.report.figures.style import (
    GREY,
    INK,
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
    views,
)
from prac.report.wording import ordered_methods, search_rows, short_count

_FEW = 3
"""Methods in a panel up to which every method has a band; judged tickets of a search below which
its validation curve stands in for them."""

_WIDE, _SHIFT = 8, 0.06

Styles = dict[str, MethodStyle]


def accuracy(results: Results) -> Figure:
    """Test accuracy of judged tickets over sparsity, with bands of one standard deviation."""
    curves = _needs_curves(results)
    figure, shown, styles = _figure(results, "Accuracy as weights are removed", curves)
    for ax, view in shown:
        every: list[RoundRow] = []
        for place, method in reversed(list(enumerate(view.methods))):
            rows = search_rows(results, view.architecture, method)
            every.extend(rows)
            if curves:
                seen = [(r.round, 100 * v) for r in rows if (v := r.validation_accuracy)]
                thin = ax.plot(*_columns(seen), color=styles[method].colour, lw=1, alpha=0.5)
                thin[0].set_gid(f"validation:{method}")
            judged = [row for row in rows if row.test_accuracies]
            # Many means of one sparsity would lie on each other.
            shift = _SHIFT * (place - (len(view.methods) - 1) / 2)
            apart = shift if len(view.methods) > _FEW and len(judged) <= _FEW else 0.0
            places = [row.round + apart for row in judged]
            _line(ax, method, judged, places, styles, len(view.methods))
        _dense(ax, results, view.architecture)
        sparsity_axis(ax, every)
        label_axes(ax, "weights removed (%)", "accuracy (%)")
    return figure


def accuracy_at_steps(results: Results) -> Figure:
    """Test accuracy of judged tickets over the SGD steps of the search that found them."""
    title = "Accuracy for the steps that a ticket costs"
    figure, shown, styles = _figure(results, title, curves=False)
    for ax, view in shown:
        for method in reversed(view.methods):
            rows = search_rows(results, view.architecture, method)
            judged = [row for row in rows if row.test_accuracies and row.sparsity > 0]
            steps = [row.search_steps for row in judged]
            _line(ax, method, judged, steps, styles, len(view.methods))
        _dense(ax, results, view.architecture)
        _steps_axis(ax, [row for row in results.rows if row.architecture == view.architecture])
        label_axes(ax, "SGD steps to find the ticket", "test accuracy (%)")
    return figure


def _steps_axis(ax: Axes, rows: Sequence[RoundRow]) -> None:
    """Logarithmic where one method costs many times what another does."""
    steps = [row.search_steps for row in rows if row.test_accuracies and row.sparsity > 0]
    if steps and min(steps) > 0 and max(steps) > _WIDE * min(steps):
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0), numticks=7))
        ax.xaxis.set_minor_formatter(NullFormatter())
    else:
        ax.set_xlim(left=0)
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    # Tick labels side by side in a narrow panel: `64k`, `1.2M`.
    ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: short_count(round(v)).replace(" ", "")))


def _needs_curves(results: Results) -> bool:
    """Whether so few tickets were judged that validation accuracies have to guide the eye.

    They are of networks trained on few samples, far below the tickets' own, and would flatten them.
    """
    judged = Counter(
        (row.architecture, row.method)
        for row in results.rows
        if row.test_accuracies and row.sparsity > 0
    )
    many = len({row.method for row in results.rows}) > _FEW
    return max(judged.values(), default=0) < _FEW and not many


def _figure(
    results: Results, title: str, curves: bool
) -> tuple[Figure, list[tuple[Axes, View]], Styles]:
    shown, styles = views(results), method_styles(results)
    handles = _handles(results, styles, curves)
    legend = legend_room(len(handles), min(3, len(shown)))
    figure, axes = panels(len(shown), title=title, height=3.3, legend=legend)
    legend_below(figure, handles)
    for ax, view in zip(axes, shown, strict=True):
        panel_title(ax, view.architecture, view.note)
    return figure, list(zip(axes, shown, strict=True)), styles


def _handles(results: Results, styles: Styles, validation: bool) -> list[Artist]:
    methods = ordered_methods(row.method for row in results.rows)
    handles: list[Artist] = [
        Line2D(
            [],
            [],
            color=styles[m].colour,
            marker=styles[m].marker,
            label=literal(method_label(m)),
        )
        for m in methods
    ]
    if validation:
        thin = Line2D([], [], color=INK, linewidth=1, alpha=0.5, label="validation, by round")
        handles.append(thin)
    if results.dense_test_accuracies:
        handles.append(Line2D([], [], color=INK, linestyle="--", label="test: dense model"))
    if results.num_seeds > 1:
        label = f"± one std of {results.num_seeds} seeds"
        handles.append(Patch(color=GREY, alpha=0.25, label=label))
    return handles


def _line(
    ax: Axes,
    method: str,
    judged: Sequence[RoundRow],
    places: Sequence[float],
    styles: Styles,
    num_methods: int,
) -> None:
    """Means with markers; deviations as a band, or as bars where many bands would cover it."""
    style = styles[method]
    means = [100 * (row.test_accuracy or 0.0) for row in judged]
    stds = [100 * (row.test_std or 0.0) for row in judged]
    strong = method in REFERENCES or num_methods <= _FEW
    line = ax.plot(
        places,
        means,
        color=style.colour,
        marker=style.marker,
        linewidth=2 if strong else 1.2,
        markersize=6 if strong else 5,
        zorder=3 if strong else 2,
    )
    line[0].set_gid(f"test:{method}")
    if not any(stds):
        return
    if strong:
        low = [m - s for m, s in zip(means, stds, strict=True)]
        high = [m + s for m, s in zip(means, stds, strict=True)]
        band = ax.fill_between(places, low, high, color=style.colour, alpha=0.18, linewidth=0)
        band.set_gid(f"std:{method}")
    else:
        bars = ax.errorbar(
            places, means, stds, fmt="none", ecolor=style.colour, elinewidth=1, capsize=2
        )
        bars[2][0].set_gid(f"std:{method}")


def _dense(ax: Axes, results: Results, architecture: str) -> None:
    dense = results.dense_test_accuracy.get(architecture)
    if dense is not None:
        ax.axhline(100 * dense, color=INK, linestyle="--", linewidth=1.2).set_gid("dense")


def _columns(points: list[tuple[int, float]]) -> tuple[list[int], list[float]]:
    return [x for x, _ in points], [y for _, y in points]
