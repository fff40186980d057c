"""What watches a training without being part of it: events, masks, rewind weights, progress."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from prac.config.values import RewindPoint
from prac.data.batches import Batch
from prac.events.recorder import EventRecorder
from prac.pruning.gradual import GradualMask
from prac.pruning.tentative import TentativeMask
from prac.schema import formed
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


OnEpoch = Callable[[EpochEnd], None]
"""Is told of the end of every epoch."""
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
        self._recorder.record(batch.sample_ids, logits, batch.labels)

    def on_epoch(self, end: EpochEnd) -> bool:
        self._recorder.end_epoch(end.record.epoch)
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
        if self._point.unit == "init":
            self._capture(model)

    def on_step(self, steps_done: int, model: nn.Module) -> None:
        if self._point.unit == "step" and steps_done == self._point.at:
            self._capture(model)

    def on_epoch(self, end: EpochEnd) -> bool:
        """Capture after that many epochs; the round is not stopped before them."""
        if self._point.unit == "epoch" and end.record.epoch + 1 == self._point.at:
            self._capture(end.model)
        return False

    def state(self) -> State:
        return self.weights or {}, {"captured": self.weights is not None}

    def restore(self, tensors: Mapping[str, Tensor], progress: Mapping[str, Any]) -> None:
        captured = formed(dict[str, bool], progress, within=self.name)["captured"]
        self.weights = dict(tensors) if captured else None


class TentativeObserver(Observer):
    """Updates a tentative mask at the end of every epoch, and asks to stop where it has settled."""

    name = "tentative"

    def __init__(self, tentative: TentativeMask) -> None:
        self._tentative = tentative

    def on_epoch(self, end: EpochEnd) -> bool:
        return self._tentative.update(end.model)

    def state(self) -> State:
        return self._tentative.state()

    def restore(self, tensors: Mapping[str, Tensor], progress: Mapping[str, Any]) -> None:
        self._tentative.restore(tensors, progress)


class GradualObserver(Observer):
    """Has a gradual mask prune the model after each step."""

    name = "gradual"

    def __init__(self, gradual: GradualMask) -> None:
        self._gradual = gradual

    def on_step(self, steps_done: int, model: nn.Module) -> None:
        self._gradual.update(steps_done, model)

    def state(self) -> State:
        return self._gradual.state()

    def restore(self, tensors: Mapping[str, Tensor], progress: Mapping[str, Any]) -> None:
        self._gradual.restore(tensors, progress)


class StopAfter(Observer):
    """Asks to stop after so many epochs, wherever the budget ends."""

    name = "stop_after"

    def __init__(self, epochs: int) -> None:
        self._epochs = epochs

    def on_epoch(self, end: EpochEnd) -> bool:
        return end.record.epoch + 1 >= self._epochs


class EpochCallback(Observer):
    """Calls a function with the end of every epoch: progress, metrics."""

    name = "callback"

    def __init__(self, callback: OnEpoch) -> None:
        self._callback = callback

    def on_epoch(self, end: EpochEnd) -> bool:
        self._callback(end)
        return False
