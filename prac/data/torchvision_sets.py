"""CIFAR-10 and CIFAR-100 as torchvision downloads them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from prac.config.costs import KNOWN_DATA
from prac.config.sections import DataConfig
from prac.data.dataset import DataSummary, ImageDataset, Origin
from prac.data.decode import convert_images, shape_after
from prac.data.splits import LabelledImages, assemble, split_options, summarise
from prac.errors import ConfigError, unknown
from prac.fingerprint import fingerprint

# torchvision takes a second to import: the counts that a plan needs are known without.

DEFAULT_ROOT = Path("~/.cache/prac/torchvision")


@dataclass(frozen=True, kw_only=True)
class TorchvisionSet:
    """What is known of a set before it is downloaded, beside its row in KNOWN_DATA.

    md5: of the archive, as torchvision checks it.
    """

    factory: str
    md5: str
    class_names: tuple[str, ...]
    num_test: int = 10_000


_CIFAR10_CLASSES = "airplane automobile bird cat deer dog frog horse ship truck"
_CIFAR100_CLASSES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly
camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup
dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower
leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid
otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray
road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
wardrobe whale willow_tree wolf woman worm
"""

SETS = {
    "cifar10": TorchvisionSet(
        factory="CIFAR10",
        md5="c58f30108f718f92721af3b95e74349a",
        class_names=tuple(_CIFAR10_CLASSES.split()),
    ),
    "cifar100": TorchvisionSet(
        factory="CIFAR100",
        md5="eb9058c3a382ffc7106e4002c42a8d85",
        class_names=tuple(_CIFAR100_CLASSES.split()),
    ),
}


class TorchvisionSource:
    """A set that torchvision knows, kept under `root` and downloaded there once."""

    def __init__(self, config: DataConfig, root: Path | None = None) -> None:
        """Raises ConfigError for a set that isn't one of `SETS`; downloads nothing yet."""
        if config.source not in SETS:
            raise unknown("torchvision set", config.source, SETS)
        self.name = config.source
        self.config = config
        self._set, self._size = SETS[config.source], KNOWN_DATA[config.source]
        self._root = (root or DEFAULT_ROOT).expanduser()

    def summary(self) -> DataSummary:
        """Counts, classes and the shape of the images; nothing is read or downloaded."""
        size, channels = self.config.image_size, self.config.channels
        known, classes = self._set, np.arange(len(self._set.class_names))
        return summarise(
            self,
            class_names=known.class_names,
            train_labels=np.resize(classes, self._size.num_train),  # as many of each
            test_labels=np.resize(classes, known.num_test),
            image_shape=shape_after(self._size.image_shape, size, channels),
            origin=Origin(),
            digests=((), ()),
        )

    def fingerprint(self) -> str:
        """32 hexadecimal digits: the archive's known checksum, the counts and the options."""
        known = self._set
        content = {
            "kind": "torchvision",
            "name": self.name,
            "md5": known.md5,
            "counts": (self._size.num_train, known.num_test),
            "options": split_options(self.config, makes_test=False),
        }
        return fingerprint(content)

    def load(self) -> ImageDataset:
        """All images. Raises ConfigError where they are not there and can't be downloaded."""
        return assemble(
            self,
            class_names=self._set.class_names,
            train=self._split(train=True),
            test=self._split(train=False),
        )

    def _split(self, *, train: bool) -> LabelledImages:
        stored = self._open(train)
        size, channels = self.config.image_size, self.config.channels
        images = np.ascontiguousarray(stored.data, dtype=np.uint8)
        labels = np.asarray(stored.targets, dtype=np.int64)
        return convert_images(images, size=size, channels=channels), labels

    def _open(self, train: bool) -> Any:
        from torchvision import datasets

        factory = getattr(datasets, self._set.factory)
        try:
            return factory(root=self._root, train=train, download=False)
        except RuntimeError:
            # What torchvision raises where the files are absent or their checksums differ.
            pass
        try:
            return factory(root=self._root, train=train, download=True)
        except (OSError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise ConfigError(
                f"data set '{self.name}' is not in {self._root} and can't be downloaded "
                f"({reason}); allowed: bring it as parquet:PATH or folder:PATH"
            ) from error
