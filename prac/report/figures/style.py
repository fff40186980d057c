"""What all figures share: colours, panels, legends; matplotlib's object API, no global state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter

from prac.analysis.results import Results, RoundRow
from prac.config.methods import METHODS, PRAC, VANILLA
from prac.report.wording import architectures, methods_of, ordered_methods, sparsity_tick

INK = "#222222"
GREY = "#6b6b6b"
FAINT = "#dddddd"
MAX_TICKS = 9

_KNOWN = {name: (method.colour, method.marker) for name, method in METHODS.items()} | {
    "dense": (INK, "x")
}
_FURTHER = (
    ("#CC79A7", "p"),
    ("#D55E00", "H"),
    ("#56B4E9", "8"),
    ("#8C6D31", "1"),
    ("#7F7F7F", "2"),
)
REFERENCES = (PRAC.name, VANILLA)
"""Shown in every panel, so that each of the others can be compared with them."""

_TOGETHER = 5
_PER_PANEL = 6


@dataclass(frozen=True, kw_only=True)
class MethodStyle:
    """How one method looks in every figure; the marker tells it apart without colour."""

    colour: str
    marker: str


def method_styles(results: Results) -> dict[str, MethodStyle]:
    """A style for each method of the results; those not known get further colours, by name."""
    methods = ordered_methods(row.method for row in results.rows)
    further = [method for method in methods if method not in _KNOWN]
    looks = {m: _FURTHER[place % len(_FURTHER)] for place, m in enumerate(further)} | _KNOWN
    return {m: MethodStyle(colour=looks[m][0], marker=looks[m][1]) for m in [*methods, "dense"]}


@dataclass(frozen=True, kw_only=True)
class View:
    """What one panel shows: some methods of one architecture. note: which ones, in words."""

    architecture: str
    methods: tuple[str, ...]
    note: str = ""


def views(results: Results) -> list[View]:
    """A panel for each architecture; where the methods are many, one for each kind of method.

    The references are in every panel; a panel has at most six others.
    """
    found = []
    for architecture in architectures(results):
        methods = methods_of(results, architecture)
        if len(methods) <= _TOGETHER:
            found.append(View(architecture=architecture, methods=tuple(methods)))
            continue
        references = [m for m in methods if m in REFERENCES]
        others = [m for m in methods if m not in REFERENCES]
        for note, kind in (
            ("other samples", [m for m in others if "weights" not in results.role(m)]),
            ("other weights", [m for m in others if "weights" in results.role(m)]),
        ):
            parts = _parts(kind)
            for number, part in enumerate(parts, start=1):
                count = f" ({number} of {len(parts)})" if len(parts) > 1 else ""
                shown = (*references, *part)
                found.append(View(architecture=architecture, methods=shown, note=note + count))
    return found


def _parts(methods: Sequence[str]) -> list[Sequence[str]]:
    """Cut into parts of nearly the same length, none too long for a panel."""
    num = -(-len(methods) // _PER_PANEL)
    size = -(-len(methods) // num) if num else 1
    return [methods[start : start + size] for start in range(0, len(methods), size)]


def literal(text: str, limit: int = 60) -> str:
    """Text from outside as matplotlib shows it unchanged: no formulas, one line, not endless."""
    line = "".join(c if c.isprintable() else " " for c in text)
    line = line if len(line) <= limit else line[: limit - 1] + "…"
    return line.replace("$", r"\$")


_WIDTHS, _WIDEST = {1: 7.6, 2: 9.6}, 11.4
"""Inches, by the number of panels in a row."""


def panels(
    num: int, *, title: str, height: float = 3.0, columns: int = 3, legend: float = 0.4
) -> tuple[Figure, list[Axes]]:
    """A figure of `num` panels, at most `columns` in a row, room below for a legend.

    height: of one panel, inches; legend: room for the legend, inches.
    """
    columns = max(1, min(num, columns))
    rows = max(1, -(-num // columns))
    width = _WIDTHS.get(columns, _WIDEST)
    total = rows * height + 0.55 + legend
    engine = ConstrainedLayoutEngine(
        rect=(0.0, legend / total, 1.0, 1 - legend / total), w_pad=0.08, h_pad=0.06
    )
    figure = Figure(figsize=(width, total), layout=engine, facecolor="white")
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold", color=INK)
    grid = figure.subplots(rows, columns, squeeze=False)
    axes = [ax for line in grid for ax in line]
    for unused in axes[num:]:
        unused.set_axis_off()
    for ax in axes[:num]:
        tidy(ax)
    return figure, axes[:num]


def tidy(ax: Axes) -> None:
    """Only the axes that carry numbers, a light grid behind the data, small ticks."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(GREY)
    ax.tick_params(labelsize=8, colors=GREY, labelcolor=INK)
    ax.grid(axis="y", color=FAINT, linewidth=0.7)
    ax.set_axisbelow(True)


def panel_title(ax: Axes, text: str, note: str = "") -> None:
    """A panel's name, and under it a note in words."""
    ax.set_title(literal(text), loc="left", fontsize=10, color=INK, pad=18 if note else 6)
    if note:
        ax.annotate(
            literal(note, 90),
            (0, 1),
            xytext=(0, 5),
            xycoords="axes fraction",
            textcoords="offset points",
            fontsize=8,
            color=GREY,
        )


def label_axes(ax: Axes, x: str, y: str) -> None:
    """Name both axes, units in brackets."""
    ax.set_xlabel(x, fontsize=9, color=INK)
    ax.set_ylabel(y, fontsize=9, color=INK)


def sparsity_axis(ax: Axes, rows: Sequence[RoundRow]) -> None:
    """Rounds evenly spaced, each named by its sparsity; about nine of many are named."""
    names: dict[int, str] = {}
    for row in rows:
        names.setdefault(row.round, sparsity_tick(row.sparsity))
    rounds = sorted(names)
    every = -(-len(rounds) // MAX_TICKS) if rounds else 1
    shown = rounds[::every]
    ax.set_xticks(shown, [names[k] for k in shown])
    if rounds:
        ax.set_xlim(rounds[0] - 0.6, rounds[-1] + 0.6)


def thousands(ax: Axes) -> None:
    """Number the y axis with thousands separated."""
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def legend_room(num: int, panels_wide: int) -> float:
    """The height, inches, that a legend of `num` entries needs below that many panels in a row."""
    width = _WIDTHS.get(panels_wide, _WIDEST)
    return 0.2 + 0.2 * -(-num // _legend_columns(width))


def _legend_columns(width: float) -> int:
    return max(3, int(width / 1.85))


def legend_below(figure: Figure, handles: Sequence[Artist]) -> None:
    """One legend for all panels, at the figure's foot."""
    found = figure.legend(
        handles=list(handles),
        loc="lower left",
        bbox_to_anchor=(0.005, 0.0),
        ncols=_legend_columns(figure.get_figwidth()),
        frameon=False,
        fontsize=8.5,
        labelcolor=INK,
        handlelength=2.2,
        columnspacing=1.6,
    )
    found.set_in_layout(False)
