"""Which weights are alive."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from prac.errors import TicketError
from prac.pruning.prunable import plain_weight, prunable_weights


class Mask(Mapping[str, Tensor]):
    """A frozen mapping from parameter name to a bool tensor of its shape: true is alive.

    It has tensors of its own: what is done later to those that it was made of changes no mask.
    """

    def __init__(self, alive: Mapping[str, Tensor]) -> None:
        for name, tensor in alive.items():
            if tensor.dtype != torch.bool:
                raise TicketError(f"mask of {name} is {tensor.dtype}; allowed: bool")
        self._alive = {name: tensor.detach().clone() for name, tensor in alive.items()}
        self._num_alive: int | None = None

    @classmethod
    def dense(
        cls, model: nn.Module, layers: str = "conv", image_shape: tuple[int, int, int] | None = None
    ) -> Mask:
        """All ones over the model's prunable weights, as `prunable_weights` takes them: m_0.

        Raises TicketError where there are none.
        """
        weights = prunable_weights(model, layers, image_shape)
        if not weights:
            what = "convolution" if layers == "conv" else f"layer for prune.layers={layers}"
            other = "; prune.layers=conv+linear has linear layers too" if layers == "conv" else ""
            raise TicketError(f"the model has no {what}, so there is nothing to prune{other}")
        return cls({n: torch.ones(w.shape, dtype=torch.bool) for n, w in weights.items()})

    def __getitem__(self, name: str) -> Tensor:
        return self._alive[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._alive)

    def __len__(self) -> int:
        return len(self._alive)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mask):
            return NotImplemented
        return list(self.shapes.items()) == list(other.shapes.items()) and all(
            torch.equal(self[n].cpu(), other[n].cpu()) for n in self
        )

    def __hash__(self) -> int:
        return hash((tuple(self._alive), self.num_alive))

    def __repr__(self) -> str:
        return (
            f"Mask({len(self)} weights, {self.num_alive} of {self.size} alive, "
            f"sparsity {self.sparsity:.2%})"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return Mask, (self._alive,)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every weight's shape."""
        return {name: tuple(tensor.shape) for name, tensor in self.items()}

    @property
    def size(self) -> int:
        """Weights in all, alive or not."""
        return sum(tensor.numel() for tensor in self.values())

    @property
    def num_alive(self) -> int:
        """Weights alive."""
        if self._num_alive is None:
            self._num_alive = sum(int(tensor.sum()) for tensor in self.values())
        return self._num_alive

    @property
    def density(self) -> float:
        """Share of the prunable weights that is alive, in [0, 1]."""
        return self.num_alive / self.size if self.size else 1.0

    @property
    def sparsity(self) -> float:
        """Share of the prunable weights that is pruned, in [0, 1]."""
        return 1.0 - self.density

    def distance(self, other: Mask, *, alive: int | None = None) -> float:
        """Entries that differ, over `alive`: the weights alive at the round's start.

        Without `alive` it is over all prunable weights, which is the same in round 0. Raises
        TicketError where the two are masks of different models.
        """
        self._check_same_shapes(other.shapes, "the other mask")
        differing = sum(int((self[n] != other[n].to(self[n].device)).sum()) for n in self)
        return differing / max(1, self.size if alive is None else alive)

    def is_subset_of(self, other: Mask) -> bool:
        """Whether every weight alive here is alive there."""
        self._check_same_shapes(other.shapes, "the other mask")
        return not any(bool((self[n] & ~other[n].to(self[n].device)).any()) for n in self)

    def to(self, device: torch.device | str) -> Mask:
        """The same mask on another device."""
        return Mask({name: tensor.to(device) for name, tensor in self.items()})

    def weights(self, model: nn.Module) -> dict[str, Tensor]:
        """The model's weights that the mask is of, by name, in its order.

        Raises TicketError where the model has them not, of another shape or in another order,
        ConfigError for one that is computed from another (a parametrisation).
        """
        named = model.named_parameters(remove_duplicate=False)
        weights: dict[str, Tensor] = {name: weight for name, weight in named if name in self}
        modules = dict(model.named_modules())
        for name in self.keys() - weights:
            layer, _, attribute = name.rpartition(".")
            if hasattr(modules.get(layer), attribute):
                plain_weight(modules[layer], name)  # says that it is computed
        self._check_same_shapes({n: tuple(w.shape) for n, w in weights.items()}, "the model")
        return weights

    @torch.no_grad()
    def apply_(self, model: nn.Module) -> None:
        """Set the pruned weights of the model to exactly zero. Raises TicketError as `weights`."""
        for name, weight in self.weights(model).items():
            # Not a product: a pruned weight that is infinite or NaN becomes zero as well.
            weight.masked_fill_(~self[name].to(weight.device), 0.0)

    def _check_same_shapes(self, shapes: Mapping[str, tuple[int, ...]], whose: str) -> None:
        if list(self.shapes.items()) == list(shapes.items()):
            return
        for name in [*self, *shapes]:
            mine, theirs = self.shapes.get(name), shapes.get(name)
            if mine != theirs:
                raise TicketError(
                    f"the mask has {name} of shape {mine}, {whose} has {theirs}; "
                    "a mask fits only the architecture it was made for"
                )
        # Same weights in another order: the order decides ties, so it must not differ silently.
        raise TicketError(f"the mask's weights come in another order than those of {whose}")
