"""Masks by a criterion: in a training's tentative masks, or beside it, from initial weights or the
dense network's."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from prac.config.sections import PruneConfig
from prac.data.batches import DeviceImages
from prac.errors import ConfigError
from prac.lottery.stage_config import MaskConfig
from prac.lottery.starts import initial_model
from prac.models.state import load_state
from prac.plugins import is_custom
from prac.pruning.criteria import Pruning, find_criterion
from prac.pruning.mask import Mask
from prac.schema import Count, formed
from prac.training.observers import Observer, State
from prac.training.precision import float32
from prac.training.randomness import derived_seed, generator, generators_kept, seed_generators

GRASP_SAMPLES_PER_CLASS = 10
"""What `prune.scoring_samples=none` is: the choice of GraSP's authors' code (arXiv:2002.07376)."""
SCORING_BATCH = 128
"""Samples of one forward pass, which bounds the memory that a second derivative takes."""


@dataclass(frozen=True, kw_only=True)
class MadeMask:
    """A mask, the samples that were passed forward and backward to make it, and what that cost in
    forward passes of one image."""

    mask: Mask
    score_samples: int
    score_passes: int


def make_mask(
    config: MaskConfig,
    images: DeviceImages,
    mask: Mask | None,
    trained: Mapping[str, Tensor] | None = None,
) -> MadeMask:
    """m_{k+1} under m_k = `mask` (None: all ones), by the initial weights of the search, or by
    those of its dense network, `trained`."""
    model = initial_model(config, images)
    if trained is not None:
        load_state(model, trained)
    model.to(images.device)
    if mask is None:
        mask = Mask.dense(model, config.layers, images.image_shape)
    draw = config.seed, config.round_index
    masks = CriterionMasks(images, mask, config, config.criterion[0], draw)
    return MadeMask(
        mask=masks(model).to("cpu"),
        score_samples=masks.score_samples,
        score_passes=masks.score_passes,
    )


class CriterionMasks(Observer):
    """Makes the masks that follow m_k = `mask`, such as a round's tentative ones, by a criterion.

    config: its options. draw: the seed and the round. score_samples: images that the criterion was
    given so far; score_passes: what its scores cost, in forward passes of one image. As an observer
    it keeps both in checkpoints.
    """

    name = "criterion"

    def __init__(
        self,
        images: DeviceImages,
        mask: Mask,
        config: PruneConfig | MaskConfig,
        criterion: str,
        draw: tuple[int, int],
    ) -> None:
        self._name, self._fraction = criterion, config.fraction
        self._criterion = find_criterion(criterion)
        self._sample = _Sample(images, config.scoring_samples, draw)
        self._scorings = 0
        seed, round_index = draw
        self._pruning = Pruning(
            model=nn.Identity(),
            mask=mask,
            image_shape=images.image_shape,
            batches=self._sample,
            seed=derived_seed(seed, "mask", round_index),
            iterations=config.iterations,
        )

    def __call__(self, model: nn.Module) -> Mask:
        """The mask of a model's weights."""
        return self.under(model, self._pruning.mask, self._fraction)

    def under(self, model: nn.Module, mask: Mask, fraction: float) -> Mask:
        """The same under another mask, without another fraction of its weights."""
        self._scorings += self._pruning.iterations
        pruning = dataclasses.replace(self._pruning, model=model, mask=mask)
        # Scores may draw (dropout in training mode), by the round's seed alone.
        device = next(model.parameters()).device
        with generators_kept(device), float32(device, "fp32"):
            seed_generators(device, pruning.seed)
            if not is_custom(self._name):
                return self._criterion.next_mask(pruning, fraction)
            before = _as_it_is(model)
            made = self._criterion.next_mask(pruning, fraction)
        _refuse_changed(self._name, before, _as_it_is(model))
        return made

    @property
    def score_samples(self) -> int:
        """Images that were run for scores."""
        return self._sample.used

    @property
    def score_passes(self) -> int:
        """What that cost, in forward passes of one image."""
        return self._criterion.passes_for(self._sample.used, self._scorings)

    def state(self) -> State:
        return {}, {"samples": self._sample.used, "scorings": self._scorings}

    def restore(self, tensors: Mapping[str, Tensor], progress: Mapping[str, Any]) -> None:
        counts = formed(dict[str, Count], progress, within=self.name)
        self._sample.used, self._scorings = counts["samples"], counts["scorings"]


def _as_it_is(model: nn.Module) -> dict[str, Any]:
    """What a criterion of the user's may not change: a training goes on from it."""
    told: dict[str, Any] = {name: module.training for name, module in model.named_modules()}
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        told[name] = tensor.detach().clone(), tensor.requires_grad
    return told


def _refuse_changed(criterion: str, before: dict[str, Any], after: dict[str, Any]) -> None:
    for name in before | after:
        one, other = before.get(name), after.get(name)
        if isinstance(one, tuple) and isinstance(other, tuple):
            same = one[1] == other[1] and torch.equal(one[0].nan_to_num(), other[0].nan_to_num())
        else:
            same = one is other
        if not same:
            raise ConfigError(
                f"prune.criterion {criterion!r} changed the network that it looked at "
                f"({name or 'its mode'!r}); allowed: to leave it as it is (BatchNorm counts what "
                "passes in training mode: copy.deepcopy(p.model).eval())"
            )


class _Sample:
    """The samples that a criterion looks at, drawn when it first asks; counts those it is given."""

    def __init__(self, images: DeviceImages, count: int | None, purpose: tuple[int, int]) -> None:
        self._images, self._purpose = images, purpose
        wanted = GRASP_SAMPLES_PER_CLASS * images.num_classes if count is None else count
        self._count = min(wanted, len(images.training_ids))
        self._ids: NDArray[np.int32] | None = None
        self.used = 0

    def __call__(self) -> list[tuple[Tensor, Tensor]]:
        if self._ids is None:
            self._ids = scoring_ids(self._images, self._count, *self._purpose)
        self.used += len(self._ids)
        parts = range(0, len(self._ids), SCORING_BATCH)
        chosen = [self._ids[start : start + SCORING_BATCH] for start in parts]
        return [(self._images.clean(ids), self._images.labels(ids)) for ids in chosen]


def scoring_ids(images: DeviceImages, count: int, seed: int, round_index: int) -> NDArray[np.int32]:
    """`count` training rows in an order in which classes take turns; drawn by seed and round.

    A class that has no more rows is passed over.
    """
    drawn = generator(seed, "scoring", round_index)
    ids = images.training_ids[torch.randperm(len(images.training_ids), generator=drawn).numpy()]
    labels = images.labels(ids).cpu().numpy()
    turn = np.zeros(len(ids), np.int64)
    for label in np.unique(labels):
        turn[labels == label] = np.arange(np.count_nonzero(labels == label))
    chosen: NDArray[np.int32] = ids[np.lexsort((labels, turn))][:count]
    return chosen
