"""What each ticket is worth: accuracy over sparsity, and over the steps it cost."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from prac.analysis.results import Results, RoundRow
from prac.config.methods import method_label
from prac.report.compare import noise_points
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
    views,
)
from prac.report.verdict import Verdict, verdicts
from prac.report.wording import ordered_methods, search_rows, short_count, sparsity_tick

_FEW = 3
"""Methods in a panel up to which every method has a band."""
_FAINT = 0.15

_WIDE, _SHIFT = 8, 0.4
_WORDS = -13
"""Points from a mark to the foot of its words."""

Styles = dict[str, MethodStyle]


def accuracy(results: Results) -> Figure:
    """Test accuracy of judged tickets over sparsity, with bands of one standard deviation."""
    figure, shown, styles = _figure(results, "Accuracy as weights are removed")
    for ax, view in shown:
        for place, method in reversed(list(enumerate(view.methods))):
            rows = search_rows(results, view.architecture, method)
            judged = [row for row in rows if row.test_accuracies]
            # Many means of one sparsity would lie on each other.
            shift = _SHIFT * (place - (len(view.methods) - 1) / 2)
            apart = shift if len(view.methods) > _FEW and len(judged) <= _FEW else 0.0
            places = [100 * row.sparsity + apart for row in judged]
            _line(ax, method, judged, places, styles, len(view.methods))
        _dense(ax, results, view.architecture)
        label_axes(ax, "weights removed (%)", "test accuracy (%)")
    return figure


def validation(results: Results) -> Figure:
    """Validation accuracy of each round's network over sparsity: of the search, of no ticket."""
    title = "Validation accuracy within the search, round by round"
    figure, shown, styles = _figure(results, title, tested=False)
    for ax, view in shown:
        for method in reversed(view.methods):
            rows = search_rows(results, view.architecture, method)
            seen = [(100 * r.sparsity, 100 * v) for r in rows if (v := r.validation_accuracy)]
            line = ax.plot(
                [x for x, _ in seen],
                [y for _, y in seen],
                color=styles[method].colour,
                marker=styles[method].marker,
                markersize=4,
                linewidth=1.2,
            )
            line[0].set_gid(f"validation:{method}")
        label_axes(ax, "weights removed (%)", "validation accuracy (%)")
    return figure


def accuracy_at_steps(results: Results) -> Figure:
    """Test accuracy of judged tickets over the SGD steps of the search that found them; the ticket
    to take, where there is one, has a ring."""
    title = "What a ticket is worth, and what it costs to find"
    figure, shown, styles = _figure(results, title, noise=True)
    about = {verdict.architecture: verdict for verdict in verdicts(results)}
    for ax, view in shown:
        for method in reversed(view.methods):
            rows = search_rows(results, view.architecture, method)
            judged = [row for row in rows if row.test_accuracies and row.sparsity > 0]
            steps = [row.search_steps for row in judged]
            _line(ax, method, judged, steps, styles, len(view.methods))
        _dense(ax, results, view.architecture, noise=True)
        ax.margins(y=0.16)  # the ring and its words stay within the axes
        _steps_axis(ax, [row for row in results.rows if row.architecture == view.architecture])
        _ring(ax, about[view.architecture], results.dense_test_accuracy.get(view.architecture))
        label_axes(ax, "SGD steps to find the ticket", "test accuracy (%)")
    return figure


def _ring(ax: Axes, verdict: Verdict, dense: float | None) -> None:
    row = verdict.shown
    if row is None or row.test_accuracy is None:
        return
    place = (row.search_steps, 100 * row.test_accuracy)
    if verdict.take is not None:
        ring = ax.plot(
            *([each] for each in place),
            marker="o",
            markersize=15,
            markerfacecolor="none",
            markeredgecolor=INK,
            markeredgewidth=1.5,
            linestyle="",
            zorder=4,
            clip_on=False,
        )
        ring[0].set_gid("take")
    # Of a mark on the right, words at its right would take the room of the next panel.
    at_right = (ax.transScale + ax.transLimits).transform(place)[0] > 0.5
    ax.annotate(
        f"{'take: ' if verdict.take else ''}{sparsity_tick(row.sparsity)} % removed",
        place,
        xytext=(-12 if at_right else 12, _foot_of_words(ax, place, dense)),
        textcoords="offset points",
        horizontalalignment="right" if at_right else "left",
        path_effects=[withStroke(linewidth=2.5, foreground="white")],
        fontsize=8,
        color=INK,
    )


def _foot_of_words(ax: Axes, place: tuple[float, float], dense: float | None) -> float:
    """Points from a mark up to its words: below it, unless the dense network's line runs there."""
    if dense is not None:
        pixels = ax.transData.transform([place, (place[0], 100 * dense)])[:, 1]
        above = (pixels[1] - pixels[0]) * 72 / ax.figure.dpi
        if _WORDS - 3 <= above <= 0:
            return -_WORDS / 2
    return _WORDS


def _steps_axis(ax: Axes, rows: Sequence[RoundRow]) -> None:
    """Logarithmic where one method costs many times what another does."""
    steps = [row.search_steps for row in rows if row.test_accuracies and row.sparsity > 0]
    if steps and min(steps) > 0 and max(steps) > _WIDE * min(steps):
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0), numticks=7))
        ax.xaxis.set_minor_formatter(NullFormatter())
    else:
        ax.set_xlim(left=0, right=1.05 * max(steps, default=0) or None)
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    # Tick labels side by side in a narrow panel: `64k`, `1.2M`.
    ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: short_count(round(v)).replace(" ", "")))


def _figure(
    results: Results, title: str, tested: bool = True, noise: bool = False
) -> tuple[Figure, list[tuple[Axes, View]], Styles]:
    shown, styles = views(results), method_styles(results)
    handles = _handles(results, styles, tested, noise)
    legend = legend_room(len(handles), min(3, len(shown)))
    figure, axes = panels(len(shown), title=title, height=3.3, legend=legend)
    legend_below(figure, handles)
    for ax, view in zip(axes, shown, strict=True):
        panel_title(ax, view.architecture, view.note)
    return figure, list(zip(axes, shown, strict=True)), styles


def _handles(results: Results, styles: Styles, tested: bool, noise: bool) -> list[Artist]:
    methods = ordered_methods(row.method for row in results.rows)
    handles: list[Artist] = [
        Line2D(
            [], [], color=styles[m].colour, marker=styles[m].marker, label=literal(method_label(m))
        )
        for m in methods
    ]
    if not tested:
        return handles
    if results.dense_test_accuracies:
        handles.append(Line2D([], [], color=INK, linestyle="--", label="test: dense model"))
        if noise and results.num_seeds < 2:
            label = "one seed can't tell these from dense"
            handles.append(Patch(color=GREY, alpha=_FAINT, label=label))
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
    """Means with markers; deviations as a band, or as bars where many bands would cover it or a
    single point gives it no width."""
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
        # What lies on one of the references is seen around it.
        markersize=6 if method in REFERENCES else 9 if strong else 5,
        zorder=3 if method in REFERENCES else 2,
    )
    line[0].set_gid(f"test:{method}")
    if not any(stds):
        return
    if strong and len(judged) > 1:
        low = [m - s for m, s in zip(means, stds, strict=True)]
        high = [m + s for m, s in zip(means, stds, strict=True)]
        band = ax.fill_between(places, low, high, color=style.colour, alpha=0.18, linewidth=0)
        band.set_gid(f"std:{method}")
    else:
        bars = ax.errorbar(
            places, means, stds, fmt="none", ecolor=style.colour, elinewidth=1.2, capsize=3
        )
        bars[2][0].set_gid(f"std:{method}")


def _dense(ax: Axes, results: Results, architecture: str, noise: bool = False) -> None:
    dense = results.dense_test_accuracy.get(architecture)
    if dense is None:
        return
    ax.axhline(100 * dense, color=INK, linestyle="--", linewidth=1.2).set_gid("dense")
    if noise and results.num_seeds < 2:
        apart = noise_points(results)
        around = (max(100 * dense - apart, 0), min(100 * dense + apart, 100))
        ax.axhspan(*around, color=GREY, alpha=_FAINT, linewidth=0).set_gid("noise")
