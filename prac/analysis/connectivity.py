"""Linear mode connectivity: is training already stable at a rewind point?

Two trainings from the same weights in different orders end in the same valley where the error does
not rise on the straight line between them; a lottery ticket is found by magnitude pruning where
they do (Frankle et al. 2020, arXiv:1912.05671). So the barrier chooses the rewind point.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from prac.config.recipe import Recipe
from prac.config.sections import Precision, TrainConfig
from prac.config.values import RewindPoint
from prac.data.batches import DeviceImages
from prac.errors import ConfigError
from prac.models.initial import started
from prac.models.layout import placed
from prac.models.mode import in_mode
from prac.models.registry import network_for
from prac.models.state import load_state
from prac.pruning.mask import Mask
from prac.training.evaluation import count_correct
from prac.training.loop import Training, train
from prac.training.observers import EpochEnd, Observer, RewindCapture
from prac.training.precision import autocast
from prac.training.randomness import derived_seed, generators_kept, seed_generators

Weights = Mapping[str, Tensor]
STABLE = 0.02
"""A barrier below two points of error counts as none (arXiv:1912.05671, section 3)."""
STATISTICS_ROWS = 5_000
"""Training rows, at most, from which BatchNorm's statistics are taken anew."""
_BATCH = 256
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


@dataclass(frozen=True, kw_only=True)
class Line:
    """The error on the straight line between two trained networks, ends included.

    shares: of the way from the first to the second. training_errors, validation_errors: shares of
    the rows predicted wrong, in [0, 1].
    """

    shares: tuple[float, ...]
    training_errors: tuple[float, ...]
    validation_errors: tuple[float, ...]

    @property
    def training_barrier(self) -> float:
        """How far the error on the training rows rises above the mean of the two ends."""
        return barrier(self.training_errors)

    @property
    def validation_barrier(self) -> float:
        """The same on the validation rows."""
        return barrier(self.validation_errors)

    @property
    def stable(self) -> bool:
        """Whether both barriers are below two points of error."""
        return max(self.training_barrier, self.validation_barrier) < STABLE


def barrier(errors: Sequence[float]) -> float:
    """The highest error on a line less the mean error of its ends; 0 or more."""
    return max(errors) - (errors[0] + errors[-1]) / 2 if errors else 0.0


def interpolate(first: Weights, second: Weights, share: float) -> dict[str, Tensor]:
    """Weights and statistics at `share` of the way; whole numbers (counters) are the first's."""
    return {
        name: torch.lerp(tensor, second[name], share) if tensor.is_floating_point() else tensor
        for name, tensor in first.items()
    }


def line(
    model: nn.Module,
    first: Weights,
    second: Weights,
    images: DeviceImages,
    precision: Precision,
    *,
    points: int = 11,
    seed: int = 0,
) -> Line:
    """The errors at `points` places of the line, evenly spaced; changes the model's weights.

    BatchNorm's statistics are taken anew from training rows at every place, ends included: those of
    the ends, averaged, belong to no network on the way. seed: of what the model draws then. Raises
    ConfigError for fewer than 3 points.
    """
    if points < 3:
        raise ConfigError(f"{points} points on the line are too few; allowed: 3 or more")
    placed(model, images.device)
    shares = tuple(index / (points - 1) for index in range(points))
    errors: list[tuple[float, float]] = []
    for share in shares:
        load_state(model, interpolate(first, second, share))
        renew_statistics(model, images, precision, seed=seed)
        training, validation = (
            1 - int(count_correct(model, images, ids, precision)) / len(ids)
            for ids in (images.training_ids, images.validation_ids)
        )
        errors.append((training, validation))
    training_errors, validation_errors = zip(*errors, strict=True)
    return Line(shares=shares, training_errors=training_errors, validation_errors=validation_errors)


@torch.no_grad()
def renew_statistics(
    model: nn.Module, images: DeviceImages, precision: Precision, *, seed: int = 0
) -> None:
    """Set every BatchNorm's mean and variance to the average over batches of training rows.

    The rows are spread evenly over the training split, not augmented; a model without BatchNorm
    is left as it is. seed: of what layers draw in training mode (dropout).
    """
    norms = [m for m in model.modules() if isinstance(m, _NORMS)]
    if not norms:
        return
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average of all batches
    device = images.device
    with generators_kept(device), in_mode(model, training=True), autocast(device, precision):
        seed_generators(device, derived_seed(seed, "statistics"))
        for rows in _even_batches(images.training_ids):
            model(images.clean(rows))
    for norm, momentum in zip(norms, before, strict=True):
        norm.momentum = momentum


def connectivity(
    architecture: str,
    weights: Weights,
    mask: Mask | None,
    images: DeviceImages,
    config: TrainConfig,
    *,
    seed: int = 0,
    points: int = 11,
) -> Line:
    """Train twice from `weights` under `mask` for the full budget, in two orders; their line.

    config: with its precision resolved. The two differ in the order of the samples and in their
    augmentation and in nothing else; each ends with its last weights.
    """
    model = network_for(images, architecture)
    ends = []
    for order in (0, 1):
        load_state(model, weights)
        train(model, _training(images, config, seed, ("order", order)), mask=mask)
        ends.append({name: tensor.detach().clone() for name, tensor in model.state_dict().items()})
    return line(model, ends[0], ends[1], images, config.precision, points=points, seed=seed)


def rewind_connectivity(
    recipe: Recipe,
    architecture: str,
    images: DeviceImages,
    rewinds: Sequence[RewindPoint],
    precision: Precision,
    *,
    points: int = 11,
    on_line: Callable[[RewindPoint, Line], None] | None = None,
) -> dict[str, Line]:
    """The line of the dense network for each rewind point: one training up to the last of them, as
    round 0 of the recipe's search is, then two from each.

    Raises ConfigError for a point past the recipe's budget, and for one that rewinds no weights.
    """
    config = dataclasses.replace(recipe.train, precision=precision)
    captured = _weights_at(recipe, architecture, images, rewinds, config)
    lines = {}
    for rewind in rewinds:
        lines[str(rewind)] = connectivity(
            architecture,
            captured[str(rewind)],
            None,
            images,
            config,
            seed=recipe.search.seed,
            points=points,
        )
        if on_line is not None:
            on_line(rewind, lines[str(rewind)])
    return lines


def _weights_at(
    recipe: Recipe,
    architecture: str,
    images: DeviceImages,
    rewinds: Sequence[RewindPoint],
    config: TrainConfig,
) -> dict[str, Weights]:
    seed = recipe.search.seed
    training = _training(images, config, seed, ("round", 0))
    captures = {str(rewind): RewindCapture(rewind) for rewind in rewinds}
    for rewind in rewinds:
        if not rewind.rewinds:
            raise ConfigError(
                f"{rewind} rewinds no weights to train from; allowed: init, epoch:N, step:N"
            )
    last = _last_step(rewinds, training.budget.steps_per_epoch)
    if last > training.budget.steps:
        raise ConfigError(
            f"a rewind point after {last} steps is past the budget; "
            f"allowed: up to epoch:{config.epochs} or step:{training.budget.steps}"
        )
    model = started(
        architecture,
        recipe.model.weights_of(architecture),
        num_classes=images.num_classes,
        image_shape=images.image_shape,
        seed=derived_seed(seed, "weights"),
    )
    if last == 0:
        for capture in captures.values():
            capture.on_start(model)
    else:
        train(model, training, observers=[*captures.values(), _Until(last)])
    found: dict[str, Weights] = {}
    for name, capture in captures.items():
        assert capture.weights is not None
        found[name] = capture.weights
    return found


def _last_step(rewinds: Sequence[RewindPoint], steps_per_epoch: int) -> int:
    units = {"init": 0, "step": 1, "epoch": steps_per_epoch}
    return max((units[rewind.unit] * rewind.at for rewind in rewinds), default=0)


class _Until(Observer):
    """Stops after the epoch in which so many steps are done."""

    name = "until"

    def __init__(self, steps: int) -> None:
        self._steps = steps

    def on_epoch(self, end: EpochEnd) -> bool:
        """Whether they are."""
        return (end.record.epoch + 1) * end.budget.steps_per_epoch >= self._steps


def _training(
    images: DeviceImages, config: TrainConfig, seed: int, stream: tuple[str | int, ...]
) -> Training:
    return Training.on_everything(images, config, run="connectivity", seed=seed, stream=stream)


def _even_batches(ids: NDArray[np.int32]) -> list[NDArray[np.int32]]:
    """Batches, nearly equal in size, of rows spread evenly over `ids`."""
    count = min(len(ids), STATISTICS_ROWS)
    rows = ids[np.arange(count) * len(ids) // count]
    return np.array_split(rows, max(1, round(count / _BATCH)))
