"""What a data set is, to be shown: counts, sizes, statistics, and a sheet of its images."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from prac.data.dataset import DataSummary, ImageDataset
from prac.errors import shown

_ROWS, _COLUMNS = 20, 10
_SIDE = 64
_FROM = {
    "test": "its test split",
    "validation": "its validation split: it has no test split with labels",
    "made": "held out of the training split",
}


def facts(dataset: ImageDataset) -> dict[str, Any]:
    """What `prac data show --json` prints. `training_rows` and `class_counts` are of the training
    split with its validation rows; mean and deviation of the rows that are trained on."""
    names = dataset.class_names
    counts = np.bincount(dataset.train_labels, minlength=len(names)).tolist()
    tested = np.bincount(dataset.test_labels, minlength=len(names)).tolist()
    height, width, channels = dataset.image_shape
    return {
        "name": dataset.name,
        "fingerprint": dataset.fingerprint,
        "training_rows": len(dataset.train_labels),
        "validation_rows": len(dataset.validation_ids),
        "test_rows": len(dataset.test_labels),
        "test_from": dataset.origin.test_from,
        "splits": dict(dataset.origin.places),
        "classes": list(names),
        "class_counts": counts,
        "test_class_counts": tested,
        "image_shape": [height, width, channels],
        "mean": list(dataset.mean),
        "std": list(dataset.std),
        "warnings": list(dataset.origin.notes),
    }


def two_lines(name: str, summary: DataSummary) -> list[str]:
    """What a plan and a run say of their data first: what it is, and what to look at."""
    origin, shape = summary.origin, summary.image_shape
    places = [f"{split} '{place}'" for split, place in origin.places.items()]
    size = f", {shape[1]}x{shape[0]}x{shape[2]}" if shape else ""
    first = (
        f"data {name}: {summary.num_train:,} training rows, {summary.num_test:,} test rows "
        f"({_FROM[origin.test_from]}), {len(summary.class_names)} classes{size}"
        f"{'; ' if places else ''}{', '.join(places)}"
    )
    return [shown(first), shown(f"data {name}: {'; '.join(origin.notes) or 'nothing strange'}")]


def contact_sheet(dataset: ImageDataset) -> bytes:
    """A PNG: a row for each of the first 20 classes, 10 of its training images in each."""
    from PIL import Image  # plans show no pictures

    rows = []
    for label in range(min(_ROWS, dataset.num_classes)):
        ids = np.flatnonzero(dataset.train_labels == label)[:_COLUMNS]
        tiles = [_tile(dataset.train_images[row]) for row in ids]
        blank = np.full((_SIDE, _SIDE, 3), 255, dtype=np.uint8)
        rows.append(np.concatenate([*tiles, *[blank] * (_COLUMNS - len(tiles))], axis=1))
    buffer = io.BytesIO()
    Image.fromarray(np.concatenate(rows)).save(buffer, "PNG")
    return buffer.getvalue()


def _tile(pixels: np.ndarray) -> np.ndarray:
    from PIL import Image  # see contact_sheet

    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).convert("RGB")
    image.thumbnail((_SIDE, _SIDE))
    if max(image.size) < _SIDE:
        scale = _SIDE // max(image.size)
        image = image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)
    tile = Image.new("RGB", (_SIDE, _SIDE), "white")
    tile.paste(image, (0, 0))
    return np.asarray(tile)


def write_sheet(dataset: ImageDataset, file: Path) -> None:
    """Write the contact sheet as a whole, or not at all. Raises OSError."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.part")
    partial.write_bytes(contact_sheet(dataset))
    partial.replace(file)
