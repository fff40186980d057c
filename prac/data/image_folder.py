"""Image files in a folder for each class."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from prac.config.sections import DataConfig
from prac.data.dataset import DataSummary, ImageDataset
from prac.data.decode import decode_images, first_shape
from prac.data.splits import Labels, assemble, held_out_count, slug, split_options
from prac.data.tiny_imagenet import annotated_images, annotations_of, check_classes, class_names
from prac.errors import ConfigError
from prac.fingerprint import fingerprint

EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
TEST_FOLDERS = ("test", "val", "validation")
_LAYOUTS = "train/CLASS/*.png with test/CLASS/*.png, or CLASS/*.png"


@dataclass(frozen=True)
class _Split:
    files: tuple[Path, ...]
    classes: tuple[str, ...]


class ImageFolderSource:
    """PATH/train/CLASS/FILE and PATH/test/CLASS/FILE, or PATH/CLASS/FILE.

    `val` or `validation` counts as the test split where there is no test; without either, a test
    split is held out (`test_fraction`). Classes and files are sorted by name; Tiny ImageNet's
    layout is read as it is unpacked.
    """

    def __init__(self, path: str | Path, config: DataConfig) -> None:
        """List the files. Raises ConfigError for a folder or a class without images."""
        self._config = config
        self._root = Path(path).expanduser()
        self._where = f"folder:{path}"
        if not self._root.is_dir():
            raise ConfigError(f"{self._where} is not a folder; allowed: {_LAYOUTS}")
        self.name = slug(self._root.resolve().name)
        has_splits = _has_splits(self._root)
        self._train = self._list(self._root / "train" if has_splits else self._root)
        self._classes = tuple(sorted(set(self._train.classes)))
        self._test = self._find_test() if has_splits else None
        self._check_classes()
        self._class_names = self._classes
        if annotations_of(self._root) is not None:
            check_classes(self._root, self._classes, self._where)
            self._class_names = class_names(self._root, self._classes)

    def summary(self) -> DataSummary:
        """Counts, classes and the shape of the first image.

        The shape is None where the first image is grey (a colour one may follow) and
        `channels` doesn't decide.
        """
        size, channels = self._config.image_size, self._config.channels
        shape = first_shape(self._train.files[:1], size=size, channels=channels)
        undecided = shape is not None and shape[2] == 1 and channels is None
        num_files = len(self._train.files)
        num_test = held_out_count(num_files, self._config.test_fraction)
        return DataSummary(
            num_train=num_files - (0 if self._test else num_test),
            num_test=len(self._test.files) if self._test else num_test,
            class_names=self._class_names,
            image_shape=None if undecided else shape,
        )

    def fingerprint(self) -> str:
        """32 hexadecimal digits: the bytes and class of every file in order, and the options."""
        return self._fingerprint

    def load(self) -> ImageDataset:
        """All images, sorted by class and file.

        Raises ConfigError for corrupt images, and for images of different sizes without
        `image_size`.
        """
        files = [file for split in self._splits.values() for file in split.files]
        num_train = len(self._train.files)
        images = decode_images(
            lambda: files,
            len(files),
            size=self._config.image_size,
            channels=self._config.channels,
            source=self._where,
            describe=lambda index: files[index].relative_to(self._root).as_posix(),
        )
        test = (images[num_train:], self._labels(self._test)) if self._test else None
        return assemble(
            self._config,
            name=self.name,
            fingerprint=self.fingerprint(),
            class_names=self._class_names,
            train=(images[:num_train], self._labels(self._train)),
            test=test,
        )

    @property
    def _splits(self) -> dict[str, _Split]:
        return {"train": self._train} | ({"test": self._test} if self._test else {})

    @cached_property
    def _fingerprint(self) -> str:
        digests = {}
        for name, split in self._splits.items():
            content = hashlib.sha256()
            for file in split.files:
                with file.open("rb") as stream:
                    content.update(hashlib.file_digest(stream, "sha256").digest())
            digests[name] = content.digest()
        return fingerprint(
            {
                "kind": "folder",
                "class_names": self._class_names,
                "labels": {name: self._labels(split) for name, split in self._splits.items()},
                "files": digests,
                "options": split_options(self._config, makes_test=self._test is None),
            }
        )

    def _labels(self, split: _Split) -> Labels:
        positions = {name: label for label, name in enumerate(self._classes)}
        return np.array([positions[name] for name in split.classes], dtype=np.int64)

    def _find_test(self) -> _Split | None:
        annotations = annotations_of(self._root)
        if annotations is not None:
            files, classes = zip(*annotated_images(annotations, self._where), strict=True)
            return _Split(files=files, classes=classes)
        folders = (self._root / name for name in TEST_FOLDERS)
        folder = next((folder for folder in folders if folder.is_dir()), None)
        return self._list(folder) if folder else None

    def _list(self, folder: Path) -> _Split:
        classes = _folders(folder)
        if not classes:
            raise ConfigError(
                f"{self._where} has no class folders in '{folder.name}'; allowed: {_LAYOUTS}"
            )
        files = {name: _image_files(folder / name) for name in classes}
        empty = [name for name in classes if not files[name]]
        if empty:
            raise ConfigError(
                f"{self._where}: {len(empty)} of {len(classes)} classes in '{folder.name}' have no "
                f"images ({', '.join(empty[:5])}); allowed: {' '.join(EXTENSIONS)} files"
            )
        return _Split(
            files=tuple(file for name in classes for file in files[name]),
            classes=tuple(name for name in classes for _ in files[name]),
        )

    def _check_classes(self) -> None:
        if len(self._classes) < 2:
            raise ConfigError(
                f"{self._where} has one class, '{self._classes[0]}'; allowed: 2 or more "
                f"({_LAYOUTS})"
            )
        strange = sorted(set(self._test.classes if self._test else ()) - set(self._classes))
        if strange:
            raise ConfigError(
                f"{self._where}: {len(strange)} classes of the test split are not in the training "
                f"split ({', '.join(strange[:5])}); allowed: the classes of train"
            )


def _has_splits(root: Path) -> bool:
    # A class may be called `train` (CIFAR-100 has one): then it has no folders, and other siblings.
    names = set(_folders(root))
    if "train" not in names:
        return False
    return bool(_folders(root / "train")) or names <= {"train", *TEST_FOLDERS}


def _folders(folder: Path) -> list[str]:
    return sorted(
        entry.name
        for entry in folder.iterdir()
        if entry.is_dir() and not entry.name.startswith(".")
    )


def _image_files(folder: Path) -> list[Path]:
    return sorted(
        (
            file
            for file in folder.rglob("*")
            if file.suffix.lower() in EXTENSIONS
            and not file.name.startswith(".")
            and file.is_file()
        ),
        key=lambda file: file.relative_to(folder).as_posix(),
    )
