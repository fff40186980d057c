"""The early-bird stop: a round ends when its tentative masks stop changing."""

from __future__ import annotations

from collections import deque

from prac.errors import ConfigError


class EarlyBird:
    """Stops when the last `patience` mask distances are all below `tolerance`.

    Recording starts only after one distance above the tolerance has been seen, unless
    `record_at_once`: the first masks of a round may look alike only because nothing has moved yet.
    You et al. 2020 (arXiv:1909.11957) with the rule of arXiv:2106.03225.
    """

    def __init__(
        self, tolerance: float, patience: int = 5, *, record_at_once: bool = False
    ) -> None:
        if not 0 < tolerance <= 1:
            raise ConfigError(f"tolerance {tolerance} is not allowed; allowed: above 0 to 1")
        if patience < 1:
            raise ConfigError(f"patience {patience} is not allowed; allowed: 1 or more")
        self.tolerance = tolerance
        self.patience = patience
        self.recording = record_at_once
        self._recent: deque[float] = deque(maxlen=patience)

    def update(self, distance: float) -> bool:
        """Take the next distance; true where the round may stop."""
        self.recording = self.recording or distance > self.tolerance
        if self.recording:
            self._recent.append(distance)
        return len(self._recent) == self.patience and max(self._recent) < self.tolerance

    def state(self) -> dict[str, object]:
        """What a checkpoint has to keep, as JSON values."""
        return {"recording": self.recording, "recent": list(self._recent)}

    def restore(self, state: dict[str, object]) -> None:
        """Go on from `state`."""
        recent = state["recent"]
        assert isinstance(recent, list)
        self.recording = bool(state["recording"])
        self._recent = deque(recent, maxlen=self.patience)
