"""What stages leave in the store, as files: masks, weights, tables, predictions. Never a pickle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

# Readers and writers of tensors import torch themselves: a replay reads none.
if TYPE_CHECKING:
    from torch import Tensor

    from prac.pruning.mask import Mask

MASK = "next_mask.safetensors"
REWIND = "rewind_weights.safetensors"
BEST = "best_weights.safetensors"
TRAINED = "trained_weights.safetensors"
PREDICTIONS = "predictions.parquet"
STATISTICS = "statistics.parquet"
SAMPLES = "prac_set.parquet"
SCORES = "scores.parquet"


def write_mask(folder: Path, mask: Mask) -> None:
    """m_{k+1}."""
    from prac.pruning.mask_file import mask_to_bytes

    (folder / MASK).write_bytes(mask_to_bytes(mask))


def read_mask(path: Path) -> Mask:
    """The mask of a file."""
    from prac.pruning.mask_file import mask_from_bytes

    return mask_from_bytes(path.read_bytes())


def write_weights(folder: Path, name: str, weights: Mapping[str, Tensor]) -> None:
    """A state dictionary as safetensors."""
    import safetensors.torch

    tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in weights.items()}
    (folder / name).write_bytes(safetensors.torch.save(tensors))


def read_weights(path: Path) -> dict[str, Tensor]:
    """A state dictionary."""
    import safetensors.torch

    weights: dict[str, Tensor] = safetensors.torch.load(path.read_bytes())
    return weights


def write_table(folder: Path, name: str, table: pa.Table) -> None:
    """An Arrow table as Parquet."""
    pq.write_table(table, folder / name, compression="zstd")


def read_table(path: Path) -> pa.Table:
    """An Arrow table; the file is read whole, so it may be removed afterwards."""
    return pq.read_table(path, memory_map=False)


def predictions_table(sample_ids: NDArray[np.int32], predictions: NDArray[np.int32]) -> pa.Table:
    """sample_id int32, predicted int32, one row a training sample."""
    return pa.table({"sample_id": sample_ids, "predicted": predictions})


def scores_table(sample_ids: NDArray[np.int32], scores: NDArray[np.floating]) -> pa.Table:
    """sample_id int32, score float64, one row a training sample."""
    return pa.table({"sample_id": sample_ids, "score": scores.astype(np.float64)})
