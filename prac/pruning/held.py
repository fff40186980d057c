"""A mask that stays with the modules it was put on: copied, saved and loaded with them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)
from torch.utils.hooks import RemovableHandle
from torch.utils.weak import TensorWeakRef, WeakIdKeyDictionary

from prac.errors import TicketError
from prac.pruning.mask import Mask
from prac.pruning.masked_step import PrunedPlaces

_ATTRIBUTE = "prac_hold"
_holds = WeakIdKeyDictionary()
"""By weight: what holds it, which refers to the weight weakly, so that both go with the network.
Every step of every torch optimiser asks here."""
_watching: list[RemovableHandle] = []


def hold(model: nn.Module, mask: Mask) -> None:
    """Set the pruned weights of the model to zero and keep them there; an older mask goes.

    They are exactly zero after every step of any torch optimiser, also one made before, with
    momentum, or loaded; after `load_state_dict`, with `assign=True` too; in what `copy.deepcopy`
    makes and what `torch.save` and `torch.load` give back. Their gradients are zero as they are
    accumulated, so a loop without a torch optimiser that moves weights by gradients alone keeps
    them too; what else it does to them, through `.data` as well, is undone by the next forward
    pass that isn't compiled. Weights that are handed in for one call (`torch.func.functional_call`)
    are the caller's; one that is parametrized later raises TicketError at the next pass. Names in
    `state_dict` are those of the model. Raises TicketError where the mask is of another model.
    """
    mask.apply_(model)
    release(model)
    by_weight = {id(weight): mask[name] for name, weight in mask.weights(model).items()}
    # Modules that share a weight share its hold: two would each undo the other's change of it.
    holds: dict[tuple[int, str], _Hold] = {}
    for module in model.modules():
        for name, weight in module.named_parameters(recurse=False):
            if (alive := by_weight.get(id(weight))) is not None:
                held = holds.setdefault((id(weight), name), _Hold(name))
                held.take(module, None if bool(alive.all()) else PrunedPlaces(alive))


def release(model: nn.Module) -> None:
    """Let the weights go wherever training takes them; the model is as it was before `hold`."""
    for module in model.modules():
        for name, found in list(vars(module).items()):
            if isinstance(found, _Hold):
                found.let_go()
                delattr(module, name)


class _Hold:
    """Holds the parameter with this name of a module and of those that share it; without places,
    nothing."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.handles: list[RemovableHandle] = []
        self._places: PrunedPlaces | None = None
        self._weight: TensorWeakRef | None = None
        self._gradient: RemovableHandle | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {
            "name": self._name,
            "places": self._places,
            "weight": self._followed(),
            "handles": self.handles,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["name"])  # type: ignore[misc]
        self._places, self.handles = state["places"], state["handles"]
        self._follow(state["weight"])

    def take(self, module: nn.Module, places: PrunedPlaces | None) -> None:
        """Hold the module's weight at these places, with that of modules that share it."""
        # An attribute and hooks: deep copies and pickles of a module carry both, and `__setstate__`
        # finds the weight of the copy.
        setattr(module, f"{_ATTRIBUTE}_{self._name}", self)
        self.handles += [
            module.register_forward_pre_hook(self.before_forward),
            module.register_load_state_dict_post_hook(self.after_load),  # type: ignore[no-untyped-call]
        ]
        self._places = places
        self._follow(getattr(module, self._name))
        self.zero()

    def let_go(self) -> None:
        """Hold nothing any longer, and be called no more."""
        self._places = None
        self._follow(None)
        while self.handles:
            self.handles.pop().remove()

    def before_forward(self, module: nn.Module, _: object) -> None:
        """Undo what changed the weight by another way than an optimiser's step."""
        self._require_parameter(module)
        weight: object = getattr(module, self._name)
        if (
            self._places is None
            # A graph that is traced is the module's own: nothing has changed the weight there.
            or torch.compiler.is_compiling()
            or torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]
            # What takes the weight's place for a call: functional_call, replicas.
            or not isinstance(weight, nn.Parameter)
        ):
            return
        if weight is not self._followed():
            self._follow(weight)
        self.zero()

    def _require_parameter(self, module: nn.Module) -> None:
        own = {name for name, _ in module.named_parameters(recurse=False)}
        replica = hasattr(module, "_is_replica")
        if self._places is not None and self._name not in own and not replica:
            raise TicketError(
                f"{self._name} of {type(module).__name__} is no parameter any more but computed "
                "(by a parametrization?), and pruned weights would not stay zero; "
                "prac.pruning.held.release(model) lets them go"
            )

    def after_load(self, module: nn.Module, _: object) -> None:
        """Zero what was loaded; the weight may be another tensor now."""
        self._follow(getattr(module, self._name))
        self.zero()

    def zero(self) -> None:
        weight = self._followed()
        if self._places is not None and weight is not None:
            # `.data`, since what is zero already has not changed: its version, by which autograd
            # knows the weights that a backward pass needs, stays.
            with torch.inference_mode(weight.is_inference()):
                self._places.zero_(weight.data)

    def zero_gradient(self, weight: Tensor) -> None:
        if self._places is not None and weight.grad is not None:
            self._places.zero_(weight.grad)

    def _followed(self) -> Tensor | None:
        return None if self._weight is None else self._weight()

    def _follow(self, weight: Tensor | None) -> None:
        if self._gradient is not None:
            self._gradient.remove()
            self._gradient = None
        old = self._followed()
        if old is not None and old in _holds and _holds[old] is self:
            del _holds[old]
        self._weight = None if weight is None else TensorWeakRef(weight)
        if weight is None or self._places is None:
            return
        _watch()
        _holds[weight] = self
        if not weight.is_inference():
            # Frozen weights may be trained later; torch takes hooks of those alone that are not.
            trains = weight.requires_grad
            register = weight.requires_grad_().register_post_accumulate_grad_hook
            self._gradient = register(self.zero_gradient)  # type: ignore[no-untyped-call]
            weight.requires_grad_(trains)


def _watch() -> None:
    """See every torch optimiser's steps, those of optimisers that were made before as well."""
    if not _watching:
        _watching.append(register_optimizer_step_pre_hook(_before_step))
        _watching.append(register_optimizer_step_post_hook(_after_step))


def _held(optimizer: torch.optim.Optimizer) -> list[tuple[Tensor, _Hold]]:
    weights = (weight for group in optimizer.param_groups for weight in group["params"])
    return [(weight, _holds[weight]) for weight in weights if weight in _holds]


def _before_step(optimizer: torch.optim.Optimizer, *_: object) -> None:
    for weight, held in _held(optimizer):
        held.zero_gradient(weight)


def _after_step(optimizer: torch.optim.Optimizer, *_: object) -> None:
    for _weight, held in _held(optimizer):
        held.zero()
