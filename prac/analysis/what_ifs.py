"""What other thresholds would have made of finished rounds, as values."""

from __future__ import annotations

from dataclasses import dataclass

from prac.selection.thresholds import ThresholdRow


@dataclass(frozen=True, kw_only=True)
class StoredThresholds:
    """What each threshold would have made of what one round left.

    after: the round; its set is the one that round `after` + 1 trains on.
    """

    architecture: str
    after: int
    rows: tuple[ThresholdRow, ...]


@dataclass(frozen=True, kw_only=True)
class StoredSets:
    """All rounds found in the store, with the names of the classes."""

    data: str
    num_training: int
    class_names: tuple[str, ...]
    found: tuple[StoredThresholds, ...]
