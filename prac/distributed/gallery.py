"""The hardest samples of the dense run, with their images, for the report."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
from PIL import Image

from prac.data.dataset import ImageDataset

GALLERY_SIZE = 40


def hardest_table(
    statistics: pa.Table, dataset: ImageDataset, size: int = GALLERY_SIZE
) -> pa.Table:
    """The hardest samples first: never learned, then most forgets, then the smallest mean margin.

    One row a sample: its statistics, label (the class's name) and image (PNG bytes).
    """
    never = statistics["first_learned"].is_null().to_numpy()
    forgotten = statistics["forgotten"].to_numpy()
    margin = statistics["mean_margin"].to_numpy()
    order = np.lexsort((margin, -forgotten, ~never))[:size]
    rows = statistics.take(pa.array(order))
    ids = rows["sample_id"].to_numpy()
    labels = [dataset.class_names[label] for label in dataset.train_labels[ids]]
    images = [_png(dataset.train_images[sample_id]) for sample_id in ids]
    return rows.append_column("label", pa.array(labels, pa.string())).append_column(
        "png", pa.array(images, pa.binary())
    )


def _png(image: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()
