"""The 1,797 handwritten digits that scikit-learn carries: 8x8, grey, no download."""

from __future__ import annotations

import gzip
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from prac.config.sections import DataConfig
from prac.data.dataset import DataSummary, ImageDataset, Origin
from prac.data.decode import convert_images, shape_after
from prac.data.findings import row_digests
from prac.data.splits import LabelledImages, assemble, split_options, summarise
from prac.errors import ConfigError
from prac.fingerprint import fingerprint

_WHITE = 16


class DigitsSource:
    """The digits; the test split is held out of them (`test_fraction`), in their own order."""

    name = "digits"

    def __init__(self, config: DataConfig) -> None:
        """Find the file. Raises ConfigError where scikit-learn isn't installed."""
        self.config = config
        self._file = _find_file()

    def summary(self) -> DataSummary:
        """Counts, classes and the shape of the images. Raises ConfigError for splits."""
        images, labels = self._digits
        return summarise(
            self,
            class_names=_class_names(),
            train_labels=labels,
            test_labels=None,
            image_shape=shape_after((8, 8, 1), self.config.image_size, self.config.channels),
            origin=Origin(test_from="made"),
            digests=(row_digests(images), None),
        )

    def fingerprint(self) -> str:
        """32 hexadecimal digits: the pixels, the labels and the options."""
        images, labels = self._digits
        options = split_options(self.config, makes_test=True)
        content = {"kind": "digits", "images": images, "labels": labels, "options": options}
        return fingerprint(content)

    def load(self) -> ImageDataset:
        """All digits, their 17 grey levels spread over 0 to 255."""
        images, labels = self._digits
        size, channels = self.config.image_size, self.config.channels
        return assemble(
            self,
            class_names=_class_names(),
            train=(convert_images(images, size=size, channels=channels), labels),
            test=None,
        )

    @cached_property
    def _digits(self) -> LabelledImages:
        with gzip.open(self._file, "rt") as lines:
            table = np.loadtxt(lines, delimiter=",", dtype=np.int64)
        levels = table[:, :-1].reshape(-1, 8, 8, 1)
        images = ((levels * 255 + _WHITE // 2) // _WHITE).astype(np.uint8)
        return images, np.ascontiguousarray(table[:, -1])


def _class_names() -> tuple[str, ...]:
    return tuple(str(digit) for digit in range(10))


def _find_file() -> Path:
    # Importing scikit-learn takes over a second; its folder is found without.
    package = find_spec("sklearn")
    for folder in (package.submodule_search_locations or ()) if package else ():
        file = Path(folder) / "datasets" / "data" / "digits.csv.gz"
        if file.is_file():
            return file
    raise ConfigError(
        "data set 'digits' comes with scikit-learn, which is not installed; "
        "allowed: pip install scikit-learn, or another data set"
    )
