"""What if the threshold were another: the set that each E_F would make, without any training."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from prac.config.sections import SelectConfig
from prac.errors import ConfigError, EmptySetError
from prac.selection.prac_set import PracSet, Reason, select_critical


@dataclass(frozen=True, kw_only=True)
class ThresholdRow:
    """The set that one threshold E_F makes.

    set_size: |CET ∪ CEP|, samples; 0 where nothing would be left to train on. never_learned: part
    of CET that no threshold removes. overlap: |CET ∩ CEP|. share: of the training rows.
    class_shares: (classes,) share of each class in the set, summing to 1; all 0 for an empty set.
    """

    threshold: int
    class_shares: tuple[float, ...]
    set_size: int = 0
    cet_size: int = 0
    never_learned: int = 0
    cep_size: int = 0
    overlap: int = 0
    share: float = 0.0


def what_if(
    statistics: pa.Table,
    thresholds: Iterable[int],
    *,
    labels: NDArray[np.integer],
    num_classes: int,
    training_ids: NDArray[np.int32],
    select: SelectConfig | None = None,
    dense: NDArray[np.integer] | None = None,
    pruned: NDArray[np.integer] | None = None,
) -> list[ThresholdRow]:
    """One row a threshold, from what round k left: exactly the sets that `select_critical` makes,
    before easy samples are drawn beside them.

    statistics: of the events of round k. labels: by sample id. select: all of the selection but its
    threshold. dense, pruned: (|training_ids|,) predicted classes; absent for round 0.
    Raises ConfigError for a threshold below 0.
    """
    base = select or SelectConfig()
    rows = []
    for threshold in thresholds:
        chosen = dataclasses.replace(base, threshold=threshold)
        try:
            made = select_critical(
                statistics, chosen, dense=dense, pruned=pruned, sample_ids=training_ids
            )
        except EmptySetError:
            rows.append(ThresholdRow(threshold=threshold, class_shares=(0.0,) * num_classes))
            continue
        rows.append(_row(made, threshold, labels, num_classes, len(training_ids)))
    return rows


def parse_thresholds(text: str) -> tuple[int, ...]:
    """Read `0,1,2,4`: each once, rising. Raises ConfigError."""
    try:
        found = sorted({int(part) for part in text.split(",") if part.strip()})
    except ValueError:
        found = []
    if not found or found[0] < 0:
        raise ConfigError(
            f"thresholds {text!r} are not allowed; allowed: numbers of forgets such as 0,1,2,4"
        )
    return tuple(found)


def _row(
    made: PracSet, threshold: int, labels: NDArray[np.integer], num_classes: int, num_training: int
) -> ThresholdRow:
    cet, cep = made.training_ids, made.pruning_ids
    counts = np.bincount(labels[made.sample_ids], minlength=num_classes)
    return ThresholdRow(
        threshold=threshold,
        set_size=len(made),
        cet_size=len(cet),
        never_learned=len(made.having(Reason.NEVER_LEARNED)),
        cep_size=len(cep),
        overlap=len(np.intersect1d(cet, cep)),
        share=len(made) / num_training,
        class_shares=tuple(float(count) / len(made) for count in counts),
    )
