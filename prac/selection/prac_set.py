"""A selected set of samples, and why each of them is in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntFlag

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from prac.config.sections import SelectConfig
from prac.errors import ConfigError, EmptySetError
from prac.fingerprint import fingerprint
from prac.selection.critical import critical_for_pruning, critical_for_training


class Reason(IntFlag):
    """Why a sample is in a set; a sample may have several reasons."""

    FORGOTTEN = 1
    NEVER_LEARNED = 2
    DISAGREED = 4
    DRAWN = 8
    """Taken as it came: everything, or a set that somebody brings."""
    SCORED = 16
    """Taken by a score other than the critical ones."""
    EASY = 32
    """Not critical: drawn beside those that are."""


@dataclass(frozen=True, eq=False)
class PracSet:
    """Sample ids with their reasons.

    sample_ids: (N,) sorted int32 rows of the original training split, each once.
    reasons: (N,) uint8, `Reason` flags, none of them 0.
    Raises EmptySetError for no sample at all, ConfigError for ids that are not sorted and unique or
    no rows of a split.
    """

    sample_ids: NDArray[np.int32]
    reasons: NDArray[np.uint8]

    def __post_init__(self) -> None:
        ids = _row_ids(self.sample_ids)
        reasons = np.asarray(self.reasons, np.uint8)
        if len(ids) == 0:
            raise EmptySetError(
                "the set is empty: no sample was forgotten, never learned or disagreed on; "
                "set select.easy=0.5, which trains on a share of the easy samples too, or lower "
                "select.threshold (select.late_threshold) where it is above 0, or shorten the round"
            )
        if ids.shape != reasons.shape or ids.ndim != 1:
            raise ConfigError(f"{ids.shape} sample ids with {reasons.shape} reasons; one each")
        if ids[0] < 0 or np.any(ids[1:] <= ids[:-1]):
            raise ConfigError("sample ids must be 0 or more, rising, each once")
        if not np.all(reasons):
            raise ConfigError("every sample in a set needs a reason")
        object.__setattr__(self, "sample_ids", ids)
        object.__setattr__(self, "reasons", reasons)

    def __len__(self) -> int:
        return len(self.sample_ids)

    def __repr__(self) -> str:
        counts = {r.name: len(self.having(r)) for r in Reason}
        told = ", ".join(f"{n} {str(name).lower()}" for name, n in counts.items() if n)
        return f"PracSet({len(self)} samples: {told})"

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, PracSet)
            and np.array_equal(self.sample_ids, other.sample_ids)
            and np.array_equal(self.reasons, other.reasons)
        )

    @classmethod
    def from_reasons(cls, members: Mapping[Reason, NDArray[np.integer]]) -> PracSet:
        """The union of several lists of ids, each sample with all its reasons."""
        lists = [_row_ids(ids) for ids in members.values()]
        ids = np.unique(np.concatenate(lists)) if lists else np.empty(0, np.int32)
        reasons = np.zeros(len(ids), np.uint8)
        for reason, chosen in zip(members, lists, strict=True):
            reasons[np.searchsorted(ids, chosen)] |= np.uint8(reason)
        return cls(ids, reasons)

    @classmethod
    def everything(cls, sample_ids: NDArray[np.integer]) -> PracSet:
        """All the given samples, as `DRAWN`: D_0, or a subset that somebody brings."""
        return cls.from_reasons({Reason.DRAWN: sample_ids})

    def and_also(self, reason: Reason, ids: NDArray[np.integer]) -> PracSet:
        """This set with more samples, or more reasons for those in it."""
        mine = {each: self.having(each) for each in Reason}
        return PracSet.from_reasons({**mine, reason: np.union1d(mine[reason], ids)})

    def having(self, reason: Reason) -> NDArray[np.int32]:
        """The ids that have at least one of the given reasons."""
        ids: NDArray[np.int32] = self.sample_ids[(self.reasons & np.uint8(reason)) != 0]
        return ids

    @property
    def training_ids(self) -> NDArray[np.int32]:
        """CET: the ids that are critical for training."""
        return self.having(Reason.FORGOTTEN | Reason.NEVER_LEARNED)

    @property
    def pruning_ids(self) -> NDArray[np.int32]:
        """CEP: the ids that are critical for pruning."""
        return self.having(Reason.DISAGREED)

    @property
    def digest(self) -> str:
        """A hash of the ids and reasons, 32 hexadecimal digits."""
        return fingerprint((self.sample_ids, self.reasons))

    def to_table(self) -> pa.Table:
        """An Arrow table: sample_id int32, then one bool column a reason (forgotten, ...)."""
        columns: dict[str, NDArray[np.generic]] = {"sample_id": self.sample_ids}
        for reason in Reason:
            columns[_column(reason)] = (self.reasons & np.uint8(reason)) != 0
        return pa.table(columns)

    @classmethod
    def from_table(cls, table: pa.Table) -> PracSet:
        """The set that `to_table` wrote; a table of `sample_id` alone is read as `DRAWN`.

        Raises ConfigError where there is no `sample_id` column, an id is null, a reason is no bool,
        or a sample has none.
        """
        if "sample_id" not in table.column_names:
            raise ConfigError(
                f"the set's table has columns {', '.join(table.column_names)}; sample_id is needed"
            )
        ids = table["sample_id"]
        if ids.null_count:
            raise ConfigError(f"the set's table has {ids.null_count} null sample ids")
        named = [reason for reason in Reason if _column(reason) in table.column_names]
        if not named:
            return cls.everything(ids.to_numpy())
        for column in map(_column, named):
            if not pa.types.is_boolean(table[column].type):
                raise ConfigError(
                    f"column {column} of the set's table is {table[column].type}; the reasons of "
                    f"a set are bool: {', '.join(map(_column, Reason))}"
                )
        chosen = cls.from_reasons({r: ids.filter(table[_column(r)]).to_numpy() for r in named})
        if len(chosen) != len(pc.unique(ids)):
            raise ConfigError(
                "every sample in a set needs a reason; the set's table has rows of none"
            )
        return chosen


def _row_ids(ids: NDArray[np.integer]) -> NDArray[np.int32]:
    """The ids as int32. A silent wrap or a rounding would name another sample."""
    array = np.asarray(ids)
    if array.size and (array.dtype.kind not in "iu" or array.min() < 0 or array.max() >= 2**31):
        raise ConfigError("sample ids must be rows of the training split: 0 to 2147483647")
    return array.astype(np.int32, copy=False)


def _column(reason: Reason) -> str:
    return str(reason.name).lower()


def select_critical(
    statistics: pa.Table,
    select: SelectConfig,
    *,
    dense: NDArray[np.integer] | None = None,
    pruned: NDArray[np.integer] | None = None,
    sample_ids: NDArray[np.integer] | None = None,
) -> PracSet:
    """D_{k+1} = CET_k with CEP_k, from what round k left (arXiv:2106.03225, algorithm 1).

    statistics: of the events of round k. dense, pruned, sample_ids: predictions over D_0; absent in
    round 0, whose model is the dense one.
    """
    members: dict[Reason, NDArray[np.integer]] = {}
    if select.cet:
        critical = critical_for_training(statistics, threshold=select.threshold)
        never = statistics["sample_id"].filter(pc.is_null(statistics["first_learned"])).to_numpy()
        members[Reason.NEVER_LEARNED] = never
        members[Reason.FORGOTTEN] = np.setdiff1d(critical, never)
    if select.cep and dense is not None and pruned is not None and sample_ids is not None:
        members[Reason.DISAGREED] = critical_for_pruning(dense, pruned, sample_ids)
    elif select.cep and not select.cet:
        # Round 0 has no pruned model yet; CEP alone starts to select after round 1.
        return PracSet.everything(statistics["sample_id"].to_numpy())
    return PracSet.from_reasons(members)
