"""A number that a tracker draws as a point of a curve."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """One value of one metric; step counts epochs, rounds or trials."""

    name: str
    value: float
    step: int = 0
