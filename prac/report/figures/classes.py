"""Which classes the critical sets hold more of than the training data does."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from prac.analysis.results import ClassShare, Results
from prac.config.methods import method_label
from prac.report.figures.style import (
    GREY,
    INK,
    label_axes,
    literal,
    panel_title,
    panels,
    sparsity_axis,
)
from prac.report.wording import ordered_methods, search_rows

_NAMED = 10
"""Classes up to which every line is named; of more, the outermost are."""


def class_shares(results: Results) -> Figure:
    """The share of each class in the set over its share of the training data, by round."""
    searches = searches_with_classes(results)
    title = "Which classes the sets are made of"
    figure, axes = panels(len(searches), title=title, height=3.4, legend=0.05)
    for ax, (architecture, method) in zip(axes, searches, strict=True):
        panel_title(ax, f"{architecture}, {method_label(method)}", "1 is as in the training data")
        rows = [r for r in results.classes if (r.architecture, r.method) == (architecture, method)]
        _panel(ax, rows)
        rounds = {row.round for row in rows}
        searched = search_rows(results, architecture, method)
        sparsity_axis(ax, [row for row in searched if row.round in rounds])
        label_axes(ax, "weights removed (%)", "share, times the usual")
        # Names stand to the right of the lines' ends.
        ax.set_xlim(min(rounds) - 0.3, max(rounds) + 0.35 * (max(rounds) - min(rounds)) + 0.8)
    return figure


def searches_with_classes(results: Results) -> list[tuple[str, str]]:
    """The searches whose classes are drawn: PrAC's where it is there, else the first method's."""
    found = []
    for architecture in dict.fromkeys(row.architecture for row in results.classes):
        rows = [row for row in results.classes if row.architecture == architecture]
        found.append((architecture, ordered_methods(row.method for row in rows)[0]))
    return found


def _panel(ax: Axes, rows: Sequence[ClassShare]) -> None:
    last = max(row.round for row in rows)
    ends = sorted((_ratio(row), row.label) for row in rows if row.round == last)
    named = [label for _, label in ends]
    if len(named) > _NAMED:
        named = [*named[: _NAMED // 2], *named[-_NAMED // 2 :]]
    heights = _spread([ratio for ratio, label in ends if label in named])
    for _, label in ends:
        points = sorted((row.round, _ratio(row)) for row in rows if row.label == label)
        shown = label in named
        colour = _shade(named.index(label) / max(1, len(named) - 1)) if shown else to_rgb(GREY)
        line = ax.plot(
            [k for k, _ in points],
            [ratio for _, ratio in points],
            color=colour,
            linewidth=1.5 if shown else 0.6,
            alpha=1 if shown else 0.35,
            marker="o" if shown and len(points) == 1 else None,
        )
        line[0].set_gid(f"class:{label}")
        if shown:
            ax.annotate(
                literal(label, 14),
                (last, points[-1][1]),
                xytext=(last + 0.25, heights[named.index(label)]),
                textcoords="data",
                va="center",
                fontsize=7,
                color=colour,
            )
    ax.axhline(1, color=INK, linestyle="--", linewidth=1).set_gid("usual")
    ax.set_ylim(bottom=0)


def _shade(place: float) -> tuple[float, float, float]:
    """A colour of the rainbow, dark enough for small letters on white."""
    red, green, blue, _ = colormaps["turbo"](0.08 + 0.84 * place)
    light = 0.3 * red + 0.59 * green + 0.11 * blue
    scale = min(1.0, 0.42 / light)
    return red * scale, green * scale, blue * scale


def _spread(values: Sequence[float]) -> list[float]:
    """Rising heights for labels, near the values and never too near to each other."""
    gap = 0.055 * max([*values, 1.0])
    heights: list[float] = []
    for value in values:
        heights.append(max(value, heights[-1] + gap) if heights else value)
    # What was pushed up as a whole goes back down by half.
    shift = (heights[-1] - values[-1]) / 2 if values else 0.0
    return [height - shift for height in heights]


def _ratio(row: ClassShare) -> float:
    return row.share / row.of_training if row.of_training else 0.0
