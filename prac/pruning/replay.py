"""The early-bird stop replayed on recorded mask distances: where others would have stopped."""

from __future__ import annotations

from dataclasses import dataclass

from prac.config.sections import PruneConfig
from prac.errors import ConfigError
from prac.pruning.early_bird import EarlyBird


@dataclass(frozen=True, kw_only=True)
class RecordedRound:
    """What a finished round tells of its stop.

    distances: between the tentative masks of consecutive epochs, over the weights alive at the
    round's start; the first is known after the second epoch. epochs: trained. budget_epochs: where
    the round ends without a stop. steps_per_epoch: SGD steps. warmup_epochs: of this round, whose
    distances no stop looks at (`EarlyBird`). earliest_epochs: no stop comes before these are done
    (rewind point).
    """

    distances: tuple[float, ...]
    epochs: int
    budget_epochs: int
    steps_per_epoch: int
    warmup_epochs: int = 0
    earliest_epochs: int = 1

    def __post_init__(self) -> None:
        if len(self.distances) != max(0, self.epochs - 1):
            raise ConfigError(
                f"{self.epochs} epochs have {max(0, self.epochs - 1)} distances between their "
                f"masks; {len(self.distances)} are recorded"
            )


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """Where another stop would have ended a round.

    epochs, steps: trained until then. stopped: the stop came. at_least: the record ends before the
    stop and before the budget, so the round would have gone on for longer than is known.
    """

    epochs: int
    steps: int
    stopped: bool
    at_least: bool


def replay_stop(
    recorded: RecordedRound,
    *,
    tolerance: float | None,
    patience: int = PruneConfig.patience,
    record_at_once: bool = PruneConfig.record_at_once,
) -> Replayed:
    """The end of one round under another tolerance or patience; None trains to the budget's end.

    Exact for the round as it was trained: up to its stop a training doesn't depend on when it will
    stop. The rounds after it would have started from another mask and set, which no replay knows.
    Raises ConfigError for a tolerance outside (0, 1] and a patience below 1.
    """
    if tolerance is not None:
        stop = EarlyBird(
            tolerance, patience, record_at_once=record_at_once, warmup_epochs=recorded.warmup_epochs
        )
        for epochs, distance in enumerate(recorded.distances, 2):
            if stop.update(distance) and epochs >= recorded.earliest_epochs:
                return _ended(recorded, epochs, stopped=True)
    return _ended(recorded, recorded.epochs, stopped=False)


def parse_tolerances(text: str) -> tuple[float | None, ...]:
    """`0.04,0.08,none` in order, each once. Raises ConfigError."""
    found: list[float | None] = []
    for word in text.split(","):
        try:
            value = None if word.strip().lower() == "none" else float(word)
        except ValueError:
            value = -1.0
        if value is not None and not 0 < value <= 1:
            raise ConfigError(
                f"tolerance {word.strip()!r} is not allowed; allowed: above 0 to 1, or none"
            )
        if value not in found:
            found.append(value)
    return tuple(found)


def _ended(recorded: RecordedRound, epochs: int, *, stopped: bool) -> Replayed:
    return Replayed(
        epochs=epochs,
        steps=epochs * recorded.steps_per_epoch,
        stopped=stopped,
        at_least=not stopped and epochs < recorded.budget_epochs,
    )
