"""Made-up events that look like a training's: samples are learned, some are forgotten again."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from prac.events.schema import EVENT_SCHEMA


def sample_ids(count: int) -> np.ndarray:
    """(count,) int32: nine tenths of a training split, in rising order."""
    rng = np.random.default_rng(0)
    return np.sort(rng.choice(count * 10 // 9 + 1, count, replace=False)).astype(np.int32)


def epochs_of(ids: np.ndarray, epochs: int) -> Iterator[pa.RecordBatch]:
    """One batch of EVENT_SCHEMA an epoch, without drawing new random numbers for each."""
    rng = np.random.default_rng(1)
    count = len(ids)
    hardness = rng.random(count, np.float32) * 6
    noise = np.tile(rng.standard_normal(count, np.float32) * 2, 2)
    for epoch in range(epochs):
        start = (epoch * 7919) % count
        margin = noise[start : start + count] + min(8.0, 0.5 * epoch) - hardness
        el2n = np.float32(1.3) / (1 + np.exp(margin))
        columns = [
            np.zeros(count, np.int16),
            np.full(count, epoch, np.int16),
            ids,
            margin > 0,
            margin.astype(np.float16),
            el2n.astype(np.float16),
        ]
        yield pa.record_batch(columns, schema=EVENT_SCHEMA)
