"""A sheet of small samples as one picture: quick to make, for every round of every network."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw

from prac.analysis.results import HardSample
from prac.report.figures.gallery import membership

COLUMNS, TILE, GAP, TEXT = 8, 96, 8, 28
"""Tiles in a row; pixels of a tile's side, between tiles, and for the two lines under each."""

_LETTERS = 17


def sheet(samples: Sequence[HardSample]) -> bytes:
    """Samples with images as a PNG: class, and why it is in the set, under each. Needs one."""
    shown = [sample for sample in samples if sample.png]
    rows = -(-len(shown) // COLUMNS)
    width = min(len(shown), COLUMNS) * (TILE + GAP) + GAP
    picture = Image.new("RGB", (width, rows * (TILE + TEXT + GAP) + GAP), "white")
    draw = ImageDraw.Draw(picture)
    for place, sample in enumerate(shown):
        row, column = divmod(place, COLUMNS)
        left, top = GAP + column * (TILE + GAP), GAP + row * (TILE + TEXT + GAP)
        image = Image.open(io.BytesIO(sample.png)).convert("RGB")
        # Pixels stay visible: these images are small.
        picture.paste(image.resize((TILE, TILE), Image.Resampling.NEAREST), (left, top))
        for line, text in enumerate((sample.label, membership(sample))):
            draw.text((left, top + TILE + 2 + 12 * line), text[:_LETTERS], fill="black")
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()
