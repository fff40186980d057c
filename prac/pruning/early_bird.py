"""The early-bird stop: a round ends when its tentative masks stop changing."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from prac.config.checks import require
from prac.schema import Amount, Count, formed


class EarlyBird:
    """Stops when the last `patience` mask distances are all below `tolerance`.

    Epochs are counted from 0, so that the first distance, between the first two tentative masks, is
    that of epoch 1. A distance above the tolerance arms the recording, in the warm-up too; with
    `record_at_once` it is armed from the start: the first masks of a round may look alike only
    because nothing has moved yet. A distance enters the window where the recording is armed and its
    epoch's number is above `warmup_epochs`; so the first epoch after a warm-up is left out, and 15
    epochs of it let a round end after 21 at the earliest. Without a warm-up epoch 1 may be the
    first entry.

    warmup_epochs: of this round, scaled as its budget is (`Budget.rising_epochs`). The rise of a
    one-cycle schedule counts as warm-up. You et al. 2020 (arXiv:1909.11957) with the rule of
    arXiv:2106.03225. Raises ConfigError for a tolerance outside (0, 1], a patience below 1 and a
    warm-up below 0.
    """

    def __init__(
        self,
        tolerance: float,
        patience: int = 5,
        *,
        record_at_once: bool = False,
        warmup_epochs: int = 0,
    ) -> None:
        require(0 < tolerance <= 1, "tolerance", tolerance, "above 0 to 1")
        require(patience >= 1, "patience", patience, "1 or more")
        require(warmup_epochs >= 0, "warmup_epochs", warmup_epochs, "0 or more")
        self.tolerance = tolerance
        self.patience = patience
        self.warmup_epochs = warmup_epochs
        self.recording = record_at_once
        self._epoch = 0
        self._recent: deque[float] = deque(maxlen=patience)

    def update(self, distance: float) -> bool:
        """Take the next epoch's distance; true where the round may stop."""
        self._epoch += 1
        self.recording = self.recording or distance > self.tolerance
        if self.recording and self._epoch > self.warmup_epochs:
            self._recent.append(distance)
        return len(self._recent) == self.patience and max(self._recent) < self.tolerance

    def state(self) -> dict[str, object]:
        """What a checkpoint has to keep, as JSON values."""
        return {"epoch": self._epoch, "recording": self.recording, "recent": list(self._recent)}

    def restore(self, state: Mapping[str, object]) -> None:
        """Go on from `state`. Raises ValueError for anything else."""
        kept = formed(_Kept, state, within="early_bird")
        self._epoch, self.recording = kept.epoch, kept.recording
        self._recent = deque(kept.recent, maxlen=self.patience)


@dataclass(frozen=True, kw_only=True)
class _Kept:
    epoch: Count
    recording: bool
    recent: tuple[Amount, ...]
