"""Training samples as pictures: never learned, most forgotten, inside and outside the set."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image, UnidentifiedImageError

from prac.analysis.results import HardSample, Results
from prac.report.figures.style import GREY, INK, literal

_COLUMNS = 8
_CELL = 1.4

Groups = Mapping[str, Sequence[HardSample]]


def gallery(results: Results) -> Figure:
    """A grid of the samples forgotten most often by architecture: label and forgets under each."""
    return _grid("The samples that were forgotten most often", hard_groups(results), hardness)


def never_learned_gallery(results: Results) -> Figure:
    """A grid of the samples that were never predicted right, with what the network says."""
    return _grid("The samples that were never learned", never_groups(results), doubt)


def set_gallery(results: Results) -> Figure:
    """Samples drawn from inside the last set, and from outside."""
    return _grid("Samples inside and outside the last set", set_groups(results), membership)


def hard_groups(results: Results) -> Groups:
    """The most forgotten samples with images, by architecture."""
    return _groups(results.hardest, lambda sample: sample.architecture)


def never_groups(results: Results) -> Groups:
    """The never-learned samples with images, by architecture; those that the trained network is
    still wrong on, before the others."""

    def name(sample: HardSample) -> str:
        after = "right after training" if _right(sample) else "still wrong after training"
        return sample.architecture + ("" if sample.predicted is None else f", {after}")

    order = dict.fromkeys(sample.architecture for sample in results.never_learned)
    places = {architecture: place for place, architecture in enumerate(order)}
    told = sorted(results.never_learned, key=lambda s: (places[s.architecture], _right(s)))
    return _groups(told, name)


def set_groups(results: Results) -> Groups:
    """The samples with images, by architecture and side."""
    return _groups(
        results.samples,
        lambda sample: f"{sample.architecture}, {'inside' if sample.inside else 'outside'} the set",
    )


def _groups(samples: Iterable[HardSample], name: Callable[[HardSample], str]) -> Groups:
    groups: dict[str, list[HardSample]] = {}
    for sample in samples:
        if sample.png:
            groups.setdefault(name(sample), []).append(sample)
    return groups


def hardness(sample: HardSample) -> str:
    """How hard, in words: `forgotten 7 of 18` presentations, or `never learned`."""
    if sample.never_learned:
        return "never learned"
    if not sample.forgotten:
        return "never forgotten"
    return f"forgotten {sample.forgotten} of {sample.presentations}"


def doubt(sample: HardSample) -> str:
    """What the network says of a sample that it never learned."""
    if sample.predicted is None:
        return "never learned"
    return "right after training" if _right(sample) else f"seen as {sample.predicted}"


def _right(sample: HardSample) -> bool:
    return sample.predicted == sample.label


def membership(sample: HardSample) -> str:
    """Why a sample is in the set; outside, how it was learned."""
    return sample.reason if sample.inside else hardness(sample)


def _grid(title: str, groups: Groups, under: Callable[[HardSample], str]) -> Figure:
    lines = sum(-(-len(samples) // _COLUMNS) for samples in groups.values())
    height = lines * (_CELL + 0.3) + 0.35 * len(groups) + 0.5
    width = _COLUMNS * _CELL + 0.2
    figure = Figure(figsize=(width, height), facecolor="white")
    figure.text(0.01, 1 - 0.3 / height, title, fontsize=12, fontweight="bold", color=INK)
    # One plane in inches for all pictures: a hundred of their own take seconds to draw.
    plane = figure.add_axes((0, 0, 1, 1), frameon=False, xticks=[], yticks=[])
    top = height - 0.5
    for name, samples in groups.items():
        figure.text(0.01, (top - 0.25) / height, literal(name), fontsize=10, color=INK)
        top -= 0.35
        for place, sample in enumerate(samples):
            column = place % _COLUMNS
            if place and column == 0:
                top -= _CELL + 0.3
            corner = (0.1 + column * _CELL, top - _CELL + 0.25)
            _tile(plane, sample, under(sample), corner)
        top -= _CELL + 0.3
    plane.set(xlim=(0, width), ylim=(0, height))
    return figure


def _tile(plane: Axes, sample: HardSample, under: str, corner: tuple[float, float]) -> None:
    side = _CELL - 0.3
    left, bottom = corner
    middle = (left + side / 2, bottom + side / 2)
    # A damaged picture must not cost the report of a run that took hours.
    try:
        image = Image.open(io.BytesIO(sample.png)).convert("RGB")
    except (UnidentifiedImageError, OSError):
        plane.text(*middle, "unreadable\nimage", ha="center", va="center", fontsize=7, color=GREY)
    else:
        longest = max(image.size)
        how = "nearest" if longest < 100 else "antialiased"
        across, up = (side / 2 * length / longest for length in image.size)
        plane.imshow(
            image,
            interpolation=how,
            extent=(middle[0] - across, middle[0] + across, middle[1] - up, middle[1] + up),
        )
    plane.add_patch(Rectangle(corner, side, side, fill=False, edgecolor="#bbbbbb", linewidth=0.8))
    label, reason = literal(sample.label, 18), literal(under, 24)
    plane.text(left, bottom - 0.05 * side, label, va="top", fontsize=8, color=INK)
    plane.text(left, bottom - 0.2 * side, reason, va="top", fontsize=6.5, color=GREY)
