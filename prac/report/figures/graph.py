"""The stage graph, drawn: what was computed from what."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Patch, PathPatch, Rectangle
from matplotlib.path import Path

from prac.analysis.results import Results, StageRow
from prac.config.methods import method_label
from prac.report.figures.layout import Layout, lay_out
from prac.report.figures.style import GREY, INK, legend_below, literal
from prac.report.wording import ordered_methods

_PASTELS = ("#A6CEE3", "#FDD49E", "#B8E0B0", "#F4C2D7", "#D5C8EB", "#F7F0A8", "#D9C6B0", "#BFE3E0")
_MAX_BOXES = 150
_PITCH = 1.45
_LINE = 0.5
_BOX = (1.12, 0.34)
_MARGIN = 1.75


def stage_graph(results: Results) -> Figure:
    """Boxes by kind, lanes by architecture and method, cached stages hatched, inputs as lines."""
    stages, title = drawn_stages(results.stages)
    layout = lay_out(stages)
    num_columns = max(layout.columns, default=0) + 1
    num_lines = sum(height for _, _, height in layout.lanes)
    width = max(7.6, _MARGIN + num_columns * _PITCH)
    height = num_lines * _LINE + 1.2
    figure = Figure(figsize=(width, height), facecolor="white")
    figure.text(0.1 / width, 1 - 0.3 / height, title, fontsize=12, fontweight="bold", color=INK)
    ax = figure.add_axes((0, 0.6 / height, 1, num_lines * _LINE / height))
    ax.set_axis_off()
    ax.set_xlim(0, width)
    ax.set_ylim(num_lines * _LINE, 0)
    _lanes(ax, layout, width)
    for source, target in layout.edges:
        _edge(ax, _centre(layout, source), _centre(layout, target))
    colours = kind_colours(results)
    for place, stage in enumerate(stages):
        _box(ax, stage, _centre(layout, place), colours[stage.kind])
    handles = [Patch(facecolor=c, edgecolor=GREY, label=literal(k)) for k, c in colours.items()]
    handles.append(Patch(facecolor="white", edgecolor=GREY, hatch="////", label="cached (reused)"))
    legend_below(figure, handles)
    return figure


def drawn_stages(stages: Sequence[StageRow]) -> tuple[tuple[StageRow, ...], str]:
    """The stages that a drawing has room for, and its title.

    Judgements of the same ticket are one box. Of very many stages those of the first architecture
    are drawn, and of still too many those of its first methods.
    """
    title, kept = "What was computed from what", _one_box_a_ticket(stages)
    names = list(dict.fromkeys(s.architecture for s in kept if s.architecture))
    if len(kept) > _MAX_BOXES and len(names) > 1:
        kept = [s for s in kept if s.architecture in ("", names[0])]
    methods = ordered_methods(s.method for s in kept if s.method not in ("", "dense"))
    while len(kept) > _MAX_BOXES and len(methods) > 1:
        left_out = methods.pop()
        kept = [s for s in kept if s.method != left_out]
    if len(kept) < len(_one_box_a_ticket(stages)):
        return tuple(kept), f"{title}: {len(kept)} of {len(stages)} stages, left to right"
    return tuple(kept), f"{title}: {len(stages)} stages, left to right"


def _one_box_a_ticket(stages: Sequence[StageRow]) -> list[StageRow]:
    more = Counter(_without_seed(s.name) for s in stages)
    kept = []
    for stage in stages:
        if stage.name == _without_seed(stage.name):
            times = more[stage.name]
            name = f"{stage.name} x{times}" if times > 1 else stage.name
            kept.append((stage.name, dataclasses.replace(stage, name=name)))
    renamed = {old: stage.name for old, stage in kept}
    return [
        dataclasses.replace(stage, inputs=tuple(renamed.get(i, i) for i in stage.inputs))
        for _, stage in kept
    ]


def _without_seed(name: str) -> str:
    return name.partition(":seed-")[0]


def kind_colours(results: Results) -> dict[str, str]:
    """A colour for each kind of stage, in the order in which kinds appear."""
    kinds = dict.fromkeys(stage.kind for stage in results.stages)
    return {kind: _PASTELS[place % len(_PASTELS)] for place, kind in enumerate(kinds)}


def short_name(stage: StageRow) -> str:
    """A stage's name without the architecture and method that its lane already tells."""
    told = {stage.architecture, stage.method}
    parts = [part for part in re.split(r"[/:\s]+", stage.name) if part and part not in told]
    return " ".join(parts) or stage.kind


def _centre(layout: Layout, place: int) -> tuple[float, float]:
    return _MARGIN + layout.columns[place] * _PITCH + _BOX[0] / 2, (layout.lines[place] + 0.5) * (
        _LINE
    )


def _lanes(ax: Axes, layout: Layout, width: float) -> None:
    for number, ((architecture, method), first, height) in enumerate(layout.lanes):
        shade = "#f4f4f4" if number % 2 == 0 else "#ffffff"
        ax.add_patch(
            Rectangle((0, first * _LINE), width, height * _LINE, color=shade, linewidth=0, zorder=0)
        )
        names = [name for name in (architecture, method_label(method)) if name]
        text = "\n".join(literal(name, 24) for name in names) or "shared"
        middle = (first + height / 2) * _LINE
        ax.text(0.1, middle, text, va="center", fontsize=8, color=INK, linespacing=1.3)


def _edge(ax: Axes, source: tuple[float, float], target: tuple[float, float]) -> None:
    start = (source[0] + _BOX[0] / 2, source[1])
    far = target[0] - source[0] > 1.5 * _PITCH
    # A long line would run under the boxes between its ends, so it comes in from above or below,
    # and it is paler, so that the short ones can be followed.
    if far:
        side = -1 if source[1] <= target[1] else 1
        end = (target[0] - _BOX[0] / 4, target[1] + side * _BOX[1] / 2)
        height = end[1] + side * 0.1
        bends = [(start[0] + _PITCH / 2, height), (end[0] - _PITCH / 2, height)]
    else:
        end = (target[0] - _BOX[0] / 2, target[1])
        middle = (start[0] + end[0]) / 2
        bends = [(middle, start[1]), (middle, end[1])]
    path = Path([start, *bends, end], [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4])
    alpha = 0.45 if far else 0.85
    ax.add_patch(
        PathPatch(path, facecolor="none", edgecolor=GREY, linewidth=0.8, alpha=alpha, zorder=1)
    )


def _box(ax: Axes, stage: StageRow, centre: tuple[float, float], colour: str) -> None:
    box = FancyBboxPatch(
        (centre[0] - _BOX[0] / 2, centre[1] - _BOX[1] / 2),
        *_BOX,
        boxstyle="round,pad=0,rounding_size=0.06",
        facecolor=colour,
        edgecolor="#ffffff" if stage.cached else GREY,
        hatch="////" if stage.cached else None,
        linewidth=0.8,
        zorder=2,
    )
    ax.add_patch(box)
    ax.text(
        *centre,
        literal(short_name(stage), 20),
        ha="center",
        va="center",
        fontsize=6.5,
        color=INK,
        zorder=3,
    )
