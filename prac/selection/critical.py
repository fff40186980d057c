"""The two halves of a PrAC set: critical for training (CET) and critical for pruning (CEP)."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from prac.config.checks import require
from prac.errors import ConfigError


def critical_for_training(statistics: pa.Table, *, threshold: int = 0) -> NDArray[np.int32]:
    """CET: samples forgotten more than `threshold` (E_F) times, or never learned.

    statistics: rows of `forgetting_statistics`. A sample without a row was not presented and is not
    in the result. Returns the sample ids, sorted int32.
    """
    require(threshold >= 0, "threshold", threshold, "0 or more forgets")
    critical = pc.or_(
        pc.greater(statistics["forgotten"], threshold), pc.is_null(statistics["first_learned"])
    )
    return _sorted_ids(statistics["sample_id"].filter(critical).to_numpy())


def critical_for_pruning(
    dense: NDArray[np.integer], pruned: NDArray[np.integer], sample_ids: NDArray[np.integer]
) -> NDArray[np.int32]:
    """CEP: samples on which the dense and the pruned model predict different classes.

    dense, pruned: (N,) predicted classes; sample_ids: (N,) whose predictions they are.
    Returns the sample ids, sorted int32. Raises ConfigError where the three differ in shape.
    """
    if not dense.shape == pruned.shape == sample_ids.shape or dense.ndim != 1:
        raise ConfigError(
            f"predictions of {dense.shape} and {pruned.shape} for {sample_ids.shape} samples; "
            "allowed: one prediction a sample from each model"
        )
    return _sorted_ids(sample_ids[dense != pruned])


def _sorted_ids(ids: NDArray[np.integer]) -> NDArray[np.int32]:
    return np.sort(ids).astype(np.int32)
