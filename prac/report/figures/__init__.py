"""Figures of a report: one function a figure, from results to a matplotlib `Figure`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.figure import Figure

from prac.analysis.results import Results
from prac.report.figures.accuracy import accuracy, accuracy_at_steps, validation
from prac.report.figures.classes import class_shares
from prac.report.figures.cost import cost
from prac.report.figures.distance import mask_distances
from prac.report.figures.encode import to_png, to_svg
from prac.report.figures.gallery import gallery, never_learned_gallery, set_gallery
from prac.report.figures.graph import stage_graph
from prac.report.figures.masks import mask_overlaps
from prac.report.figures.sets import set_sizes
from prac.report.wording import searches_by_sets

__all__ = [
    "Drawing",
    "accuracy",
    "accuracy_at_steps",
    "class_shares",
    "cost",
    "drawings",
    "gallery",
    "mask_distances",
    "mask_overlaps",
    "never_learned_gallery",
    "set_gallery",
    "set_sizes",
    "stage_graph",
    "to_png",
    "to_svg",
    "validation",
]


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """One figure of a report: its file name, what it shows, how to read it.

    table: the CSV file with its numbers. wide: may be wider than a page and is then scrolled.
    pictures: a grid of images, which the page shows as such and not as a drawing.
    """

    name: str
    alt: str
    caption: str
    table: str
    draw: Callable[[Results], Figure]
    wide: bool = False
    pictures: bool = False


ACCURACY = Drawing(
    name="accuracy",
    alt="Line chart: accuracy of tickets over the share of weights removed",
    caption="Marked points are tickets that were tested, the mean over the seeds; "
    "bands and bars are one standard deviation. On or above the dashed line (the dense "
    "model) nothing was lost. Marks of one sparsity stand side by side to be told apart.",
    table="accuracy.csv",
    draw=accuracy,
)
VALIDATION = Drawing(
    name="validation",
    alt="Line chart: validation accuracy of each round's network over the share of weights removed",
    caption="Of the network that each round of a search leaves, which has seen the round's own set "
    "alone: it falls where sets are small. It says nothing about a ticket that is trained anew on "
    "everything; where weights go on, it is of the ticket as found.",
    table="rounds.csv",
    draw=validation,
)
COST = Drawing(
    name="cost",
    alt="Line chart: SGD steps to find a ticket over the share of weights removed",
    caption="How many SGD steps a search had paid when it had a ticket of that sparsity; the lower "
    "the line, the cheaper. Methods that cost the same lie on one line. A search is run once, so "
    "there are no bands.",
    table="rounds.csv",
    draw=cost,
)
AT_STEPS = Drawing(
    name="equal-steps",
    alt="Line chart: accuracy of tickets over the SGD steps that it took to find them",
    caption="Up and left is better: a mark is a ticket that was tested, at the SGD steps "
    "of its search; the one to take, where there is one, has a ring, the dashed line is the "
    "dense network.",
    table="equal_steps.csv",
    draw=accuracy_at_steps,
)
SETS = Drawing(
    name="sets",
    alt="Stacked bar chart: size and parts of the critical set over the rounds",
    caption="Each bar is the set that a round trains on, as a share of all training samples: CET "
    "are samples that were forgotten or never learned, CEP those on which the pruned and the dense "
    "model disagree, and where select.easy asks for them others are drawn beside both.",
    table="sets.csv",
    draw=set_sizes,
)
MASKS = Drawing(
    name="masks",
    alt="Line chart and matrix: how many live weights the masks of two methods have in common",
    caption="Of the weights that one method keeps, the share that the other keeps as well. The "
    "dotted line is what two masks drawn at random would share: the nearer to it, the less the "
    "methods agree on which weights matter. Of very large networks some rounds are compared.",
    table="masks.csv",
    draw=mask_overlaps,
)
CLASSES = Drawing(
    name="classes",
    alt="Heat map: share of each class in the set, against its share of the training data",
    caption="Of a class above 1 (orange) the set holds more than its share of the training data, "
    "that many times as much: its samples are harder, or pruning changes more of them. Classes "
    "stand in the order of the last round's set; of many the outermost are shown.",
    table="classes.csv",
    draw=class_shares,
)
DISTANCES = Drawing(
    name="distances",
    alt="Line chart: distance between consecutive tentative masks by epoch",
    caption="Each line is one round; where it stays below the dashed line the mask has settled and "
    "training longer would hardly change which weights are pruned. Of many methods the first three "
    "are drawn.",
    table="distances.csv",
    draw=mask_distances,
)
NEVER_LEARNED = Drawing(
    name="never-learned",
    alt="Grid of pictures: the samples that were never learned",
    caption="Samples that were not predicted right a single time while the first round trained, "
    "the most surely wrong first. A wrong label looks like those that the trained network is still "
    "wrong on: where its word fits the picture better than the label does, look at the label.",
    table="never_learned.csv",
    draw=never_learned_gallery,
    pictures=True,
)
GALLERY = Drawing(
    name="gallery",
    alt="Grid of pictures: the samples that were forgotten most often",
    caption="The samples of the first round that were learned and forgotten most often: pictures "
    "near the border between two classes.",
    table="hardest.csv",
    draw=gallery,
    pictures=True,
)
SAMPLES = Drawing(
    name="samples",
    alt="Grid of pictures: samples inside and outside the last set",
    caption="Drawn at random from the last PrAC set, with the reason why each is in it by the "
    "events of the round before, and from the samples that it leaves out.",
    table="samples.csv",
    draw=set_gallery,
    pictures=True,
)
GRAPH = Drawing(
    name="graph",
    alt="Graph of the stages: what was computed from what",
    caption="Each box is one stage, each line hands a result to the right; hatched boxes were "
    "found finished and not computed again. A ticket's judgements with several seeds are one box.",
    table="stages.csv",
    draw=stage_graph,
    wide=True,
)


def drawings(results: Results) -> list[Drawing]:
    """The figures for which the results have data, in the order of the report."""
    judged = any(row.test_accuracies and row.sparsity > 0 for row in results.rows)
    rounds = {row.round for row in results.rows if row.test_accuracies and row.sparsity > 0}
    present = (
        # Of one sparsity it would show nothing that the accuracies over steps don't.
        (ACCURACY, len(rounds) > 1),
        (VALIDATION, any(row.validation_accuracy for row in results.rows)),
        (COST, any(row.trained for row in results.rows)),
        (AT_STEPS, judged),
        (SETS, bool(searches_by_sets(results))),
        (MASKS, bool(results.masks)),
        (CLASSES, bool(results.classes)),
        (DISTANCES, bool(results.distances)),
        (NEVER_LEARNED, any(sample.png for sample in results.never_learned)),
        (GALLERY, bool(results.hardest)),
        (SAMPLES, bool(results.samples)),
        (GRAPH, bool(results.stages)),
    )
    return [drawing for drawing, has_data in present if has_data]
