"""Architectures by name, and what can be counted on a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prac.models.catalogue import ARCHITECTURES, Architecture, known_architectures
from prac.models.check import check_architecture

# torch takes a second to import: plans, replays and checks of names do without.
if TYPE_CHECKING:
    from prac.models.registry import build_model

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "build_model",
    "check_architecture",
    "known_architectures",
]


def __getattr__(name: str) -> Any:
    # Building a model needs torch; checking one of our names does not.
    if name == "build_model":
        from prac.models.registry import build_model

        return build_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
