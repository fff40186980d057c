"""Figures of a report: one function a figure, from results to a matplotlib `Figure`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.figure import Figure

from prac.report.figures.accuracy import accuracy
from prac.report.figures.cost import cost
from prac.report.figures.distance import mask_distances
from prac.report.figures.encode import to_png, to_svg
from prac.report.figures.gallery import gallery
from prac.report.figures.graph import stage_graph
from prac.report.figures.sets import searches_with_parts, set_sizes
from prac.results import Results

__all__ = [
    "Drawing",
    "accuracy",
    "cost",
    "drawings",
    "gallery",
    "mask_distances",
    "set_sizes",
    "stage_graph",
    "to_png",
    "to_svg",
]


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """One figure of a report: its file name, what it shows, how to read it.

    wide: may be wider than a page and is then scrolled.
    """

    name: str
    alt: str
    caption: str
    draw: Callable[[Results], Figure]
    wide: bool = False


ACCURACY = Drawing(
    name="accuracy",
    alt="Line chart: accuracy of tickets over the share of weights removed",
    caption="Marked points are tickets that were trained alone and tested; the nearer to the "
    "dashed line (the dense model), the less was lost. Thin lines are validation accuracies "
    "within the search: they guide, the marked points decide.",
    draw=accuracy,
)
COST = Drawing(
    name="cost",
    alt="Bar chart: SGD steps of each round by method",
    caption="Each group of bars is one round of the search; the shorter the bar, the cheaper the "
    "round.",
    draw=cost,
)
SETS = Drawing(
    name="sets",
    alt="Stacked bar chart: size and parts of the critical set over the rounds",
    caption="Each bar is the set that a round trains on, as a share of all training samples: CET "
    "are samples that were forgotten or never learned, CEP those on which the pruned and the dense "
    "model disagree.",
    draw=set_sizes,
)
DISTANCES = Drawing(
    name="distances",
    alt="Line chart: distance between consecutive tentative masks by epoch",
    caption="Each line is one round; where it stays below the dashed line the mask has settled and "
    "training longer would hardly change which weights are pruned.",
    draw=mask_distances,
)
GALLERY = Drawing(
    name="gallery",
    alt="Grid of pictures: the samples that were hardest to learn",
    caption="The samples of the first round that were never learned or forgotten most often; look "
    "for wrong labels and for pictures that you could not tell apart either.",
    draw=gallery,
)
GRAPH = Drawing(
    name="graph",
    alt="Graph of the stages: what was computed from what",
    caption="Each box is one stage, each line hands a result to the right; hatched boxes were "
    "found finished and not computed again.",
    draw=stage_graph,
    wide=True,
)


def drawings(results: Results) -> list[Drawing]:
    """The figures for which the results have data, in the order of the report."""
    present = (
        (ACCURACY, bool(results.rows)),
        (COST, any(row.trained for row in results.rows)),
        (SETS, bool(searches_with_parts(results))),
        (DISTANCES, bool(results.distances)),
        (GALLERY, bool(results.hardest)),
        (GRAPH, bool(results.stages)),
    )
    return [drawing for drawing, has_data in present if has_data]
