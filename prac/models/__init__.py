"""Architectures by name; `prac.models.registry`, which needs torch, builds them."""

from prac.models.catalogue import ARCHITECTURES, Architecture, known_architectures
from prac.models.check import check_architecture

__all__ = ["ARCHITECTURES", "Architecture", "check_architecture", "known_architectures"]
