"""The budget of a round: how many epochs and steps, and the learning rate at each step."""

from __future__ import annotations

from dataclasses import dataclass

from prac.config import BudgetConfig, TrainConfig
from prac.data.steps import num_batches


@dataclass(frozen=True, kw_only=True)
class Budget:
    """One round's training: its length and its schedule. Milestones are epochs, from 1 on."""

    epochs: int
    steps_per_epoch: int
    milestones: tuple[int, ...]
    warmup_epochs: int
    peak_learning_rate: float
    decay: float

    @property
    def steps(self) -> int:
        """SGD steps of the whole budget."""
        return self.epochs * self.steps_per_epoch

    def learning_rate(self, step: int) -> float:
        """The learning rate of the step with this number, counted from 0.

        Linear from 0 over the warm-up, then times `decay` at every milestone.
        """
        warmup_steps = self.warmup_epochs * self.steps_per_epoch
        if step < warmup_steps:
            return self.peak_learning_rate * step / warmup_steps
        epoch = step // self.steps_per_epoch
        passed = sum(milestone <= epoch for milestone in self.milestones)
        return self.peak_learning_rate * self.decay**passed


def full_budget(train: TrainConfig, num_samples: int) -> Budget:
    """N_0: the budget on all training samples."""
    return Budget(
        epochs=train.epochs,
        steps_per_epoch=num_batches(num_samples, train.batch_size),
        milestones=train.milestones,
        warmup_epochs=train.warmup_epochs,
        peak_learning_rate=train.learning_rate,
        decay=train.decay,
    )


def round_budget(
    train: TrainConfig, scaling: BudgetConfig, num_samples: int, num_full_samples: int
) -> Budget:
    """The budget of a round on `num_samples` of `num_full_samples` (METHOD, step 1).

    `epochs`: floor(epochs * share), so steps fall with the square of the share (arXiv:2106.03225's
    runs). `steps`: the whole epochs nearest to floor(N_0 * share) steps. At least one epoch and the
    configuration's floors; milestones and warm-up scale with the epochs. A milestone that would
    fall before the first epoch's end falls at it.
    """
    full = full_budget(train, num_full_samples)
    steps_per_epoch = num_batches(num_samples, train.batch_size)
    if scaling.scaling == "epochs":
        wanted = full.epochs * num_samples // num_full_samples
    else:
        wanted = round(full.steps * num_samples // num_full_samples / steps_per_epoch)
    floor = max(scaling.min_round_epochs, num_batches(scaling.min_round_steps, steps_per_epoch))
    epochs = max(1, wanted, min(floor, full.epochs))
    if epochs == wanted and scaling.scaling == "epochs":
        numerator, denominator = num_samples, num_full_samples
    else:
        numerator, denominator = epochs, full.epochs
    return Budget(
        epochs=epochs,
        steps_per_epoch=steps_per_epoch,
        milestones=tuple(max(1, m * numerator // denominator) for m in full.milestones),
        warmup_epochs=min(full.warmup_epochs * numerator // denominator, epochs - 1),
        peak_learning_rate=full.peak_learning_rate,
        decay=full.decay,
    )
