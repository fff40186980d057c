"""Figures hold the numbers of the results: read back from their axes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from prac.analysis.results import Results, RoundRow, StageRow
from prac.report.compare import SEED_NOISE_POINTS
from prac.report.figures import (
    accuracy,
    accuracy_at_steps,
    class_shares,
    cost,
    drawings,
    gallery,
    mask_distances,
    mask_overlaps,
    set_sizes,
    stage_graph,
    to_png,
    to_svg,
    validation,
)
from prac.report.figures.graph import drawn_stages, short_name
from prac.report.figures.layout import lay_out
from prac.report.figures.sets import PALE
from prac.report.figures.style import literal, method_styles, views
from prac.report.grids import set_grids
from prac.report.verdict import verdicts


def test_accuracy_lines(results: Results) -> None:
    figure = accuracy(results)
    axes = [ax for ax in figure.axes if ax.get_title(loc="left")]
    assert [ax.get_title(loc="left") for ax in axes] == ["resnet8", "resnet20s", "vgg16"]
    lines = _lines(axes[0])
    assert _points(lines["test:prac"]) == [(36.0, 91.9), (67.23, 91.4), (83.22, 88.0)]
    assert lines["dense"].get_ydata()[0] == pytest.approx(92.0)
    assert lines["test:prac"].get_color() == method_styles(results)["prac"].colour


def test_bands_are_one_deviation(row: Callable[..., RoundRow], build: Callable[..., Results]):
    rows = tuple(row("a", "prac", k, test=(0.90, 0.92, 0.91 + k / 100)) for k in (1, 2))
    ax = accuracy(build(rows=rows)).axes[0]
    lines = _lines(ax)
    # 90, 92, 92: mean 91.333, squares 1.78 + 0.44 + 0.44 over two, root 1.155. 90, 92, 93: 91.667.
    assert _points(lines["test:prac"]) == [(20.0, 274 / 3), (36.0, 275 / 3)]
    (band,) = [c for c in ax.collections if c.get_gid() == "std:prac"]
    heights = sorted(
        {round(float(y), 3) for x, y in band.get_paths()[0].vertices if abs(x - 20) < 1e-6}
    )
    assert heights == pytest.approx([91.333 - 1.155, 91.333 + 1.155], abs=0.002)


def test_a_single_point_has_bars_since_a_band_would_have_no_width(
    row: Callable[..., RoundRow], build: Callable[..., Results]
) -> None:
    results = build(rows=(row("a", "prac", 1, test=(0.90, 0.92, 0.92)),))
    ax = accuracy_at_steps(results).axes[0]
    (bars,) = [c for c in ax.collections if c.get_gid() == "std:prac"]
    ((_, low), (_, high)) = bars.get_segments()[0]
    assert (low, high) == pytest.approx((91.333 - 1.155, 91.333 + 1.155), abs=0.002)


def test_easy_samples_stand_on_the_critical_ones(
    row: Callable[..., RoundRow], build: Callable[..., Results]
) -> None:
    plain = row("a", "prac", 1)
    mixed = dataclasses.replace(row("a", "prac", 2), set_size=row("a", "prac", 2).set_size + 4500)
    (ax,) = set_sizes(build(rows=(plain, mixed))).axes
    bars = {c.get_label(): c for c in ax.containers}["easy, drawn beside them"]
    assert [bar.get_height() for bar in bars] == pytest.approx([0, 10])
    (legend,) = set_sizes(build(rows=(plain, mixed))).legends
    told = [text.get_text() for text in legend.get_texts()]
    assert told == ["CET only", "both", "CEP only", "easy, drawn beside them"]


def test_validation_by_round_stands_apart_from_the_test_of_tickets(
    row: Callable[..., RoundRow], build: Callable[..., Results]
) -> None:
    rows = (*(row("a", "prac", k) for k in range(3)), row("a", "prac", 3, test=0.9))
    results = build(rows=rows)
    lines = _lines(validation(results).axes[0])
    # 0.93 - 0.003 a round; 20 % of what is left goes each time.
    assert _points(lines["validation:prac"]) == [(0, 93), (20, 92.7), (36, 92.4), (48.8, 92.1)]
    assert set(_lines(accuracy(results).axes[0])) == {"test:prac"}


def test_the_ring_is_around_the_ticket_to_take(
    row: Callable[..., RoundRow], build: Callable[..., Results]
) -> None:
    rows = (row("a", "random-subset", 3, test=0.93), row("a", "rs2", 3, test=0.90))
    results = build(rows=rows, dense_test_accuracy={"a": 0.915})
    (ax,) = accuracy_at_steps(results).axes
    assert _points(_lines(ax)["take"]) == [(rows[0].search_steps, 93)]
    assert [text.get_text() for text in ax.texts if "removed" in text.get_text()] == [
        "take: 48.8 % removed"
    ]


def test_where_no_ticket_is_to_be_taken_the_one_of_the_answer_is_named(results: Results) -> None:
    for ax, verdict in zip(accuracy_at_steps(results).axes, verdicts(results), strict=True):
        assert verdict.shown is not None
        assert ("take" in _lines(ax)) == (verdict.take is not None)
        (words,) = (text for text in ax.texts if "removed" in text.get_text())
        assert words.get_text().startswith("take: ") == (verdict.take is not None)
        # Words beside the last mark of a line lie within the panel, too.
        box = words.get_window_extent()
        assert ax.bbox.x0 <= box.x0
        assert box.x1 <= ax.bbox.x1


@pytest.mark.parametrize("below", [0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.9, -0.1, -0.3])
def test_words_do_not_lie_on_the_dense_line_nor_the_last_mark_on_the_edge(
    row: Callable[..., RoundRow], build: Callable[..., Results], below: float
) -> None:
    rows = (row("a", "prac", 3, test=0.9047), row("a", "random-subset", 3, test=0.8945))
    later = dataclasses.replace(rows[1], search_steps=round(1.2 * rows[0].search_steps))
    results = build(rows=(rows[0], later), dense_test_accuracy={"a": 0.9047 - below / 100})
    figure = accuracy_at_steps(results)
    (ax,) = figure.axes
    figure.canvas.draw()
    (words,) = (text for text in ax.texts if "removed" in text.get_text())
    _, dense = ax.transData.transform((0, 90.47 - below))
    box = words.get_window_extent()
    assert not box.y0 <= dense <= box.y1
    at, _ = (ax.transScale + ax.transLimits).transform((later.search_steps, 90))
    assert at <= 0.97


@pytest.mark.parametrize(("seeds", "bands"), [(1, 1), (2, 0)])
def test_what_one_seed_cannot_tell_from_dense_is_grey(
    row: Callable[..., RoundRow], build: Callable[..., Results], seeds: int, bands: int
) -> None:
    rows = tuple(
        dataclasses.replace(row("a", method, 3), test_accuracies=(0.9,) * seeds)
        for method in ("prac", "vanilla")
    )
    results = dataclasses.replace(build(rows=rows), dense_test_accuracies={"a": (0.92,) * seeds})
    drawn = [patch for patch in accuracy_at_steps(results).axes[0].patches if patch.get_gid()]
    assert [patch.get_gid() for patch in drawn] == ["noise"] * bands
    edges = [(p.get_y(), p.get_y() + p.get_height()) for p in drawn]
    assert edges == [pytest.approx((92 - SEED_NOISE_POINTS, 92 + SEED_NOISE_POINTS))] * bands


def test_accuracy_over_steps(results: Results) -> None:
    lines = _lines(accuracy_at_steps(results).axes[0])
    assert _points(lines["test:prac"]) == [(1400, 91.9), (2600, 91.4), (3800, 88.0)]
    assert _points(lines["test:vanilla"]) == [(2000, 92.1), (5000, 91.8), (8000, 91.5)]


def test_many_rounds_name_some_ticks(
    row: Callable[..., RoundRow], build: Callable[..., Results]
) -> None:
    rows = tuple(row("a", "vanilla", k) for k in range(9)) + tuple(
        dataclasses.replace(row("a", "vanilla", 8), round=k) for k in range(9, 17)
    )
    assert len(cost(build(rows=rows)).axes[0].get_xticklabels()) == 9


def test_what_is_said_over_a_panel_of_costs_fits_it(
    row: Callable[..., RoundRow], build: Callable[..., Results]
) -> None:
    rows = tuple(
        dataclasses.replace(row(net, "prac", 3), seconds_saved=time, steps_saved=steps)
        for net, steps, time in (("a", 0.82, 0.62), ("b", -0.25, -0.1), ("c", 0.5, None))
    )
    drawn = cost(build(rows=rows))
    drawn.canvas.draw()
    said = ["PrAC: 82 % fewer steps, 62 % less time", "PrAC: 25 % more steps, 10 % more time"]
    for ax, words in zip(drawn.axes, [*said, "PrAC: 50 % fewer steps"], strict=True):
        (text,) = (each for each in ax.texts if each.get_text().replace("\u00a0", " ") == words)
        box, panel = text.get_window_extent(), ax.get_window_extent()
        assert box.x1 <= panel.x1
        assert box.x0 >= panel.x0


def test_cost_lines_and_words(results: Results) -> None:
    ax = cost(results).axes[0]
    lines = _lines(ax)
    steps = [0, *range(1000, 4000, 400)]
    assert _points(lines["steps:prac"]) == [(k, paid) for k, paid in enumerate(steps)]
    assert _points(lines["steps:vanilla"]) == [(k, 1000 * k) for k in range(9)]
    assert any("52 % fewer steps" in text.get_text() for text in ax.texts)


def test_set_parts_add_up(results: Results) -> None:
    ax = set_sizes(results).axes[0]
    heights = {c.get_label(): [patch.get_height() for patch in c] for c in ax.containers}
    # Round 1: 24,168 of 45,000; CET 23,168, CEP 4,000, both 3,000.
    assert heights["CET only"][1] == pytest.approx(100 * 20_168 / 45_000)
    assert heights["both"][1] == pytest.approx(100 * 3_000 / 45_000)
    assert heights["CEP only"][1] == pytest.approx(100 * 1_000 / 45_000)
    assert sum(parts[1] for parts in heights.values()) == pytest.approx(100 * 24_168 / 45_000)
    assert sum(parts[0] for parts in heights.values()) == pytest.approx(100)
    # The set after the last round is made, and nothing is trained on it.
    assert [[patch.get_alpha() for patch in c] for c in ax.containers] == [
        [None] * 8 + [PALE] for _ in ax.containers
    ]
    assert set_grids(results)[0].columns[-1] == "83.2, not trained on"


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
    assert [len(ax.images) for ax in figure.axes] == [4]
    texts = [text.get_text() for ax in figure.axes for text in ax.texts]
    assert {"unreadable\nimage", "never learned", "forgotten 8 of 18", "cat"} <= set(texts)


def test_mask_lines_and_matrix(crowd: Results) -> None:
    left, right = mask_overlaps(crowd).axes[:2]
    row = next(
        m
        for m in crowd.masks
        if (m.architecture, m.method, m.other, m.round) == ("resnet20s", "vanilla", "snip", 8)
    )
    lines = _lines(left)
    assert dict(_points(lines["overlap:snip"]))[8] == pytest.approx(100 * row.overlap)
    assert dict(_points(lines["chance"]))[8] == pytest.approx(100 * 0.8**8)
    assert "overlap:vanilla" not in lines
    cells = np.asarray(right.images[0].get_array())
    assert cells.shape == (17, 17)
    np.testing.assert_allclose(cells, cells.T)
    np.testing.assert_allclose(np.diag(cells), 100)


def test_classes_are_a_row_each_and_rounds_a_column(crowd: Results) -> None:
    ax = class_shares(crowd).axes[0]
    (search,) = {(c.architecture, c.method) for c in crowd.classes if c.label == "cat"} & {
        (crowd.classes[0].architecture, "prac")
    }
    shares = {
        (c.label, c.round): c.share for c in crowd.classes if (c.architecture, c.method) == search
    }
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert set(names) == {label for label, _ in shares}
    drawn, rounds = ax.images[0].get_array(), sorted({k for _, k in shares})
    assert drawn[names.index("cat"), rounds.index(5)] == pytest.approx(10 * shares["cat", 5])
    # The hardest of the last round on top.
    last = [shares[name, rounds[-1]] for name in names]
    assert last == sorted(last, reverse=True)


def test_of_many_classes_the_outermost_are_named(crowd: Results) -> None:
    many = tuple(
        dataclasses.replace(c, label=f"{c.label}{copy}", share=c.share + copy / 1000)
        for c in crowd.classes
        for copy in range(10)
        if c.architecture == "vgg16"
    )
    ax = class_shares(dataclasses.replace(crowd, classes=many)).axes[0]
    named = {label.get_text() for label in ax.get_yticklabels()} & {c.label for c in many}
    assert len(named) == len(ax.images[0].get_array()) == 20


def test_a_dozen_methods_go_to_several_panels(crowd: Results) -> None:
    shown = views(crowd)
    assert [v.note for v in shown if v.architecture == "vgg16"] == [
        "other samples (1 of 2)",
        "other samples (2 of 2)",
        "other weights",
    ]
    assert all(v.methods[:2] == ("prac", "vanilla") and len(v.methods) <= 8 for v in shown)
    for architecture in ("resnet20s", "vgg16"):
        met = [m for v in shown if v.architecture == architecture for m in v.methods[2:]]
        assert sorted([*met, "prac", "vanilla"]) == sorted({row.method for row in crowd.rows})


def test_no_two_methods_look_the_same(crowd: Results) -> None:
    styles = method_styles(crowd)
    looks = [(style.colour, style.marker) for style in styles.values()]
    assert len(set(looks)) == len(looks) == 18


def test_a_large_graph_is_drawn_in_part(crowd: Results) -> None:
    drawn, title = drawn_stages(crowd.stages)
    assert len(drawn) <= 150
    assert f"{len(drawn)} of {len(crowd.stages)} stages" in title
    assert {stage.architecture for stage in drawn} == {"resnet20s"}
    names = {stage.name for stage in drawn}
    assert "judge:resnet20s:prac:1 x3" in names
    ticket = next(stage for stage in drawn if stage.name == "ticket:resnet20s:prac:1")
    assert ticket.inputs == ("judge:resnet20s:prac:1 x3",)


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
    assert [drawing.name for drawing in drawings(results)] == ["validation", "cost"]
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
        (round(float(x), 2), pytest.approx(float(y)))
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
