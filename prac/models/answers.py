"""What a network answers: its logits, and auxiliary ones while it trains."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from prac.errors import ConfigError

_NAMES = ("logits", "out")
"""What libraries call the logits: transformers; torchvision where it answers in a dict."""

ALLOWED = (
    "logits (N, classes); a tuple of them and of auxiliary logits of the same shape; or a dict, a "
    "dataclass or a named tuple with 'logits' or 'out', and auxiliary ones whose names begin with "
    "'aux'"
)


def answer_of(output: object) -> Tensor:
    """The logits alone. Raises ConfigError where an output has none."""
    found, _ = _parted(output)
    if not isinstance(found, Tensor):
        raise ConfigError(f"it gives {described(output)}; allowed: {ALLOWED}")
    return found


def logits_of(output: object) -> list[Tensor]:
    """The logits that a network gives in training mode, then auxiliary ones.

    Raises ConfigError for anything else: a loss of features would be one of something else.
    """
    found, others = _parted(output)
    tensors = [part for part in (found, *others) if isinstance(part, Tensor)]
    if len(tensors) <= len(others) or len({part.shape for part in tensors}) > 1:
        raise ConfigError(f"in training mode it gives {described(output)}; allowed: {ALLOWED}")
    return tensors


def answer_with_logits(model: nn.Module) -> None:
    """Have a network that answers with more than a tensor answer with its logits: alone, or in
    training mode before auxiliary ones in a tuple."""
    model.register_forward_hook(_logits_alone)


def _logits_alone(model: nn.Module, _given: object, output: object) -> object:
    if not model.training:
        return answer_of(output)
    found = logits_of(output)
    return tuple(found) if len(found) > 1 else found[0]


def described(output: object) -> str:
    """Its type and what is in it: `a dict of 'features' (2, 4)`."""
    if isinstance(output, Tensor):
        return str(tuple(output.shape))
    named = _named(output)
    if named is None and isinstance(output, Sequence) and not isinstance(output, str):
        inside = [_shape(part) for part in output]
    else:
        inside = [f"{name!r} {_shape(part)}" for name, part in (named or {}).items()]
    return f"a {type(output).__name__}" + (f" of {', '.join(inside)}" if inside else "")


def _shape(part: object) -> str:
    return str(tuple(part.shape)) if isinstance(part, Tensor) else type(part).__name__


def _parted(output: object) -> tuple[object, list[object]]:
    """What the logits should be, and what auxiliary ones."""
    if isinstance(output, Tensor):
        return output, []
    named = _named(output)
    if named is not None and (first := next((n for n in _NAMES if n in named), None)) is not None:
        return named[first], [
            part for name, part in named.items() if name.startswith("aux") and part is not None
        ]
    if isinstance(output, Sequence):
        parts = [part for part in output if part is not None]
        return (parts[0], parts[1:]) if parts else (None, [])
    return None, []


def _named(output: object) -> Mapping[str, object] | None:
    """The parts of an output that has names for them."""
    if isinstance(output, Mapping):
        return {str(name): part for name, part in output.items()}
    if isinstance(output, tuple) and hasattr(output, "_asdict"):
        return dict(output._asdict())
    if dataclasses.is_dataclass(output):
        return {field.name: getattr(output, field.name) for field in dataclasses.fields(output)}
    return None
