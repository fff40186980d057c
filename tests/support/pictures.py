"""Small data sets of pictures, as people lay them out."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def png(seed: int, size: int = 8) -> bytes:
    """A picture of noise, another for each seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def table(images: Sequence[bytes | None], labels: Any, **columns: Any) -> pa.Table:
    """Images as the Hugging Face hub has them, and labels of any type; without names."""
    encoded = pa.array([{"bytes": image, "path": None} for image in images], IMAGE)
    return pa.table({"image": encoded, "label": labels, **columns})


def named(images: pa.Table, metadata: Any) -> pa.Table:
    """With `huggingface` metadata, as JSON or, for text, as it is."""
    text = metadata if isinstance(metadata, bytes | str) else json.dumps(metadata)
    return images.replace_schema_metadata({"huggingface": text})


def write(file: Path, images: pa.Table) -> Path:
    """As Parquet, with its folders."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(images, file)
    return file


def pictures(folder: Path, classes: Sequence[str], each: int, seed: int = 0) -> Path:
    """`each` pictures in a folder for each class."""
    for c, name in enumerate(classes):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(each):
            (folder / name / f"{i}.png").write_bytes(png(seed + c * each + i))
    return folder
