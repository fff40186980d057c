"""The only training loop: dense networks, rounds and tickets, one worker or several."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from prac.config.sections import Precision, TrainConfig
from prac.data.batches import DeviceImages
from prac.errors import CheckpointError, PracError, first_line
from prac.models.answers import answer_of
from prac.models.layout import placed
from prac.models.state import load_state
from prac.pruning.gradual import GradualMask
from prac.pruning.mask import Mask
from prac.selection.soft import SoftSet
from prac.storage import Folder
from prac.training import foreach
from prac.training.checkpoint import FILE_NAME, Checkpoint, Progress
from prac.training.evaluation import count_correct
from prac.training.hardest import hardest_part
from prac.training.made_by import MadeBy, computed_by, together
from prac.training.observers import EpochEnd, EpochRecord, GradualObserver, Observer
from prac.training.optimizers import Optimizer, make_optimizer
from prac.training.passes import EagerPasses, Passes, passes_for
from prac.training.precision import autocast, float32
from prac.training.randomness import (
    counted_seed,
    derived_seed,
    generator,
    generators_kept,
    seed_generators,
)
from prac.training.schedule import Budget, full_budget, shares_of
from prac.training.workers import Parallel, Workers


@dataclass(frozen=True, kw_only=True)
class Training:
    """What is trained and on what; everything a resumed training needs again.

    run: the key of this training. config: with its precision resolved. sample_ids: sorted int32
    rows it trains on. stream: names the random stream, e.g. ("round", 3); with the seed and the
    epoch it decides order and augmentation, and with step and share what the network draws
    (dropout, stochastic depth).
    fresh: every epoch draws so many of the rows anew, without doubles (RS2, Okanovic et al. 2023,
    arXiv:2305.18424, with replacement between epochs); None trains on all of them in every epoch.
    hardest: the `fresh` rows of an epoch are the hardest of its batches, which hold all rows
    (`prac.training.hardest`). soft: in place of `fresh`, the rows and their weights are those of
    this set's epochs.
    """

    run: str
    images: DeviceImages
    sample_ids: NDArray[np.int32]
    config: TrainConfig
    budget: Budget
    seed: int
    stream: tuple[str | int, ...]
    fresh: int | None = None
    soft: SoftSet | None = None
    hardest: bool = False

    @classmethod
    def on_everything(
        cls,
        images: DeviceImages,
        config: TrainConfig,
        *,
        run: str,
        seed: int,
        stream: tuple[str | int, ...],
    ) -> Training:
        """On the whole training split, for the full budget."""
        ids = images.training_ids
        budget = full_budget(config, len(ids))
        return cls(
            run=run,
            images=images,
            sample_ids=ids,
            config=config,
            budget=budget,
            seed=seed,
            stream=stream,
        )

    @property
    def precision(self) -> Precision:
        """Of all that is computed."""
        return self.config.precision

    @property
    def shares(self) -> int:
        """Into how many shares each of its steps is divided."""
        size = epoch_size(self.sample_ids, self.fresh, self.soft)
        return shares_of(self.config, size)

    def epoch_rows(self, epoch: int) -> tuple[NDArray[np.int32], NDArray[np.float32] | None]:
        """The rows of one epoch's batches, sorted, and what each weighs; None: 1."""
        if self.soft is not None:
            drawn = generator(self.seed, *self.stream, epoch, "soft")
            return self.soft.epoch(epoch, self.budget.epochs, drawn)
        if self.fresh is None or self.hardest:
            return self.sample_ids, None
        drawn = generator(self.seed, *self.stream, epoch, "fresh")
        places = torch.randperm(len(self.sample_ids), generator=drawn)[: self.fresh]
        return np.sort(self.sample_ids[places.numpy()]), None


def epoch_size(sample_ids: NDArray[np.int32], fresh: int | None, soft: SoftSet | None) -> int:
    """Samples of an epoch of a `Training` with these."""
    if soft is not None:
        return soft.size
    return len(sample_ids) if fresh is None else fresh


@dataclass(kw_only=True)
class Trained:
    """What a training leaves, beside the model in its last state.

    epochs: a record of each. best_weights: weights and buffers at `best_epoch`, the first with the
    highest validation accuracy. stopped_early: an observer asked for it. made_by: all processes
    that trained a part of it, those before a resumption too.
    """

    epochs: list[EpochRecord] = field(default_factory=list)
    best_epoch: int = -1
    best_accuracy: float = -1.0
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    stopped_early: bool = False
    made_by: MadeBy = field(default_factory=dict)

    @property
    def steps(self) -> int:
        """SGD steps done."""
        return sum(record.steps for record in self.epochs)

    @property
    def kept_weights(self) -> dict[str, Tensor]:
        """The best ones off the device, whose memory is for what is trained next."""
        return {name: tensor.cpu() for name, tensor in self.best_weights.items()}


def train(
    model: nn.Module,
    training: Training,
    *,
    mask: Mask | None = None,
    gradual: GradualMask | None = None,
    observers: Sequence[Observer] = (),
    workers: Workers | None = None,
    checkpoints: Folder | None = None,
) -> Trained:
    """Train `model` in place under `mask`, resuming from `checkpoints` where they are.

    gradual: in place of `mask`, one that changes on the way; the best epoch is one of those that
    end under its last.

    Pruned weights are exactly zero from the first step to the last: they start at zero and their
    gradients are zero, so neither momentum nor weight decay moves them; an optimiser of the user's
    is undone where it does. An observer that asks to stop is obeyed by all workers; rank 0's answer
    counts. Torch's global generators are seeded for each share of each step, and afterwards are as
    they were; a network that draws from others (NumPy's, Python's) is refused by the trial.
    Raises PracError where the loss is no longer finite, CheckpointError for a foreign checkpoint.
    """
    workers = workers or Workers(shares=training.shares)
    device = training.images.device
    placed(model, device)
    if gradual is not None:
        mask = gradual.mask
        observers = [GradualObserver(gradual), *observers]
    if mask is not None:
        mask.apply_(model)
    optimizer = make_optimizer(model, training.config)
    trained = Trained()
    loop = _Loop(model, training, trained, optimizer, observers, workers)
    if checkpoints is None or not loop.resume(checkpoints):
        for observer in observers:
            observer.on_start(model)
    # One answer for all: what they exchange in a step goes by it.
    reads_buffers = workers.size > 1 and workers.rank_0_says(
        _reads_buffers(model, training), device
    )
    parallel = workers.parallel(model, reads_buffers=reads_buffers)
    passes = passes_for(
        EagerPasses(
            model=model,
            precision=training.precision,
            label_smoothing=training.config.label_smoothing,
        ),
        device,
        alone=workers.shares == 1,
    )
    masked = _Masked(model, mask if gradual is None else gradual, device)
    if not trained.stopped_early and len(trained.epochs) < training.budget.epochs:
        before = [trained.made_by] if trained.epochs else []
        here = computed_by(device, training.precision)
        trained.made_by = together(*before, *workers.told(here, device))
    while not trained.stopped_early and len(trained.epochs) < training.budget.epochs:
        under_last_before = _under_last(gradual)
        with generators_kept(device), float32(device, training.precision):
            record = loop.epoch(parallel, passes, masked)
        trained.epochs.append(record)
        if under_last_before != _under_last(gradual):
            trained.best_accuracy = -1.0  # of a mask that holds no more
        if record.validation_accuracy > trained.best_accuracy:
            trained.best_epoch = record.epoch
            trained.best_accuracy = record.validation_accuracy
            trained.best_weights = {n: t.detach().clone() for n, t in model.state_dict().items()}
        end = EpochEnd(record=record, budget=training.budget, model=model)
        # Every observer is asked: `any` over a generator would leave some out.
        wishes = [observer.on_epoch(end) for observer in observers]
        # After the last epoch nothing is stopped early.
        left = len(trained.epochs) < training.budget.epochs
        trained.stopped_early = workers.rank_0_says(any(wishes) and left, device)
        if checkpoints is not None and workers.rank == 0:
            loop.checkpoint().save(checkpoints)
    return trained


def _under_last(gradual: GradualMask | None) -> bool:
    return gradual is None or gradual.done


def _reads_buffers(model: nn.Module, training: Training) -> bool:
    """Whether buffers that a step changes change the next one: BatchNorm's don't. The model, its
    buffers and torch's generators stay as they are."""
    before = [buffer.clone() for buffer in model.buffers()]
    images = training.images.clean(training.images.training_ids[:2])
    model.train()
    given = []
    with (
        generators_kept(images.device),
        torch.no_grad(),
        autocast(images.device, training.precision),
    ):
        for _ in range(2):
            seed_generators(images.device, 0)
            given.append(answer_of(model(images.clone())))
        for buffer, kept in zip(model.buffers(), before, strict=True):
            buffer.copy_(kept)
    return not torch.equal(*given)


class _Masked:
    """The parameters with pruned weights, and their masks in the same memory order."""

    def __init__(
        self, model: nn.Module, mask: Mask | GradualMask | None, device: torch.device
    ) -> None:
        self._model, self._device = model, device
        self._gradual = mask if isinstance(mask, GradualMask) else None
        self._take(mask.mask if isinstance(mask, GradualMask) else mask)

    def _take(self, mask: Mask | None) -> None:
        self._mask, self._parameters, self._alive = mask, list[Tensor](), list[Tensor]()
        if mask is None:
            return
        for name, weight in mask.weights(self._model).items():
            if not bool(mask[name].all()):
                alive = torch.empty_like(weight, device=self._device)
                alive.copy_(mask[name])
                self._parameters.append(weight)
                self._alive.append(alive)

    def mask_gradients(self) -> None:
        """Before a step."""
        # A frozen layer, or one that the forward pass left out, has no gradient.
        pairs = zip((p.grad for p in self._parameters), self._alive, strict=True)
        present = [(gradient, alive) for gradient, alive in pairs if gradient is not None]
        if present:
            foreach.multiply_([g for g, _ in present], [alive for _, alive in present])

    @torch.no_grad()
    def zero(self, *, keeps_zero: bool) -> None:
        """After a step. keeps_zero: the optimiser leaves what starts at zero there; the momentum
        of a weight that was pruned on the way moves it all the same."""
        if keeps_zero and self._gradual is None:
            return
        # Not a product: an optimiser of the user's may leave anything where a weight is pruned.
        for parameter, alive in zip(self._parameters, self._alive, strict=True):
            parameter.masked_fill_(alive == 0, 0.0)

    def follow(self) -> None:
        """Take the mask that holds now."""
        if self._gradual is not None and self._gradual.mask is not self._mask:
            self._take(self._gradual.mask)


@dataclass(frozen=True)
class _Loop:
    """One training while this worker is at it."""

    model: nn.Module
    training: Training
    trained: Trained
    optimizer: Optimizer
    observers: Sequence[Observer]
    workers: Workers

    def epoch(self, parallel: Parallel, passes: Passes, masked: _Masked) -> EpochRecord:
        """The next one."""
        model, training, workers = self.model, self.training, self.workers
        started = time.perf_counter()
        images, epoch = training.images, len(self.trained.epochs)
        step = first_step = epoch * training.budget.steps_per_epoch
        # Sums of the loss and of right predictions, on the device: read once, after the epoch.
        float_type = torch.float64 if images.device.type == "cpu" else torch.float32
        loss_sum, right_sum = torch.zeros(2, dtype=float_type, device=images.device)
        num_samples = 0
        forward_seed = derived_seed(training.seed, *training.stream, epoch, "forward")
        model.train()
        rows, weights = training.epoch_rows(epoch)
        feeds = [
            images.epoch(
                rows,
                training.config.batch_size,
                generator(training.seed, *training.stream, epoch),
                rank=share,
                world_size=workers.shares,
                weights=weights,
                trained=training.fresh if training.hardest else None,
            )
            for share in workers.mine
        ]
        for shares in zip(*feeds, strict=True):
            learning_rate = training.budget.learning_rate(step)
            self.optimizer.zero_grad()
            for share, batch in zip(workers.mine, shares, strict=True):
                # Shares of a step differ by one sample, so each counts by its samples in the step's
                # mean.
                weight = 1 / batch.step_size
                seed_generators(images.device, counted_seed(forward_seed, step, share))
                inputs, labels, presented = batch.images, batch.labels, None
                if batch.trained is not None:
                    inputs, labels, presented = hardest_part(
                        model, inputs, labels, batch.trained, training.precision
                    )
                with parallel.taking(share):
                    logits, losses = passes(inputs, labels, weight, batch.weights)
                for observer in self.observers:
                    observer.on_predictions(batch, logits if presented is None else presented)
                with torch.no_grad():
                    loss_sum += losses
                    right_sum += (logits.argmax(dim=1) == labels).sum()
                num_samples += len(labels)
            parallel.finish()
            masked.mask_gradients()
            self.optimizer.step(learning_rate)
            masked.zero(keeps_zero=self.optimizer.keeps_zero)
            step += 1
            for observer in self.observers:
                observer.on_step(step, model)
            masked.follow()
        workers.agree_on_buffers(model)
        mine = images.validation_ids[workers.rank :: workers.size]
        correct = count_correct(model, images, mine, training.precision)
        sums = [loss_sum, right_sum, torch.full_like(loss_sum, num_samples), correct.to(loss_sum)]
        loss, right, count, correct_total = workers.total(torch.stack(sums)).tolist()
        if not np.isfinite(loss):
            raise PracError(
                f"the loss is not finite in epoch {epoch + 1}; lower train.learning_rate or add "
                "warm-up"
            )
        return EpochRecord(
            epoch=epoch,
            steps=step - first_step,
            learning_rate=learning_rate,
            loss=loss / count,
            train_accuracy=right / count,
            validation_accuracy=correct_total / len(images.validation_ids),
            seconds=time.perf_counter() - started,
        )

    def checkpoint(self) -> Checkpoint:
        """What the training goes on from after its last epoch."""
        model, trained = self.model, self.trained
        tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
        tensors |= {f"best.{name}": tensor for name, tensor in trained.best_weights.items()}
        tensors |= self.optimizer.state({p: name for name, p in model.named_parameters()})
        states: dict[str, dict[str, Any]] = {}
        for observer in self.observers:
            kept, told = observer.state()
            states[observer.name] = dict(told)
            tensors |= {f"observer.{observer.name}.{name}": tensor for name, tensor in kept.items()}
        progress = Progress(
            epochs=tuple(trained.epochs),
            best_epoch=trained.best_epoch,
            best_accuracy=trained.best_accuracy,
            stopped_early=trained.stopped_early,
            observers=states,
            made_by=dict(trained.made_by),
        )
        return Checkpoint(run=self.training.run, tensors=tensors, progress=progress)

    def resume(self, checkpoints: Folder) -> bool:
        """Whether there was a checkpoint: then it goes on from there."""
        model, trained = self.model, self.trained
        checkpoint = Checkpoint.load(checkpoints, self.training.run)
        if checkpoint is None:
            return False

        def under(prefix: str) -> dict[str, Tensor]:
            return {
                name.removeprefix(prefix): tensor
                for name, tensor in checkpoint.tensors.items()
                if name.startswith(prefix)
            }

        progress = checkpoint.progress
        trained.epochs = list(progress.epochs)
        trained.best_epoch = progress.best_epoch
        trained.best_accuracy = progress.best_accuracy
        trained.stopped_early = progress.stopped_early
        trained.made_by = progress.made_by
        device = self.training.images.device
        trained.best_weights = {name: tensor.to(device) for name, tensor in under("best.").items()}
        try:
            load_state(model, under("model."))
            self.optimizer.restore(dict(model.named_parameters()), checkpoint.tensors)
            for observer in self.observers:
                kept = under(f"observer.{observer.name}.")
                observer.restore(kept, progress.observers[observer.name])
        except (RuntimeError, ValueError, LookupError) as error:
            raise CheckpointError(
                f"{checkpoints.describe(FILE_NAME)} doesn't fit this training "
                f"({first_line(error)}); remove it to start this training again"
            ) from error
        return True
