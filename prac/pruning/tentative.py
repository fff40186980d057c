"""The mask that a round would end with now, epoch by epoch: for any training loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from prac.config.checks import require
from prac.pruning.early_bird import EarlyBird
from prac.pruning.magnitude import global_magnitude
from prac.pruning.mask import Mask
from prac.schema import Amount, formed


class TentativeMask:
    """Forms the next mask at the end of every epoch, and says when the round may stop.

        tentative = prac.TentativeMask(mask)
        for epoch in range(epochs):
            ...  # train the model under `mask`
            if tentative.update(model):
                break
        next_mask = tentative.latest

    mask: the round's own, m_k. fraction: rho, the share of the weights alive that a round removes.
    tolerance: eps; None never stops. patience, record_at_once, warmup_epochs: of the stop
    (`EarlyBird`). earliest_epochs: no stop before so many epochs are done, because the rewind point
    has to be reached. form: makes the mask of what `update` is given, in place of global magnitude.

    latest: the tentative mask of the last epoch; None before the first. distances: between those of
    consecutive epochs, as a share of the weights alive in `mask`: number i is that of epoch i + 1,
    epochs counted from 0. Raises ConfigError for a value that isn't allowed.
    """

    def __init__(
        self,
        mask: Mask,
        fraction: float = 0.2,
        tolerance: float | None = 0.08,
        patience: int = 5,
        *,
        record_at_once: bool = False,
        warmup_epochs: int = 0,
        earliest_epochs: int = 0,
        form: Callable[[Any], Mask] | None = None,
    ) -> None:
        require(0 <= fraction <= 1, "fraction", fraction, "0 to 1")
        self.latest: Mask | None = None
        self.distances: list[float] = []
        self._mask = mask
        self._fraction = fraction
        self._earliest = earliest_epochs
        self._form = form or self._by_magnitude
        self._early_bird = (
            None
            if tolerance is None
            else EarlyBird(
                tolerance, patience, record_at_once=record_at_once, warmup_epochs=warmup_epochs
            )
        )

    def update(self, weights: nn.Module | Mapping[str, Tensor]) -> bool:
        """Form the mask at an epoch's end; true where the round may stop.

        weights: the model, or its weights by the mask's names (its `state_dict()`). Raises
        TicketError for weights that are missing, of another shape or not finite.
        """
        before, self.latest = self.latest, self._form(weights)
        if before is None:
            return False
        distance = self.latest.distance(before, alive=self._mask.num_alive)
        self.distances.append(distance)
        settled = self._early_bird is not None and self._early_bird.update(distance)
        epochs_done = len(self.distances) + 1
        return settled and epochs_done >= self._earliest

    def _by_magnitude(self, weights: nn.Module | Mapping[str, Tensor]) -> Mask:
        if isinstance(weights, nn.Module):
            weights = self._mask.weights(weights)
        return global_magnitude(weights, self._mask, self._fraction)

    def state(self) -> tuple[Mapping[str, Tensor], Mapping[str, Any]]:
        """What a checkpoint has to keep: the latest mask by name, and JSON values."""
        stop = None if self._early_bird is None else self._early_bird.state()
        return self.latest or {}, {"distances": self.distances, "early_bird": stop}

    def restore(self, tensors: Mapping[str, Tensor], progress: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        # A checkpoint's tensors come in no order; the mask's order decides ties.
        self.latest = Mask({name: tensors[name] for name in self._mask}) if tensors else None
        kept = formed(_Kept, progress, within="tentative")
        self.distances = list(kept.distances)
        if self._early_bird is not None:
            if kept.early_bird is None:
                raise ValueError("tentative: it keeps no early_bird")
            self._early_bird.restore(kept.early_bird)


@dataclass(frozen=True, kw_only=True)
class _Kept:
    distances: tuple[Amount, ...]
    early_bird: dict[str, Any] | None
