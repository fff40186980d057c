"""What updates the weights: our SGD, torch's AdamW, or an optimiser of the user's."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from prac.config.sections import TrainConfig
from prac.errors import ConfigError, first_line
from prac.plugins import load_custom
from prac.training.sgd import Sgd


class Optimizer(Protocol):
    """Updates parameters in place from their gradients.

    keeps_zero: whether a weight that is zero, with a gradient that always was, stays exactly zero
    by what the optimiser computes; else it is set to zero after each step.
    """

    keeps_zero: bool

    def zero_grad(self) -> None: ...

    def step(self, learning_rate: float) -> None:
        """One update."""

    def state(self, names: Mapping[Tensor, str]) -> dict[str, Tensor]:
        """What a checkpoint keeps, by names of its own made of the parameters' names."""

    def restore(self, parameters: Mapping[str, nn.Parameter], kept: Mapping[str, Tensor]) -> None:
        """Go on from what `state` gave; entries of others are left alone."""


def make_optimizer(model: nn.Module, train: TrainConfig) -> Optimizer:
    """The optimiser that `train.optimizer` names. Raises ConfigError for one that can't be made."""
    if train.optimizer == "sgd":
        return Sgd(
            model.parameters(),
            momentum=train.momentum,
            weight_decay=train.weight_decay,
            nesterov=train.nesterov,
        )
    settings: dict[str, Any] = {"lr": train.learning_rate, "weight_decay": train.weight_decay}
    if train.optimizer == "adamw":
        return TorchOptimizer(torch.optim.AdamW(model.parameters(), **settings), keeps_zero=True)
    make = load_custom("train.optimizer", train.optimizer)
    settings |= {"momentum": train.momentum, "nesterov": train.nesterov}
    try:
        known = inspect.signature(make).parameters
        any_name = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in known.values())
        taken = {n: v for n, v in settings.items() if any_name or n in known}
        made: object = make(model.parameters(), **taken)
    except Exception as error:
        raise ConfigError(
            f"train.optimizer {train.optimizer!r} failed when it was called with the parameters "
            f"and {', '.join(settings)}: {type(error).__name__}: {first_line(error)}"
        ) from error
    if not isinstance(made, torch.optim.Optimizer):
        raise ConfigError(
            f"train.optimizer {train.optimizer!r} returned {type(made).__name__}; allowed: a "
            "torch.optim.Optimizer"
        )
    return TorchOptimizer(made, keeps_zero=False)


class TorchOptimizer:
    """An optimiser of torch's kind under our learning rates; groups with other rates of their own
    keep their ratio."""

    def __init__(self, optimizer: torch.optim.Optimizer, *, keeps_zero: bool) -> None:
        self.keeps_zero = keeps_zero
        self._optimizer = optimizer
        rates = [float(group["lr"]) for group in optimizer.param_groups]
        # A first group that is frozen leaves it to the others.
        first = next(filter(None, rates), 1.0)
        self._ratios = [rate / first for rate in rates]

    def zero_grad(self) -> None:
        self._optimizer.zero_grad(set_to_none=True)

    def step(self, learning_rate: float) -> None:
        """One update of all parameters that have a gradient."""
        for group, ratio in zip(self._optimizer.param_groups, self._ratios, strict=True):
            group["lr"] = learning_rate * ratio
        self._optimizer.step()

    def state(self, names: Mapping[Tensor, str]) -> dict[str, Tensor]:
        """Every value as a tensor: `optimizer.KEY:PARAMETER`, and the numbers of each group, which
        some count in. Raises ConfigError for a value of another type."""
        kept = {
            f"group.{key}:{place}": _tensor(value)
            for place, group in enumerate(self._optimizer.param_groups)
            for key, value in group.items()
            if isinstance(value, (int, float)) and key != "lr"
        }
        for parameter, values in self._optimizer.state.items():
            if parameter not in names:
                raise ConfigError(
                    f"train.optimizer keeps a state under {parameter!r}, which is no parameter of "
                    "the network; allowed: states of parameters"
                )
            for key, value in values.items():
                if value is None:
                    continue
                if not isinstance(value, (Tensor, int, float)):
                    raise ConfigError(
                        f"train.optimizer keeps {key} of type {type(value).__name__}, which no "
                        "checkpoint can; allowed: tensors and numbers"
                    )
                kept[f"optimizer.{key}:{names[parameter]}"] = _tensor(value)
        return kept

    def restore(self, parameters: Mapping[str, nn.Parameter], kept: Mapping[str, Tensor]) -> None:
        """Take them back, on the devices and in the order of memory of the parameters."""
        for name, tensor in kept.items():
            key, _, of = name.partition(":")
            if key.startswith("group."):
                group = self._optimizer.param_groups[int(of)]
                group[key.removeprefix("group.")] = _value(tensor)
            elif key.startswith("optimizer."):
                weight, value = parameters[of], _value(tensor)
                if tensor.dim() and tensor.shape == weight.shape:
                    value = torch.empty_like(weight, dtype=tensor.dtype).copy_(tensor)
                self._optimizer.state[weight][key.removeprefix("optimizer.")] = value


def _tensor(value: Tensor | float) -> Tensor:
    if isinstance(value, Tensor):
        return value
    kinds = {bool: torch.bool, int: torch.int64}
    return torch.tensor(value, dtype=kinds.get(type(value), torch.float64))


def _value(tensor: Tensor) -> Tensor | float:
    """A number where it was one: torch's own counts are float32 tensors."""
    number = tensor.dim() == 0 and tensor.dtype in (torch.bool, torch.int64, torch.float64)
    return tensor.item() if number else tensor.clone()
