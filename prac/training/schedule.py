"""The budget of a round: how many epochs and steps, and the learning rate at each step."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from prac.config.counts import num_batches
from prac.config.sections import BudgetConfig, Schedule, TrainConfig
from prac.config.values import Share

RISE = 0.3
"""The share of a one-cycle budget in which the learning rate rises."""
START_DIVISOR, END_DIVISOR = 25, 25e4
"""What the peak is divided by at the start and at the end of a one-cycle budget.

These three are the defaults of `torch.optim.lr_scheduler.OneCycleLR`."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """One round's training: its length and its schedule. Milestones are epochs, from 1 on."""

    epochs: int
    steps_per_epoch: int
    milestones: tuple[int, ...]
    warmup_epochs: int
    peak_learning_rate: float
    decay: float
    schedule: Schedule

    @property
    def steps(self) -> int:
        """SGD steps of the whole budget."""
        return self.epochs * self.steps_per_epoch

    @property
    def rising_epochs(self) -> int:
        """Epochs in which the learning rate still rises: the masks of these have not settled.

        The warm-up, and all of a one-cycle's rise: the early-bird stop takes both for warm-up,
        although the `warmup_epochs` of a one-cycle are 0.
        """
        return math.ceil(RISE * self.epochs) if self.schedule == "onecycle" else self.warmup_epochs

    def learning_rate(self, step: int) -> float:
        """The learning rate of the step with this number, counted from 0.

        `multistep` and `cosine`: linear over the warm-up, whose first step has the peak divided by
        the number of its steps and whose last has the peak. Then times `decay` at every milestone,
        or a half cosine over the steps that are left; `onecycle`: a half cosine up from the peak
        over `START_DIVISOR`, then one down, all of it where the steps are too few to rise.
        """
        peak, steps = self.peak_learning_rate, self.steps
        if self.schedule == "onecycle":
            # Fewer than four steps have no rise, and begin at the peak.
            top = max(RISE * steps - 1, 0.0)
            if step <= top:
                return _half_cosine(peak / START_DIVISOR, peak, step / top) if top else peak
            return _half_cosine(peak, peak / END_DIVISOR, (step - top) / (steps - 1 - top))
        warmup_steps = self.warmup_epochs * self.steps_per_epoch
        if step < warmup_steps:
            return peak * (step + 1) / warmup_steps
        if self.schedule == "cosine":
            return _half_cosine(peak, 0.0, (step - warmup_steps) / (steps - warmup_steps))
        epoch = step // self.steps_per_epoch
        passed = sum(milestone <= epoch for milestone in self.milestones)
        return peak * self.decay**passed


def _half_cosine(start: float, end: float, share: float) -> float:
    """From `start` (share 0) to `end` (share 1)."""
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


def full_budget(train: TrainConfig, num_samples: int) -> Budget:
    """N_0: the budget on all training samples."""
    return Budget(
        epochs=train.epochs,
        steps_per_epoch=num_batches(num_samples, train.batch_size),
        milestones=train.milestones,
        warmup_epochs=train.warmup_epochs,
        peak_learning_rate=train.learning_rate,
        decay=train.decay,
        schedule=train.schedule,
    )


def shares_of(train: TrainConfig, num_samples: int) -> int:
    """Into how many shares each step of an epoch of so many samples is divided: `train.shares`, or
    fewer, where a share would have a single sample, of which BatchNorm can't take a variance."""
    smallest = num_samples // num_batches(num_samples, train.batch_size)
    return max(1, min(train.shares, smallest // 2))


def round_budget(
    train: TrainConfig, scaling: BudgetConfig, num_samples: int, num_full_samples: int
) -> Budget:
    """The budget of a round on `num_samples` of `num_full_samples` (arXiv:2106.03225).

    `epochs`: floor(epochs * share), so steps fall with the square of the share (arXiv:2106.03225's
    runs). `steps`: the whole epochs nearest to floor(N_0 * share) steps. At least one epoch and the
    configuration's floors, up to the full budget; milestones and warm-up scale with the epochs. A
    milestone that would fall before the first epoch's end falls at it.
    """
    full = full_budget(train, num_full_samples)
    steps_per_epoch = num_batches(num_samples, train.batch_size)
    if scaling.scaling == "epochs":
        wanted = full.epochs * num_samples // num_full_samples
    else:
        wanted = round(full.steps * num_samples // num_full_samples / steps_per_epoch)
    steps = scaling.min_round_steps
    if isinstance(steps, Share):
        steps = round(steps.of * full.steps)
    floor = max(
        min(scaling.min_round_epochs, full.epochs),
        min(
            num_batches(steps, steps_per_epoch),
            full.steps // steps_per_epoch,
            # Events keep the epoch as int16.
            2**15 - 1,
        ),
    )
    epochs = max(1, wanted, floor)
    if epochs == wanted and scaling.scaling == "epochs":
        numerator, denominator = num_samples, num_full_samples
    else:
        numerator, denominator = epochs, full.epochs
    return dataclasses.replace(
        full,
        epochs=epochs,
        steps_per_epoch=steps_per_epoch,
        milestones=tuple(max(1, m * numerator // denominator) for m in full.milestones),
        warmup_epochs=min(full.warmup_epochs * numerator // denominator, epochs - 1),
    )
