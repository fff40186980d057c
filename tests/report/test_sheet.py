"""A sheet of samples: a tile for each image, at its place, with its pixels."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from prac.analysis.results import HardSample
from prac.report.figures.sheet import COLUMNS, GAP, TEXT, TILE, sheet


def sample(shade: int, *, shown: bool = True) -> HardSample:
    buffer = io.BytesIO()
    Image.fromarray(np.full((8, 8), shade, np.uint8)).save(buffer, "PNG")
    return HardSample(
        architecture="resnet8",
        sample_id=shade,
        label="a class with a long name",
        presentations=3,
        forgotten=1,
        never_learned=False,
        mean_margin=0.5,
        png=buffer.getvalue() if shown else b"",
        inside=True,
        reason="forgotten",
    )


def test_tiles_are_at_their_places() -> None:
    shades = [10 * n for n in range(COLUMNS + 2)]
    samples = [sample(shade) for shade in shades]
    samples.insert(3, sample(255, shown=False))
    picture = np.asarray(Image.open(io.BytesIO(sheet(samples))))
    assert picture.shape == (2 * (TILE + TEXT + GAP) + GAP, COLUMNS * (TILE + GAP) + GAP, 3)
    for place, shade in enumerate(shades):
        row, column = divmod(place, COLUMNS)
        top, left = GAP + row * (TILE + TEXT + GAP), GAP + column * (TILE + GAP)
        assert (picture[top : top + TILE, left : left + TILE] == shade).all()
        # Something is written under it.
        assert (picture[top + TILE : top + TILE + TEXT, left : left + TILE] < 128).any()


def test_one_sample_is_as_wide_as_itself() -> None:
    assert Image.open(io.BytesIO(sheet([sample(7)]))).width == TILE + 2 * GAP
