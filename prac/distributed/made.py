"""A stage at work, and what it leaves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from prac.distributed.context import Context
from prac.lottery.graph import Stage
from prac.tracking.datasets import DataInput
from prac.tracking.store import Finished, Metric

T = TypeVar("T")


@dataclass
class Made:
    """What a stage leaves beside its files: values for later stages, metrics for the tracker.

    facts: of a ticket, for its page and its registration. data: what it was made from, as MLflow's
    inputs.
    """

    values: dict[str, Any] = field(default_factory=dict)
    metrics: list[Metric] = field(default_factory=list)
    parameters: dict[str, Any] = field(default_factory=dict)
    facts: Any = None
    data: Sequence[DataInput] = ()


@dataclass(frozen=True)
class Running:
    """A stage at work: its inputs by role, and the folder whose files become its artifacts."""

    stage: Stage
    inputs: Mapping[str, Finished]
    context: Context
    folder: Path

    def read(self, role: str, file: str, reader: Callable[[Path], T]) -> T:
        """An artifact of an input, verified."""
        return self.context.store.read(self.inputs[role], file, reader)

    def values(self, role: str) -> Mapping[str, Any]:
        """The values an input left."""
        return self.context.store.values(self.inputs[role])
