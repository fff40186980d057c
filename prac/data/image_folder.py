"""Image files in a folder for each class."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from prac.config.sections import DataConfig
from prac.data.dataset import DataSummary, ImageDataset, Origin
from prac.data.decode import decode_images
from prac.data.folder_layout import LAYOUTS, Split, find_layout, relative
from prac.data.heads import CARED, Heads
from prac.data.splits import Labels, assemble, slug, split_options, summarise
from prac.data.tiny_imagenet import annotations_of, check_classes, class_names
from prac.errors import ConfigError
from prac.fingerprint import fingerprint


class ImageFolderSource:
    """PATH/train/CLASS/FILE and PATH/test/CLASS/FILE, or PATH/CLASS/FILE.

    Split folders are found by their words (`Training`, `test_set`, `valid`); the validation split
    counts as the test split where there is no test with classes; without either, a test split is
    held out (`test_fraction`). Classes and files are sorted by name; links are followed; Tiny
    ImageNet's layout is read as it is unpacked.
    """

    def __init__(self, path: str | Path, config: DataConfig) -> None:
        """List the files. Raises ConfigError for a folder or a class without images."""
        self.config = config
        self._root = Path(path).expanduser()
        self._where = f"folder:{path}"
        if not self._root.is_dir():
            raise ConfigError(f"{self._where} is not a folder; allowed: {LAYOUTS}")
        self.name = slug(self._root.resolve().name)
        self._heads = Heads(size=config.image_size, channels=config.channels)
        self._layout = find_layout(self._root, self._where, config.test)
        self._train, self._test = self._layout.train, self._layout.test
        self._classes = tuple(sorted({*self._train.classes, *self._train.empty}))
        self._class_names = self._classes
        if annotations_of(self._root) is not None:
            check_classes(self._root, self._classes, self._where)
            self._class_names = class_names(self._root, self._classes)

    def summary(self) -> DataSummary:
        """Counts, classes and the shape of the images, by their heads.

        Raises ConfigError for splits that can't be made, and for images of different sizes
        without `image_size`.
        """
        digests = self._digests
        return summarise(
            self,
            class_names=self._class_names,
            train_labels=self._labels(self._train),
            test_labels=self._labels(self._test) if self._test else None,
            image_shape=self._heads.shape(self._where),
            digests=(digests["train"], digests.get("test")),
            origin=self._origin.told(self._heads.notes),
        )

    def fingerprint(self) -> str:
        """32 hexadecimal digits: the bytes and class of every file in order, and the options."""
        digests = {
            name: hashlib.sha256(b"".join(files)).digest() for name, files in self._digests.items()
        }
        options = split_options(self.config, makes_test=self._test is None)
        known = {
            "kind": "folder",
            "class_names": self._class_names,
            "labels": {name: self._labels(split) for name, split in self._splits.items()},
            "files": digests,
            "options": options,
        }
        return fingerprint(known | (CARED if self._heads.cared else {}))

    def load(self) -> ImageDataset:
        """All images, sorted by class and file.

        Raises ConfigError for corrupt images, images of different sizes without `image_size`, and
        files that changed since their fingerprint was taken.
        """
        files = [file for split in self._splits.values() for file in split.files]
        known = [digest for digests in self._digests.values() for digest in digests]
        num_train = len(self._train.files)
        images, seen = decode_images(
            lambda: (partial(self._read, *pair) for pair in zip(files, known, strict=True)),
            len(files),
            size=self.config.image_size,
            channels=self.config.channels,
            source=self._where,
            describe=lambda index: self._relative(files[index]),
        )
        test = (images[num_train:], self._labels(self._test)) if self._test else None
        return assemble(
            self,
            class_names=self._class_names,
            train=(images[:num_train], self._labels(self._train)),
            test=test,
            origin=self._origin.told(seen.notes()),
        )

    @property
    def _splits(self) -> dict[str, Split]:
        return {"train": self._train} | ({"test": self._test} if self._test else {})

    @property
    def _origin(self) -> Origin:
        layout, notes = self._layout, self._layout.notes
        places = {split: relative(self._root, place) for split, place in layout.places.items()}
        return Origin(test_from=layout.test_from, places=places, notes=tuple(notes))

    @cached_property
    def _digests(self) -> dict[str, list[bytes]]:
        found: dict[str, list[bytes]] = {name: [] for name in self._splits}
        for name, split in self._splits.items():
            for file, content in zip(split.files, self._contents(split), strict=True):
                found[name].append(hashlib.sha256(content).digest())
                self._heads.see(content, partial(self._relative, file))
        return found

    def _contents(self, split: Split) -> Iterator[bytes]:
        for file in split.files:
            try:
                yield file.read_bytes()
            except OSError as error:
                raise ConfigError(
                    f"{self._where}: {self._relative(file)} can't be read ({error.strerror}); "
                    "allowed: files that you may read"
                ) from error

    def _read(self, file: Path, known: bytes) -> bytes:
        content = file.read_bytes()
        if hashlib.sha256(content).digest() != known:
            raise ConfigError(
                f"{self._where}: {self._relative(file)} changed while it was read; allowed: files "
                "that stay as they are (the same command reads them again)"
            )
        return content

    def _labels(self, split: Split) -> Labels:
        positions = {name: label for label, name in enumerate(self._classes)}
        return np.array([positions[name] for name in split.classes], dtype=np.int64)

    def _relative(self, file: Path) -> str:
        return relative(self._root, file)
