"""Figures hold the numbers of the results: read back from their axes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from prac.report.figures import (
    accuracy,
    cost,
    drawings,
    gallery,
    mask_distances,
    set_sizes,
    stage_graph,
    to_png,
    to_svg,
)
from prac.report.figures.graph import short_name
from prac.report.figures.layout import lay_out
from prac.report.figures.style import literal, method_styles
from prac.results import Results, RoundRow, StageRow


def test_accuracy_lines(results: Results) -> None:
    figure = accuracy(results)
    axes = [ax for ax in figure.axes if ax.get_title(loc="left")]
    assert [ax.get_title(loc="left") for ax in axes] == ["resnet8", "resnet20s", "vgg16"]
    lines = _lines(axes[0])
    assert _points(lines["test:prac"]) == [(2, 91.9), (5, 91.4), (8, 88.0)]
    assert len(_points(lines["validation:vanilla"])) == 8
    assert lines["dense"].get_ydata()[0] == pytest.approx(92.0)
    assert lines["test:prac"].get_color() == method_styles(results)["prac"].colour
    ticks = [label.get_text() for label in axes[0].get_xticklabels()]
    assert ticks == ["0", "20", "36", "48.8", "59", "67.2", "73.8", "79", "83.2"]


def test_many_rounds_name_some_ticks(
    row: Callable[..., RoundRow], build: Callable[..., Results]
) -> None:
    rows = tuple(row("a", "vanilla", k) for k in range(9)) + tuple(
        dataclasses.replace(row("a", "vanilla", 8), round=k) for k in range(9, 17)
    )
    assert len(accuracy(build(rows=rows)).axes[0].get_xticklabels()) == 9


def test_cost_bars_and_words(results: Results) -> None:
    ax = cost(results).axes[0]
    bars = {c.get_label(): [patch.get_height() for patch in c] for c in ax.containers}
    assert bars["prac"] == [1000] + [400] * 7
    assert bars["vanilla"] == [1000] * 8
    assert any("52 % saved" in text.get_text() for text in ax.texts)


def test_set_parts_add_up(results: Results) -> None:
    ax = set_sizes(results).axes[0]
    heights = {c.get_label(): [patch.get_height() for patch in c] for c in ax.containers}
    # Round 1: 24,168 of 45,000; CET 23,168, CEP 4,000, both 3,000.
    assert heights["CET only"][1] == pytest.approx(100 * 20_168 / 45_000)
    assert heights["both"][1] == pytest.approx(100 * 3_000 / 45_000)
    assert heights["CEP only"][1] == pytest.approx(100 * 1_000 / 45_000)
    assert sum(parts[1] for parts in heights.values()) == pytest.approx(100 * 24_168 / 45_000)
    assert sum(parts[0] for parts in heights.values()) == pytest.approx(100)


def test_distance_lines_and_tolerance(results: Results) -> None:
    lines = _lines(mask_distances(results).axes[0])
    assert set(lines) == {"tolerance"} | {f"round:{k}" for k in range(8)}
    wanted = [
        (r.epoch, r.distance)
        for r in results.distances
        if (r.architecture, r.round) == ("resnet8", 3)
    ]
    assert _points(lines["round:3"]) == wanted
    assert lines["tolerance"].get_ydata()[0] == 0.08


def test_no_tolerance_no_line(results: Results) -> None:
    lines = _lines(mask_distances(dataclasses.replace(results, tolerance=None)).axes[0])
    assert "tolerance" not in lines


def test_gallery_shows_pictures_and_survives_damaged_ones(results: Results) -> None:
    damaged = dataclasses.replace(results.hardest[0], png=b"no picture")
    shown = dataclasses.replace(results, hardest=(damaged, *results.hardest[1:5]))
    figure = gallery(shown)
    assert [len(ax.images) for ax in figure.axes] == [0, 1, 1, 1, 1]
    texts = [text.get_text() for ax in figure.axes for text in ax.texts]
    assert {"unreadable\nimage", "never learned", "forgotten 8 of 18", "cat"} <= set(texts)


def test_layout_puts_every_stage_right_of_its_inputs(results: Results) -> None:
    layout = lay_out(results.stages)
    assert all(layout.columns[a] < layout.columns[b] for a, b in layout.edges)
    places = list(zip(layout.columns, layout.lines, strict=True))
    assert len(set(places)) == len(results.stages)
    assert layout.lanes[0][0] == ("", "")
    assert layout.lanes[1][0] == ("resnet8", "dense")


def test_layout_takes_the_longest_path() -> None:
    stages = [_stage("d", "b", "a"), _stage("a"), _stage("b", "c"), _stage("c", "a")]
    assert lay_out(stages).columns == (3, 0, 2, 1)


def test_layout_of_unknown_inputs_and_circles() -> None:
    assert lay_out([_stage("a", "elsewhere")]).edges == ()
    assert lay_out([_stage("a"), _stage("b", "c"), _stage("c", "b")]).columns[0] == 0


def test_stage_names_leave_out_what_the_lane_tells() -> None:
    stage = dataclasses.replace(_stage("net/prac/round 3"), architecture="net", method="prac")
    assert short_name(stage) == "round 3"
    assert short_name(dataclasses.replace(stage, name="net/prac")) == "train"


def test_graph_draws_every_stage(results: Results) -> None:
    figure = stage_graph(results)
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts.count("round 1") == 9
    hatched = [patch for patch in figure.axes[0].patches if patch.get_hatch()]
    assert len(hatched) == 3


def test_unknown_methods_get_colours_of_their_own(
    row: Callable[..., RoundRow], build: Callable[..., Results]
) -> None:
    styles = method_styles(build(rows=tuple(row("a", m, 0) for m in ("zeta", "prac", "alpha"))))
    assert list(styles) == ["prac", "alpha", "zeta", "dense"]
    assert len({style.colour for style in styles.values()}) == 4


def test_dollars_are_no_formulas(
    row: Callable[..., RoundRow], build: Callable[..., Results]
) -> None:
    assert literal("$x_{$\n") == r"\$x_{\$ "
    results = build(rows=(row("$\\frac{$", "$m^$", 0),), stages=(_stage("$a{$"),))
    for drawing in drawings(results):
        to_png(drawing.draw(results))


def test_one_round_and_nothing_else(
    row: Callable[..., RoundRow], build: Callable[..., Results]
) -> None:
    results = build(rows=(row("a", "prac", 0),))
    assert [drawing.name for drawing in drawings(results)] == ["accuracy", "cost"]
    assert drawings(build()) == []


def test_svg_is_the_same_each_time_and_its_ids_are_its_own(results: Results) -> None:
    first, second = to_svg(cost(results), "cost"), to_svg(cost(results), "cost")
    assert first == second
    assert first.startswith("<svg")
    assert first.endswith("</svg>")
    assert "<!--" not in first
    assert "<metadata" not in first
    assert 'id="cost-0"' in first


def test_figures_can_be_drawn_in_threads(results: Results) -> None:
    with ThreadPoolExecutor(4) as pool:
        drawn = list(pool.map(lambda _: to_svg(accuracy(results), "a"), range(4)))
    assert len(set(drawn)) == 1


def _lines(ax: Axes) -> dict[str, Line2D]:
    return {str(line.get_gid()): line for line in ax.lines if line.get_gid()}


def _points(line: Line2D) -> list[tuple[float, float]]:
    return [
        (float(x), pytest.approx(float(y)))
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
    ]


def _stage(name: str, *inputs: str) -> StageRow:
    return StageRow(
        name=name,
        kind="train",
        architecture="",
        method="",
        inputs=inputs,
        cached=False,
        steps=1,
        seconds=1.0,
    )
