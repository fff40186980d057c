"""Images and labels in Parquet files, in the layout of Hugging Face data sets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from prac.config.sections import DataConfig
from prac.data.classes import to_classes
from prac.data.dataset import DataSummary, ImageDataset, Origin
from prac.data.decode import Encoded, decode_images
from prac.data.heads import CARED, Heads
from prac.data.labels import is_unlabelled, joined, plain_labels
from prac.data.parquet_layout import Columns, find_columns, find_files, has_column, split_path
from prac.data.partitions import Partitions
from prac.data.splits import Labels, assemble, slug, split_options, summarise
from prac.errors import ConfigError, shown
from prac.fingerprint import fingerprint

_READ_ROWS = 256


@dataclass(frozen=True, kw_only=True)
class _Content:
    """What one reading of all files gave: a digest of each file and of each image, the labels, what
    the images' heads tell."""

    files: dict[str, list[bytes]]
    images: dict[str, list[bytes]]
    labels: dict[str, Labels]
    class_names: tuple[str, ...]
    heads: Heads


class ParquetSource:
    """A Parquet file, or a folder of them whose paths say the split by a word.

    `train-*.parquet` and `test-*.parquet`, folders `train` and `test`, `cifar10-test.parquet`;
    `validation` counts as the test split where there is no test, or none with labels, and is left
    out where there is. Files that name no split are the training split, and a test split is held
    out of it (`test_fraction`). `PATH#NAME` is one of several configurations.
    """

    def __init__(self, path: str | Path, config: DataConfig) -> None:
        """Find files and columns. Raises ConfigError where there are none, or several to choose."""
        self.config = config
        self._where = f"parquet:{path}"
        place, subset = split_path(str(path))
        root = Path(place).expanduser()
        subset = subset or config.subset
        found = find_files(root, self._where, test=config.test, subset=subset)
        self._notes = list(found.notes)
        resolved = root.resolve()
        name = resolved.stem if resolved.is_file() else resolved.name
        self.name = slug(f"{name}-{subset}" if subset else name)
        self._root = root
        self._partitions = Partitions(root, chain.from_iterable(found.splits.values()))
        self._columns = self._find_columns(found.splits["train"])
        self._test_from, self._files = self._choose_test(dict(found.splits))
        self._rows = {split: self._count_rows(split) for split in self._files}

    def summary(self) -> DataSummary:
        """Counts, classes and the shape of the images, by their heads.

        Raises ConfigError for labels and splits that can't be used, and for images of different
        sizes without `image_size`.
        """
        content = self._content
        return summarise(
            self,
            class_names=content.class_names,
            train_labels=content.labels["train"],
            test_labels=content.labels.get("test"),
            image_shape=content.heads.shape(self._where),
            origin=self._origin.told(content.heads.notes),
            digests=(content.images["train"], content.images.get("test")),
        )

    def fingerprint(self) -> str:
        """32 hexadecimal digits: the bytes of every file in order, the columns and the options."""
        content = self._content
        options = split_options(self.config, makes_test=self._makes_test)
        known = {
            "kind": "parquet",
            "files": content.files,
            "columns": (self._columns.image, self._columns.label),
            "options": options,
        }
        counted = tuple(str(number) for number in range(len(content.class_names)))
        if self._columns.class_names is None and content.class_names != counted:
            # What numbers 0, 1, ... mean needs no words; of anything else the order counts.
            known["classes"] = content.class_names
        if self._columns.label in self._partitions:
            known["folders"] = {
                split: self._partitions.told(files, self._columns.label)
                for split, files in self._files.items()
            }
        return fingerprint(known | (CARED if content.heads.cared else {}))

    def load(self) -> ImageDataset:
        """All images, in the order of the rows.

        Raises ConfigError for null or corrupt images, images of different sizes without
        `image_size`, and files that changed since their fingerprint was taken.
        """
        content = self._content
        num_train = self._rows["train"]
        images, seen = decode_images(
            lambda: (image for split in self._files for image in self._encoded(split)),
            sum(self._rows.values()),
            size=self.config.image_size,
            channels=self.config.channels,
            source=self._where,
            describe=self._describe,
        )
        return assemble(
            self,
            class_names=content.class_names,
            train=(images[:num_train], content.labels["train"]),
            test=None if self._makes_test else (images[num_train:], content.labels["test"]),
            origin=self._origin.told(seen.notes()),
        )

    @property
    def _makes_test(self) -> bool:
        return "test" not in self._files

    @property
    def _origin(self) -> Origin:
        places = {}
        for split, files in self._files.items():
            names = [self._relative(file) for file in files]
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            places["training" if split == "train" else split] = f"{names[0]}{more}"
        return Origin(test_from=self._test_from, places=places, notes=tuple(self._notes))

    @cached_property
    def _content(self) -> _Content:
        files: dict[str, list[bytes]] = {}
        images: dict[str, list[bytes]] = {}
        columns = {}
        heads = Heads(size=self.config.image_size, channels=self.config.channels)
        label = self._columns.label
        for split in self._files:
            files[split], images[split], found = [], [], []
            for file in self._files[split]:
                with self._reading(file):
                    content = file.read_bytes()
                    files[split].append(hashlib.sha256(content).digest())
                    opened = pq.ParquetFile(pa.BufferReader(content), pre_buffer=False)
                    found.append(self._labels_of(file, opened))
                    for image in self._images_of(opened):
                        heads.see(image, partial("{} row {}".format, split, len(images[split])))
                        images[split].append(_digest(image))
            what = f"{self._where}: column '{shown(label)}'"
            columns[split] = joined(found, what)
            if not len(columns[split]) == len(images[split]) == self._rows[split]:
                raise ConfigError(
                    f"{self._where}: the {split} split says {self._rows[split]} rows and has "
                    f"{len(columns[split])} labels and {len(images[split])} images; allowed: whole "
                    "Parquet files"
                )
        class_names, labels = to_classes(
            plain_labels(columns, name=label, where=self._where),
            class_names=self._columns.class_names,
            where=self._where,
            of=f" in column '{shown(label)}'",
        )
        return _Content(
            files=files, images=images, labels=labels, class_names=class_names, heads=heads
        )

    def _choose_test(self, splits: dict[str, list[Path]]) -> tuple[str, dict[str, list[Path]]]:
        """Which split is tested on (`test`, `validation` or `made`), and the files of both."""
        train = splits["train"]
        candidates = [split for split in ("test", "validation") if split in splits]
        for split in candidates:
            if self._is_labelled(splits[split]):
                left_out = [other for other in candidates if other != split]
                if split == "test" and left_out:
                    self._notes.append("the validation split is left out: the test split is used")
                return split, {"train": train, "test": splits[split]}
            self._notes.append(
                f"the {split} split has no labels, and is not used"
                + (": tested on the validation split" if split != candidates[-1] else "")
            )
        return "made", {"train": train}

    def _is_labelled(self, files: list[Path]) -> bool:
        label, found = self._columns.label, []
        for file in files:
            opened = self._open(file)
            schema = opened.schema_arrow
            if label not in self._partitions.of(file, schema) and not has_column(schema, label):
                return False
            with self._reading(file):
                found.append(self._labels_of(file, opened))
        if not is_unlabelled(joined(found, f"{self._where}: column '{shown(label)}'")):
            self._refuse_others(files)
            return True
        return False

    def _find_columns(self, files: list[Path]) -> Columns:
        found = self._columns_of(files[0])
        self._notes += found.notes
        self._refuse_others(files[1:], found)
        return found

    def _labels_of(self, file: Path, opened: Any) -> pa.ChunkedArray:
        label = self._columns.label
        if label in self._partitions.of(file, opened.schema_arrow):
            return self._partitions.column(file, label, opened.metadata.num_rows)
        return opened.read(columns=[label]).column(label)

    def _columns_of(self, file: Path) -> Columns:
        schema = self._open(file).schema_arrow
        return find_columns(
            schema,
            self._partitions.of(file, schema),
            label_column=self.config.label_column,
            image_column=self.config.image_column,
            where=f"{self._where} ({shown(file.name)})",
        )

    def _refuse_others(self, files: list[Path], known: Columns | None = None) -> None:
        for file in files:
            if self._columns_of(file) != (known or self._columns):
                raise ConfigError(
                    f"{self._where}: {shown(file.name)} has other columns or classes than the "
                    "files before it; allowed: files of one schema"
                )

    @contextmanager
    def _reading(self, file: Path) -> Iterator[None]:
        try:
            yield
        except ConfigError:
            raise
        # pyarrow raises its own errors, and for forged bytes some of Python's.
        except (pa.ArrowException, OSError, ValueError, KeyError, IndexError, MemoryError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ConfigError(
                f"{self._where}: {self._relative(file)} can't be read ({shown(reason)}); allowed: "
                "whole Parquet files"
            ) from error

    def _open(self, file: Path) -> Any:
        with self._reading(file):
            return pq.ParquetFile(file, memory_map=True, pre_buffer=False)

    def _relative(self, file: Path) -> str:
        inside = file != self._root and file.is_relative_to(self._root)
        return shown(file.relative_to(self._root).as_posix() if inside else file.name)

    def _count_rows(self, split: str) -> int:
        num_rows: int = sum(self._open(file).metadata.num_rows for file in self._files[split])
        if num_rows == 0:
            raise ConfigError(
                f"{self._where}: the {split} split has no images; allowed: one or more rows"
            )
        return num_rows

    def _encoded(self, split: str) -> Iterator[Encoded]:
        """The bytes of every image of the files whose digests are known."""
        for file, known in zip(self._files[split], self._content.files[split], strict=True):
            with self._reading(file):
                content = file.read_bytes()
            if hashlib.sha256(content).digest() != known:
                raise ConfigError(
                    f"{self._where}: {self._relative(file)} changed while it was read; allowed: "
                    "files that stay as they are (the same command reads them again)"
                )
            with self._reading(file):
                opened = pq.ParquetFile(pa.BufferReader(content), pre_buffer=False)
                yield from self._images_of(opened)

    def _images_of(self, opened: Any) -> Iterator[bytes | None]:
        column = f"{self._columns.image}.bytes" if self._columns.nested else self._columns.image
        for batch in opened.iter_batches(batch_size=_READ_ROWS, columns=[column]):
            images = batch.column(0)
            # Flattening makes a null struct's bytes null; `field` would not.
            yield from (images.flatten()[0] if self._columns.nested else images).to_pylist()

    def _describe(self, index: int) -> str:
        num_train = self._rows["train"]
        return f"train row {index}" if index < num_train else f"test row {index - num_train}"


def _digest(image: bytes | None) -> bytes:
    return hashlib.blake2b(image or b"", digest_size=16).digest()
