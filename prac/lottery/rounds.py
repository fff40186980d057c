"""One round: what it trains, how it is trained, what it leaves. Knows neither Ray nor MLflow."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from torch import Tensor

from prac.config.counts import num_batches
from prac.config.sections import PruneConfig
from prac.config.values import RewindPoint
from prac.data.batches import DeviceImages
from prac.events.log import EventLog
from prac.events.recorder import EventRecorder
from prac.events.statistics import count_events
from prac.lottery.masks import CriterionMasks
from prac.lottery.round_events import event_folder, event_writer, recorded_events
from prac.lottery.stage_config import RoundConfig
from prac.lottery.starts import initial_model
from prac.models.state import load_state
from prac.pruning.gradual import GradualMask
from prac.pruning.mask import Mask
from prac.pruning.tentative import TentativeMask
from prac.selection.soft import SoftSet
from prac.storage import Folder
from prac.training.checkpoint import Checkpoint
from prac.training.evaluation import predict
from prac.training.loop import Trained, Training, epoch_size, train
from prac.training.made_by import MadeBy
from prac.training.observers import (
    EpochCallback,
    EpochRecord,
    EventObserver,
    Observer,
    OnEpoch,
    RewindCapture,
    StopAfter,
    TentativeObserver,
)
from prac.training.schedule import Budget, shares_of
from prac.training.workers import Workers

Weights = Mapping[str, Tensor]
"""A state dictionary: weights and BatchNorm statistics by name, on the CPU."""


@dataclass(frozen=True, kw_only=True)
class RoundTask:
    """One round to train: its configuration and what it starts from.

    run: the key of this round. mask: m_k; None means all ones. weights: the rewind weights; None in
    a round that starts from the architecture's initial weights. sample_ids: D_k, sorted int32.
    fresh: so many of `sample_ids`, drawn anew, make each epoch; None: all of them. hardest: they
    are not drawn, but the hardest of each batch. soft: what each epoch takes of `sample_ids`, in
    place of `fresh`. max_epochs: where the round ends at the latest, whatever its budget. Where
    `config.prune.gradual` is above 0, `mask` is what the round begins with, and it prunes the
    network itself (`prac.GradualMask`).
    """

    run: str
    config: RoundConfig
    sample_ids: NDArray[np.int32]
    mask: Mask | None = None
    weights: Weights | None = None
    fresh: int | None = None
    max_epochs: int | None = None
    soft: SoftSet | None = None
    hardest: bool = False

    @property
    def epoch_size(self) -> int:
        """Samples that an epoch trains on."""
        return epoch_size(self.sample_ids, self.fresh, self.soft)

    @property
    def presented(self) -> int:
        """Samples that have an event in an epoch."""
        return len(self.sample_ids) if self.hardest else self.epoch_size

    @property
    def same_rows(self) -> bool:
        """Whether every epoch presents all of `sample_ids`."""
        return self.soft is None and self.presented == len(self.sample_ids)


@dataclass(frozen=True, kw_only=True)
class RoundOutcome:
    """What a round leaves.

    next_mask: m_{k+1}; of a round that prunes as it goes, m_k as it ended. rewind_weights: of round
    0, else None. best_weights: at the best validation epoch, under m_k. predictions: (|D_0|,) int32
    classes over the training rows, by the best model (or by it after this round's pruning, where
    the configuration says so); None where no set is made of them. statistics: rows of
    `forgetting_statistics`; None where no events were recorded. distances: between consecutive
    tentative masks. events: `events(epochs)` reads the recorded events again, one batch for each of
    the first `epochs` epochs (None: all); None where there are none any more. score_samples,
    score_passes: images that the criterion of the masks was given, and forward passes of one image
    that its scores cost. seconds: of the epochs of data-parallel training; 0 where this process
    trained. made_by: empty where nothing noted it.
    """

    budget: Budget
    epochs: tuple[EpochRecord, ...]
    best_epoch: int
    best_accuracy: float
    stopped_early: bool
    distances: tuple[float, ...]
    next_mask: Mask
    best_weights: Weights
    rewind_weights: Weights | None
    predictions: NDArray[np.int32] | None
    statistics: pa.Table | None
    events: Callable[[int | None], Iterator[pa.RecordBatch]] | None = None
    score_samples: int = 0
    score_passes: int = 0
    seconds: float = 0.0
    made_by: MadeBy = field(default_factory=dict)

    @property
    def steps(self) -> int:
        return sum(record.steps for record in self.epochs)


class TrainRound(Protocol):
    """Trains one round: here in this process, or on the workers of a cluster."""

    def __call__(self, task: RoundTask) -> RoundOutcome: ...


class _Session:
    """One round on one worker: the model, what watches it, and its state after training."""

    def __init__(
        self,
        task: RoundTask,
        images: DeviceImages,
        work: Folder,
        *,
        workers: Workers,
        on_epoch: OnEpoch | None,
    ) -> None:
        config = task.config
        self.task, self.images, self.workers = task, images, workers
        self.budget = config.budget_for(task.epoch_size, len(images.training_ids))
        self.model = initial_model(config, images)
        if task.weights is not None:
            load_state(self.model, task.weights)
        mask = task.mask
        if mask is None:
            mask = Mask.dense(self.model, config.prune.layers, images.image_shape)
        self.rewind = None if config.rewind is None else RewindCapture(config.rewind)
        earliest = epochs_to_rewind(config.rewind, self.budget)
        draw = config.seed, config.round_index
        self.masks = CriterionMasks(images, mask, config.prune, config.prune.criterion, draw)
        self.tentative = TentativeMask(
            mask,
            config.prune.fraction,
            config.prune.tolerance,
            config.prune.patience,
            record_at_once=config.prune.record_at_once,
            warmup_epochs=self.budget.rising_epochs,
            earliest_epochs=earliest,
            form=self.masks,
        )
        self.gradual: GradualMask | None = None
        self.observers: list[Observer] = []
        if config.prune.gradual:
            self.gradual = self._gradual(mask)
        else:
            self.observers.append(TentativeObserver(self.tentative))
        if config.prune.criterion != PruneConfig.criterion:
            # Magnitudes cost nothing: there is no count to keep.
            self.observers.append(self.masks)
        if task.max_epochs is not None:
            self.observers.append(StopAfter(task.max_epochs))
        if self.rewind is not None:
            self.observers.append(self.rewind)
        if config.records_events:
            # Rank 0 looks, and all write under its number.
            attempt = (
                EventLog(event_folder(work), task.run).next_attempt() if workers.rank == 0 else 0
            )
            attempt = workers.rank_0_number(attempt, images.device)
            writer = event_writer(
                work,
                run=task.run,
                round_index=config.round_index,
                epoch_size=task.presented,
                workers=workers,
                attempt=attempt,
            )
            self.observers.append(EventObserver(EventRecorder(config.round_index, writer)))
        if on_epoch is not None and workers.rank == 0:
            self.observers.append(EpochCallback(on_epoch))

    def _gradual(self, mask: Mask) -> GradualMask:
        config, task = self.task.config, self.task
        epochs = min(self.budget.epochs, task.max_epochs or self.budget.epochs)
        steps = round(config.prune.gradual * epochs * self.budget.steps_per_epoch)
        left = mask.num_alive
        for _ in range(config.cuts):
            left -= round(config.prune.fraction * left)
        fraction = 1 - left / max(1, mask.num_alive)
        return GradualMask(mask, fraction, max(1, steps), prune=self.masks.under)

    def train(self, checkpoints: Folder) -> Trained:
        config = self.task.config
        training = Training(
            run=self.task.run,
            images=self.images,
            sample_ids=self.task.sample_ids,
            config=config.train,
            budget=self.budget,
            seed=config.seed,
            stream=("round", config.round_index),
            fresh=self.task.fresh,
            soft=self.task.soft,
            hardest=self.task.hardest,
        )
        return train(
            self.model,
            training,
            mask=self.task.mask,
            gradual=self.gradual,
            observers=self.observers,
            workers=self.workers,
            checkpoints=checkpoints,
        )

    def outcome(self, trained: Trained) -> RoundOutcome:
        config = self.task.config
        latest = self.tentative.latest if self.gradual is None else self.gradual.mask
        assert latest is not None
        load_state(self.model, trained.best_weights)
        if config.predicts_with == "pruned":
            latest.apply_(self.model)
        return RoundOutcome(
            budget=self.budget,
            epochs=tuple(trained.epochs),
            best_epoch=trained.best_epoch,
            best_accuracy=trained.best_accuracy,
            stopped_early=trained.stopped_early,
            distances=tuple(self.tentative.distances),
            next_mask=latest.to("cpu"),
            best_weights=trained.kept_weights,
            rewind_weights=None if self.rewind is None else self.rewind.weights,
            predictions=self._predictions(),
            statistics=None,
            score_samples=self.masks.score_samples,
            score_passes=self.masks.score_passes,
            made_by=trained.made_by,
        )

    def _predictions(self) -> NDArray[np.int32] | None:
        config = self.task.config
        if config.predicts_with is None:
            return None
        ids = self.images.training_ids
        return predict(self.model, self.images, ids, config.train.precision)


def train_with_workers(
    task: RoundTask, images: DeviceImages, work: Folder, *, on_epoch: OnEpoch | None = None
) -> None:
    """One worker's part of a data-parallel round; all workers of a process group call it with the
    same task.

    The result is the finished checkpoint in `work`, and the event files of all workers. Resumes
    from the last finished epoch.
    """
    workers = Workers.of_process_group(shares_of(task.config.train, task.epoch_size))
    _Session(task, images, work, workers=workers, on_epoch=on_epoch).train(work)


def train_round(
    task: RoundTask, images: DeviceImages, work: Folder, *, on_epoch: OnEpoch | None = None
) -> RoundOutcome:
    """Train one round in this process, or take the finished checkpoint that workers left.

    The events stay in `work`: `statistics` is None until `reduce_events`.
    """
    workers = Workers(shares=shares_of(task.config.train, task.epoch_size))
    session = _Session(task, images, work, workers=workers, on_epoch=on_epoch)
    return session.outcome(session.train(work))


def outcome_of_workers(
    task: RoundTask, images: DeviceImages, work: Folder, scratch: Folder
) -> RoundOutcome | None:
    """What workers that trained a round left in `work`; None where it isn't finished.

    scratch: a folder of this process alone: another run of the same round may put an earlier
    checkpoint in `work` at any moment.
    """
    checkpoint = Checkpoint.load(work, task.run)
    if checkpoint is None:
        return None
    budget = task.config.budget_for(task.epoch_size, len(images.training_ids))
    done = len(checkpoint.progress.epochs)
    if not checkpoint.progress.stopped_early and done < budget.epochs:
        return None
    checkpoint.save(scratch)
    return train_round(task, images, scratch)


def epochs_to_rewind(rewind: RewindPoint | None, budget: Budget) -> int:
    """The epochs of round 0 that have to be done before the rewind weights are there."""
    if rewind is None or rewind.unit == "init":
        return 0
    if rewind.unit == "epoch":
        return rewind.at
    return num_batches(rewind.at, budget.steps_per_epoch)


def run_round(
    task: RoundTask, images: DeviceImages, work: Folder, *, on_epoch: OnEpoch | None = None
) -> RoundOutcome:
    """Train one round in this process and reduce its events: a `TrainRound` for one worker."""
    outcome = train_round(task, images, work, on_epoch=on_epoch)
    if not task.config.records_events:
        return outcome

    events = recorded_events(
        work,
        run=task.run,
        round_index=task.config.round_index,
        recorded=len(outcome.epochs),
        sample_ids=task.sample_ids if task.same_rows else None,
    )
    statistics = count_events(events(None)).statistics()
    return dataclasses.replace(outcome, statistics=statistics, events=events)
