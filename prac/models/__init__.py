"""Architectures by name, and what can be counted on a model."""

from prac.models.registry import (
    ARCHITECTURES,
    Architecture,
    build_model,
    check_architecture,
    known_architectures,
)

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "build_model",
    "check_architecture",
    "known_architectures",
]
