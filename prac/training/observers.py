"""What watches a training without being part of it: events, masks, rewind weights, progress."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from prac.config.sections import PruneConfig, RewindPoint
from prac.data.batches import Batch
from prac.events.recorder import EventRecorder
from prac.pruning import EarlyBird, Mask, global_magnitude
from prac.pruning.mask import prunable_weights
from prac.training.schedule import Budget


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """One finished epoch. epoch counts from 0; accuracies are fractions; seconds are wall time."""

    epoch: int
    steps: int
    learning_rate: float
    loss: float
    train_accuracy: float
    validation_accuracy: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class EpochEnd:
    """What an observer sees at the end of an epoch."""

    record: EpochRecord
    budget: Budget
    model: nn.Module


State = tuple[Mapping[str, Tensor], Mapping[str, Any]]
"""Tensors by name and JSON values that a checkpoint keeps for an observer."""


class Observer:
    """Called by the training loop; override what you need."""

    name = "observer"

    def on_start(self, model: nn.Module) -> None:
        """Before the first step of a training that wasn't resumed."""

    def on_predictions(self, batch: Batch, logits: Tensor) -> None:
        """After the passes of a step, before its update; logits: (B, K), valid until the next."""

    def on_step(self, steps_done: int, model: nn.Module) -> None:
        """After an update; steps_done counts from 1 over the whole training."""

    def on_epoch(self, end: EpochEnd) -> bool:
        """After an epoch; true asks to stop here."""
        return False

    def state(self) -> State:
        """What to keep in a checkpoint."""
        return {}, {}

    def restore(self, tensors: Mapping[str, Tensor], progress: Mapping[str, Any]) -> None:
        """Go on from what `state` kept."""


class EventObserver(Observer):
    """Gives the events of every epoch to an EventRecorder."""

    name = "events"

    def __init__(self, recorder: EventRecorder) -> None:
        self._recorder = recorder

    def on_predictions(self, batch: Batch, logits: Tensor) -> None:
        """Record the batch."""
        self._recorder.record(batch.sample_ids, logits, batch.labels)

    def on_epoch(self, end: EpochEnd) -> bool:
        """Flush the epoch."""
        self._recorder.flush(end.record.epoch)
        return False


class RewindCapture(Observer):
    """Keeps the weights and BatchNorm statistics at the rewind point."""

    name = "rewind"

    def __init__(self, point: RewindPoint) -> None:
        self._point = point
        self.weights: dict[str, Tensor] | None = None

    def _capture(self, model: nn.Module) -> None:
        self.weights = {n: t.detach().cpu().clone() for n, t in model.state_dict().items()}

    def on_start(self, model: nn.Module) -> None:
        """Capture the initial weights."""
        if self._point.unit == "init":
            self._capture(model)

    def on_step(self, steps_done: int, model: nn.Module) -> None:
        """Capture after that many steps."""
        if self._point.unit == "step" and steps_done == self._point.at:
            self._capture(model)

    def on_epoch(self, end: EpochEnd) -> bool:
        """Capture after that many epochs; the round is not stopped before them."""
        if self._point.unit == "epoch" and end.record.epoch + 1 == self._point.at:
            self._capture(end.model)
        return False

    def state(self) -> State:
        """The captured weights."""
        return self.weights or {}, {"captured": self.weights is not None}

    def restore(self, tensors: Mapping[str, Tensor], progress: Mapping[str, Any]) -> None:
        """Take them back."""
        self.weights = dict(tensors) if progress["captured"] else None


class TentativeMask(Observer):
    """Forms the tentative mask at the end of every epoch and may stop the round early.

    mask: the round's own. `latest` is the tentative mask of the last epoch, `distances` those
    between consecutive ones, over the weights alive at the round's start: distance i is between
    epochs i and i + 1. warmup_epochs: of this round, the rise of a one-cycle schedule included,
    which the stop's window leaves out (`EarlyBird`). No stop before `earliest_epochs` epochs are
    done (the rewind point has to be reached). form: makes the mask of a model in place of global
    magnitude.
    """

    name = "tentative"

    def __init__(
        self,
        mask: Mask,
        prune: PruneConfig,
        *,
        warmup_epochs: int = 0,
        earliest_epochs: int = 0,
        form: Callable[[nn.Module], Mask] | None = None,
    ) -> None:
        self._mask = mask
        self._form = form or self._by_magnitude
        self._fraction = prune.fraction
        self._earliest = earliest_epochs
        self._early_bird = (
            None
            if prune.tolerance is None
            else EarlyBird(
                prune.tolerance,
                prune.patience,
                record_at_once=prune.record_at_once,
                warmup_epochs=warmup_epochs,
            )
        )
        self.latest: Mask | None = None
        self.distances: list[float] = []

    def on_epoch(self, end: EpochEnd) -> bool:
        """Form the mask, measure its distance, ask to stop where it has settled."""
        before = self.latest
        self.latest = self._form(end.model)
        if before is None:
            return False
        distance = self.latest.distance(before, alive=self._mask.num_alive)
        self.distances.append(distance)
        settled = self._early_bird is not None and self._early_bird.update(distance)
        return settled and end.record.epoch + 1 >= self._earliest

    def _by_magnitude(self, model: nn.Module) -> Mask:
        return global_magnitude(prunable_weights(model), self._mask, self._fraction)

    def state(self) -> State:
        """The latest mask, the distances and the stop's memory."""
        stop = None if self._early_bird is None else self._early_bird.state()
        return self.latest or {}, {"distances": self.distances, "early_bird": stop}

    def restore(self, tensors: Mapping[str, Tensor], progress: Mapping[str, Any]) -> None:
        """Take them back."""
        # A checkpoint's tensors come in no order; the mask's order decides ties.
        self.latest = Mask({name: tensors[name] for name in self._mask}) if tensors else None
        self.distances = list(progress["distances"])
        if self._early_bird is not None:
            self._early_bird.restore(progress["early_bird"])


class StopAfter(Observer):
    """Asks to stop after so many epochs, wherever the budget ends."""

    name = "stop_after"

    def __init__(self, epochs: int) -> None:
        self._epochs = epochs

    def on_epoch(self, end: EpochEnd) -> bool:
        """Ask, once they are done."""
        return end.record.epoch + 1 >= self._epochs


class EpochCallback(Observer):
    """Calls a function with the end of every epoch: progress, metrics."""

    name = "callback"

    def __init__(self, callback: Callable[[EpochEnd], None]) -> None:
        self._callback = callback

    def on_epoch(self, end: EpochEnd) -> bool:
        """Call it."""
        self._callback(end)
        return False
