"""A mask from which weights go in the course of one training, not all of them before it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from prac.config.checks import require
from prac.pruning.magnitude import global_magnitude
from prac.pruning.mask import Mask
from prac.schema import formed

UPDATES = 100
"""How often weights are pruned; Zhu and Gupta advise 100 to 1,000 steps from one to the next."""


class GradualMask:
    """Prunes `fraction` of the weights alive within the first `steps` steps of a training: many at
    first, ever fewer towards the end.

        gradual = prac.GradualMask(mask, 0.8, steps=2000)
        for step in range(4000):
            ...  # a step of the model, whatever the optimiser
            gradual.update(step + 1, model)
            gradual.mask.apply_(model)  # momentum moves what was pruned

    After a share t of the steps, `fraction * (1 - (1 - t)^3)` of them are pruned (Zhu and Gupta
    2017, arXiv:1710.01878, equation 1), the smallest in magnitude; what is pruned stays so. In the
    end they are as many as `global_magnitude` prunes at once.

    mask: to begin with; afterwards `mask` is the one that holds, and `done` says whether it is the
    last. prune: makes the mask that removes a fraction of another's weights, in place of magnitude.
    Raises ConfigError for a value that isn't allowed.
    """

    def __init__(
        self,
        mask: Mask,
        fraction: float,
        steps: int,
        *,
        prune: Callable[[nn.Module, Mask, float], Mask] | None = None,
    ) -> None:
        require(0 <= fraction <= 1, "fraction", fraction, "0 to 1")
        require(steps >= 1, "steps", steps, "1 or more")
        self.mask, self.done = mask, False
        self._alive, self._fraction, self._steps = mask.num_alive, fraction, steps
        self._every = max(1, steps // UPDATES)
        self._prune = prune or _by_magnitude

    def update(self, steps_done: int, model: nn.Module) -> bool:
        """Prune the model after a step, where it is time; true where weights went.

        steps_done: of the training, counted from 1. Raises TicketError for weights that don't fit
        the mask or are not finite.
        """
        last = steps_done >= self._steps
        if self.done or not (last or steps_done % self._every == 0):
            return False
        self.done = last
        share = 1.0 if last else 1 - (1 - steps_done / self._steps) ** 3
        left = self._alive - round(share * self._fraction * self._alive)
        surplus = self.mask.num_alive - left
        if surplus == 0:
            return False
        # Rounded to a whole number of weights, this is `surplus` again.
        self.mask = self._prune(model, self.mask, surplus / self.mask.num_alive)
        self.mask.apply_(model)
        return True

    def state(self) -> tuple[Mapping[str, Tensor], Mapping[str, Any]]:
        """What a checkpoint has to keep: the mask by name, and JSON values."""
        return self.mask, {"done": self.done}

    def restore(self, tensors: Mapping[str, Tensor], progress: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        # A checkpoint's tensors come in no order; the mask's order decides ties.
        self.mask = Mask({name: tensors[name] for name in self.mask})
        self.done = formed(dict[str, bool], progress, within="gradual")["done"]


def _by_magnitude(model: nn.Module, mask: Mask, fraction: float) -> Mask:
    return global_magnitude(mask.weights(model), mask, fraction)
