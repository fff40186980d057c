"""Images and labels in Parquet files, in the layout of Hugging Face data sets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from prac.config.sections import DataConfig
from prac.data.dataset import DataSummary, ImageDataset
from prac.data.decode import Encoded, decode_images, first_shape, name_some
from prac.data.parquet_layout import Columns, find_columns, find_files
from prac.data.splits import Labels, assemble, held_out_count, slug, split_options
from prac.errors import ConfigError
from prac.fingerprint import fingerprint

_READ_ROWS = 256


class ParquetSource:
    """A Parquet file, or a folder of them whose names say the split.

    `train-*.parquet` and `test-*.parquet`, or folders `train` and `test`; `validation` counts as
    the test split where there is no test, and is left out where there is. Files that name no split
    are the training split, and a test split is held out of it (`test_fraction`).
    """

    def __init__(self, path: str | Path, config: DataConfig) -> None:
        """Find files and columns. Raises ConfigError where there are none, or several to choose."""
        self._config = config
        root = Path(path).expanduser()
        self._where = f"parquet:{path}"
        self._files = find_files(root, self._where)
        resolved = root.resolve()
        self.name = slug(resolved.stem if resolved.is_file() else resolved.name)
        self._columns = self._find_columns()
        self._rows = {split: self._count_rows(split) for split in self._files}

    def summary(self) -> DataSummary:
        """Counts and classes from the files' metadata; the shape of the first image.

        The shape is None where the first image is grey (a colour one may follow) and
        `channels` doesn't decide. Without class names in the metadata, the labels are read.
        """
        num_rows = self._rows["train"]
        num_test = held_out_count(num_rows, self._config.test_fraction)
        return DataSummary(
            num_train=num_rows - (num_test if self._makes_test else 0),
            num_test=num_test if self._makes_test else self._rows["test"],
            class_names=self._class_names,
            image_shape=self._first_shape(),
        )

    def fingerprint(self) -> str:
        """32 hexadecimal digits: the bytes of every file in order, the columns and the options."""
        return self._fingerprint

    def load(self) -> ImageDataset:
        """All images, in the order of the rows.

        Raises ConfigError for null or corrupt images, null labels, labels outside the classes, and
        images of different sizes without `image_size`.
        """
        labels = {split: self._checked_labels(split) for split in self._files}
        num_train = self._rows["train"]
        images = decode_images(
            self._encoded,
            sum(self._rows.values()),
            size=self._config.image_size,
            channels=self._config.channels,
            source=self._where,
            describe=self._describe,
        )
        return assemble(
            self._config,
            name=self.name,
            fingerprint=self.fingerprint(),
            class_names=self._class_names,
            train=(images[:num_train], labels["train"]),
            test=None if self._makes_test else (images[num_train:], labels["test"]),
        )

    @property
    def _makes_test(self) -> bool:
        return "test" not in self._files

    @cached_property
    def _fingerprint(self) -> str:
        digests: dict[str, list[bytes]] = {split: [] for split in self._files}
        for split, files in self._files.items():
            for file in files:
                with file.open("rb") as stream:
                    digests[split].append(hashlib.file_digest(stream, "sha256").digest())
        return fingerprint(
            {
                "kind": "parquet",
                "files": digests,
                "columns": (self._columns.image, self._columns.label),
                "options": split_options(self._config, makes_test=self._makes_test),
            }
        )

    @cached_property
    def _class_names(self) -> tuple[str, ...]:
        if self._columns.class_names is not None:
            return self._columns.class_names
        largest = max(int(self._labels[split].max()) for split in self._files)
        if largest >= sum(self._rows.values()):
            raise ConfigError(
                f"{self._where}: column '{self._columns.label}' goes up to {largest} in "
                f"{sum(self._rows.values())} rows; allowed: classes counted from 0, or another "
                "data.label_column"
            )
        return tuple(str(label) for label in range(largest + 1))

    @cached_property
    def _labels(self) -> dict[str, Labels]:
        return {split: self._read_labels(split) for split in self._files}

    def _find_columns(self) -> Columns:
        found: Columns | None = None
        for file in (file for files in self._files.values() for file in files):
            columns = find_columns(
                self._open(file).schema_arrow,
                label_column=self._config.label_column,
                where=f"{self._where} ({file.name})",
            )
            if found is not None and columns != found:
                raise ConfigError(
                    f"{self._where}: {file.name} has other columns or classes than the files "
                    "before it; allowed: files of one schema"
                )
            found = columns
        assert found is not None
        return found

    def _open(self, file: Path) -> Any:
        try:
            return pq.ParquetFile(file, memory_map=True, pre_buffer=False)
        except (pa.ArrowException, OSError) as error:
            raise ConfigError(
                f"{self._where}: {file.name} can't be read ({' '.join(str(error).split())}); "
                "allowed: whole Parquet files"
            ) from error

    def _count_rows(self, split: str) -> int:
        num_rows: int = sum(self._open(file).metadata.num_rows for file in self._files[split])
        if num_rows == 0:
            raise ConfigError(
                f"{self._where}: the {split} split has no images; allowed: one or more rows"
            )
        return num_rows

    def _read_labels(self, split: str) -> Labels:
        name = self._columns.label
        chunks = [self._open(file).read(columns=[name]).column(name) for file in self._files[split]]
        labels = pa.chunked_array([chunk for column in chunks for chunk in column.chunks])
        if labels.null_count:
            nulls = np.flatnonzero(labels.is_null().to_numpy())
            raise ConfigError(
                f"{self._where}: {len(nulls)} labels in column '{name}' are null "
                f"({name_some(nulls, lambda row: f'{split} row {row}')}); allowed: integers"
            )
        array: Labels = labels.to_numpy().astype(np.int64)
        return array

    def _checked_labels(self, split: str) -> Labels:
        labels, num_classes = self._labels[split], len(self._class_names)
        outside = np.flatnonzero((labels < 0) | (labels >= num_classes))
        if len(outside):
            rows = name_some(outside, lambda row: f"{split} row {row} is {labels[row]}")
            raise ConfigError(
                f"{self._where}: {len(outside)} labels in column '{self._columns.label}' are "
                f"outside the {num_classes} classes ({rows}); allowed: 0 to {num_classes - 1}"
            )
        return labels

    def _encoded(self) -> Iterator[Encoded]:
        """The bytes of every image, training split first."""
        column = f"{self._columns.image}.bytes" if self._columns.nested else self._columns.image
        for file in (file for files in self._files.values() for file in files):
            for batch in self._open(file).iter_batches(batch_size=_READ_ROWS, columns=[column]):
                images = batch.column(0)
                # Flattening makes a null struct's bytes null; `field` would not.
                yield from (images.flatten()[0] if self._columns.nested else images).to_pylist()

    def _first_shape(self) -> tuple[int, int, int] | None:
        first = islice(self._encoded(), 1)
        shape = first_shape(first, size=self._config.image_size, channels=self._config.channels)
        undecided = shape is not None and shape[2] == 1 and self._config.channels is None
        return None if undecided else shape

    def _describe(self, index: int) -> str:
        num_train = self._rows["train"]
        return f"train row {index}" if index < num_train else f"test row {index - num_train}"
