"""The hardest samples as pictures: what the network keeps forgetting."""

from __future__ import annotations

import io
from collections.abc import Iterable

from matplotlib.figure import Figure
from PIL import Image, UnidentifiedImageError

from prac.report.figures.style import GREY, INK, literal
from prac.results import HardSample, Results

NUM_SHOWN = 24
"""Samples shown for each architecture; the CSV file has all."""

_COLUMNS = 8
_CELL = 1.4


def gallery(results: Results) -> Figure:
    """A grid of the hardest samples by architecture: label and forgetting under each."""
    groups = hardest_by_architecture(results.hardest)
    lines = sum(-(-len(samples) // _COLUMNS) for samples in groups.values())
    height = lines * (_CELL + 0.3) + 0.35 * len(groups) + 0.5
    figure = Figure(figsize=(_COLUMNS * _CELL + 0.2, height), facecolor="white")
    title = "The samples that were hardest to learn"
    figure.text(0.01, 1 - 0.3 / height, title, fontsize=12, fontweight="bold", color=INK)
    top = height - 0.5
    for architecture, samples in groups.items():
        figure.text(0.01, (top - 0.25) / height, literal(architecture), fontsize=10, color=INK)
        top -= 0.35
        for place, sample in enumerate(samples):
            column = place % _COLUMNS
            if place and column == 0:
                top -= _CELL + 0.3
            _tile(figure, sample, 0.1 + column * _CELL, top - _CELL + 0.25, height)
        top -= _CELL + 0.3
    return figure


def hardest_by_architecture(hardest: Iterable[HardSample]) -> dict[str, list[HardSample]]:
    """The first `NUM_SHOWN` samples of each architecture, in their order."""
    groups: dict[str, list[HardSample]] = {}
    for sample in hardest:
        group = groups.setdefault(sample.architecture, [])
        if len(group) < NUM_SHOWN:
            group.append(sample)
    return groups


def hardness(sample: HardSample) -> str:
    """How hard, in words: `forgotten 7 of 18` presentations, or `never learned`."""
    if sample.never_learned:
        return "never learned"
    return f"forgotten {sample.forgotten} of {sample.presentations}"


def _tile(figure: Figure, sample: HardSample, left: float, bottom: float, height: float) -> None:
    width, side = _COLUMNS * _CELL + 0.2, _CELL - 0.3
    ax = figure.add_axes((left / width, bottom / height, side / width, side / height))
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_color("#bbbbbb")
    # A damaged picture must not cost the report of a run that took hours.
    try:
        image = Image.open(io.BytesIO(sample.png)).convert("RGB")
    except (UnidentifiedImageError, OSError):
        ax.text(0.5, 0.5, "unreadable\nimage", ha="center", va="center", fontsize=7, color=GREY)
    else:
        ax.imshow(image, interpolation="nearest" if max(image.size) < 100 else "antialiased")
    ax.text(
        0, -0.05, literal(sample.label, 18), transform=ax.transAxes, va="top", fontsize=8, color=INK
    )
    ax.text(0, -0.2, hardness(sample), transform=ax.transAxes, va="top", fontsize=6.5, color=GREY)
