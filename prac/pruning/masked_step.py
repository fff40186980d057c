"""Pruned weights stay exactly zero, whatever optimiser and loop train the model."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from prac.pruning.mask import Mask


class PrunedPlaces:
    """Where one weight is pruned; follows the device of what it zeroes."""

    def __init__(self, alive: Tensor) -> None:
        self._pruned = ~alive

    def zero_(self, tensor: Tensor) -> None:
        """Set the entries that are pruned to exactly zero, infinite ones and NaN as well."""
        if self._pruned.device != tensor.device:
            self._pruned = self._pruned.to(tensor.device)
        tensor.masked_fill_(self._pruned, 0.0)


class MaskedStep:
    """Holds the pruned weights of a model at exactly zero through every step of an optimiser.

        masked = prac.MaskedStep(model, mask, optimizer)   # once; then train as ever

    They are zero from here on and after every `optimizer.step()`, also where it moves weights whose
    gradient is zero, by momentum from before the mask or from a state that is loaded. Without an
    optimiser call `before_step` and `after_step` around its step. Weights are found by name each
    time: a model whose parameters were replaced (`load_state_dict(..., assign=True)`) needs a new
    optimiser, and `watch` to be told of it, no more.

    Gradients are zeroed just before the step. Where their norm is clipped, call `before_step`
    before that. A step that takes a closure makes them inside it: call `before_step` at its end;
    without, the weights are zero all the same. Weights that are loaded keep their values until the
    next step, so load first. `remove` lets go.

    Raises TicketError where the mask is of another model, ConfigError for weights that are computed
    from others (parametrisations). Give the bare model, not what wraps it (DDP, torch.compile): its
    parameters are the same.
    """

    def __init__(
        self, model: nn.Module, mask: Mask, optimizer: torch.optim.Optimizer | None = None
    ) -> None:
        mask.apply_(model)
        self._model = model
        self._places = {
            name: PrunedPlaces(alive) for name, alive in mask.items() if not bool(alive.all())
        }
        self._hooks: list[RemovableHandle] = []
        if optimizer is not None:
            self.watch(optimizer)

    def watch(self, optimizer: torch.optim.Optimizer) -> None:
        """Call `before_step` and `after_step` with every step of this optimiser, too."""
        self._hooks += [
            optimizer.register_step_pre_hook(lambda *_: self.before_step()),
            optimizer.register_step_post_hook(lambda *_: self.after_step()),
        ]

    def remove(self) -> None:
        """Watch no optimiser any longer."""
        while self._hooks:
            self._hooks.pop().remove()

    @torch.no_grad()
    def before_step(self) -> None:
        """Zero the gradients of pruned weights."""
        for weight, places in self._pruned():
            if weight.grad is not None:
                places.zero_(weight.grad)

    @torch.no_grad()
    def after_step(self) -> None:
        """Zero the pruned weights."""
        for weight, places in self._pruned():
            places.zero_(weight)

    def _pruned(self) -> Iterator[tuple[nn.Parameter, PrunedPlaces]]:
        for name, places in self._places.items():
            yield self._model.get_parameter(name), places
