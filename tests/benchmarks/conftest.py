"""What the tests of several programs share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="module")
def patterns(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of noisy 12x12 images, as class folders."""
    folder, random = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    patterns = random.integers(0, 256, (3, 12, 12, 3))
    for part, count in (("train", 60), ("test", 8)):
        for label, pattern in enumerate(patterns):
            place = folder / part / f"class-{label}"
            place.mkdir(parents=True)
            for number in range(count):
                pixels = np.clip(pattern + random.normal(0, 120, pattern.shape), 0, 255)
                Image.fromarray(pixels.astype(np.uint8)).save(place / f"{number}.png")
    return folder
