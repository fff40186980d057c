"""How the tentative mask settles within a round: the curve that the early-bird stop reads."""

from __future__ import annotations

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from prac.analysis.results import DistanceRow, Results
from prac.config.methods import method_label
from prac.report.figures.style import INK, label_axes, legend_below, panel_title, panels
from prac.report.wording import ordered_methods

_SHOWN = 3


def mask_distances(results: Results) -> Figure:
    """Distance between consecutive tentative masks by epoch, one line a round."""
    searches = _searches(results)
    figure, axes = panels(
        len(searches), title="How fast the mask settles in each round", height=2.9
    )
    # The palest end of viridis is left out: yellow is hard to see on white.
    shades = LinearSegmentedColormap.from_list(
        "rounds", [colormaps["viridis"](share / 20) for share in range(18)]
    )
    last = max((row.round for row in results.distances), default=0)
    norm = BoundaryNorm([k - 0.5 for k in range(last + 2)], 256)
    for ax, (architecture, method) in zip(axes, searches, strict=True):
        rows = [
            r for r in results.distances if (r.architecture, r.method) == (architecture, method)
        ]
        panel_title(ax, f"{architecture}, {method_label(method)}")
        for number in sorted({row.round for row in rows}):
            _line(ax, [r for r in rows if r.round == number], shades(norm(number)))
        if results.tolerance is not None:
            line = ax.axhline(results.tolerance, color=INK, linestyle="--", linewidth=1.2)
            line.set_gid("tolerance")
        ax.set_ylim(bottom=0)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        label_axes(ax, "epoch of the round", "share of live weights that differ")
    if axes:
        bar = figure.colorbar(
            ScalarMappable(norm=norm, cmap=shades),
            ax=axes,
            ticks=range(0, last + 1, -(-(last + 1) // 10)),
            pad=0.01,
            aspect=35,
            fraction=0.04,
        )
        bar.set_label("round", fontsize=9, color=INK)
        bar.ax.tick_params(labelsize=8, length=0)
        bar.minorticks_off()
    if results.tolerance is not None:
        text = f"tolerance {results.tolerance:g}: several distances in a row below it end the round"
        legend_below(figure, [Line2D([], [], color=INK, linestyle="--", label=text)])
    return figure


def _searches(results: Results) -> list[tuple[str, str]]:
    """The first methods of each architecture: a dozen searches would be dozens of panels."""
    names = list(dict.fromkeys(row.architecture for row in results.distances))
    found = []
    for name in names:
        methods = {row.method for row in results.distances if row.architecture == name}
        found += [(name, method) for method in ordered_methods(methods)[:_SHOWN]]
    return found


def _line(ax: Axes, rows: list[DistanceRow], colour: tuple[float, ...]) -> None:
    rows = sorted(rows, key=lambda row: row.epoch)
    line = ax.plot(
        [row.epoch for row in rows],
        [row.distance for row in rows],
        color=colour,
        linewidth=1.5,
        marker="o",
        markersize=2.5,
    )
    line[0].set_gid(f"round:{rows[0].round}")
