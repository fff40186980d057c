"""Which weights of a network may be pruned: the one definition of it."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from prac.errors import ConfigError
from prac.models.describe import zero_images
from prac.models.mode import in_mode

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_ATTENTION = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")
"""What attention has beside its linear layer: all three projections in one, or each alone."""


def prunable_weights(
    model: nn.Module, layers: str = "conv", image_shape: tuple[int, int, int] | None = None
) -> dict[str, Tensor]:
    """The weights that `prune.layers` names, by name, in the model's order; no other is pruned.

    A weight that several modules share is there once, under its first name, as in a step of SGD.

    Args:
        model: left as it was.
        layers: as `PruneConfig.layers`.
        image_shape: (H, W, C), for `all-but-head` alone, which runs the model once on zeros.

    Raises:
        ConfigError: a pattern matches no weight, or a layer computes its weight (a
            parametrisation): what is zeroed of it is computed anew.
    """
    whole = layers == "all-but-head"
    terms = ["conv", "linear"] if whole else layers.split("+")
    spared = _heads(model, image_shape) if whole else set()
    weights: dict[str, Tensor] = {}
    seen: set[int] = set()
    unmatched = {term for term in terms if term not in ("conv", "linear")}
    for name, module, kind in _candidates(model):
        matching = {term for term in terms if _matches(term, name, kind)}
        unmatched -= matching
        if not matching or module in spared:
            continue
        weight = plain_weight(module, name)
        if id(weight) not in seen:
            seen.add(id(weight))
            weights[name] = weight
    if unmatched:
        raise ConfigError(_no_match(model, sorted(unmatched)))
    return weights


def plain_weight(module: nn.Module, name: str) -> Tensor:
    """The weight with this name of the module that has it. Raises ConfigError for one that is
    computed."""
    layer, _, attribute = name.rpartition(".")
    weight: object = getattr(module, attribute)
    if isinstance(weight, nn.Parameter):
        return weight
    what = "linear layer" if isinstance(module, nn.Linear) else "convolution"
    raise ConfigError(
        f"{what} {layer!r} computes its weight (a parametrisation) and can't be pruned; allowed: "
        "layers whose weight is a plain parameter"
    )


def _candidates(model: nn.Module) -> Iterator[tuple[str, nn.Module, str]]:
    """Weights that could be pruned: name, the module that has it, `conv` or `linear`."""
    for prefix, module in model.named_modules():
        dot = f"{prefix}." if prefix else ""
        if isinstance(module, (*_CONVOLUTIONS, nn.Linear)):
            yield f"{dot}weight", module, "linear" if isinstance(module, nn.Linear) else "conv"
        elif isinstance(module, nn.MultiheadAttention):
            for name in _ATTENTION:
                if getattr(module, name) is not None:
                    yield dot + name, module, "linear"


def _matches(term: str, name: str, kind: str) -> bool:
    return term == kind or any(fnmatchcase(n, term) for n in (name, name.rpartition(".")[0]))


def _no_match(model: nn.Module, patterns: list[str]) -> str:
    names = [name for name, _, _ in _candidates(model)]
    shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
    return (
        f"prune.layers: no layer of the network is called {' or '.join(patterns)}; "
        f"known: {shown or 'none that has a convolution or a linear layer'}"
    )


def _heads(model: nn.Module, image_shape: tuple[int, int, int] | None) -> set[nn.Module]:
    """The layers whose output no other layer takes in: what makes the logits.

    By what a forward pass does, not by names or order: read off the graph that autograd makes.
    """
    if image_shape is None:
        raise ConfigError("prune.layers=all-but-head needs the images' shape (H, W, C)")
    ends: dict[object, nn.Module] = {}

    def keep(module: nn.Module, _given: object, output: object) -> None:
        made = output[0] if isinstance(output, tuple) else output
        if isinstance(made, Tensor) and made.grad_fn is not None:
            ends[made.grad_fn] = module

    layers = {module for _, module, _ in _candidates(model)}
    handles = [layer.register_forward_hook(keep) for layer in layers]
    try:
        with in_mode(model, training=False), torch.enable_grad(), torch.random.fork_rng(devices=[]):
            model(zero_images(model, image_shape, count=2).requires_grad_())
    finally:
        for handle in handles:
            handle.remove()
    before: set[object] = set()
    waiting = [node for end in ends for node, _ in end.next_functions]  # type: ignore[attr-defined]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in before:
            before.add(node)
            waiting += [each for each, _ in node.next_functions]
    return {layer for node, layer in ends.items() if node not in before}
