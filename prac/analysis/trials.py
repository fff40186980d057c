"""A sweep's results as values: its trials, and which of them no other beats."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from prac.schema import read

State = Literal["finished", "stopped", "empty", "failed"]
CostName = Literal["search_steps", "set_size"]
COSTS: tuple[CostName, ...] = ("search_steps", "set_size")


@dataclass(frozen=True, kw_only=True)
class TrialRow:
    """One architecture in one trial of a sweep.

    label: what the trial varies, as `select.threshold=2`. state: `finished`; `stopped` by ASHA;
    `empty`, its selection kept no sample; `failed`. rounds: trained so far.
    test_accuracy, validation_accuracy: of its last ticket, trained alone or as found, in [0, 1];
    None where it was not judged. search_steps: SGD steps that this ticket cost, or of its rounds so
    far. set_size: samples of its last set.
    """

    trial: int
    label: str
    architecture: str
    state: State
    rounds: int
    test_accuracy: float | None = None
    validation_accuracy: float | None = None
    search_steps: int = 0
    steps_saved: float | None = None
    set_size: int | None = None
    sparsity: float | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class SweepResults:
    """All that a sweep found. best: number of the trial to take; None where none finished.

    num_points: of the space, where it has fewer than the trials that were asked for.
    """

    sweep: str
    title: str
    num_training_samples: int
    rows: tuple[TrialRow, ...]
    dense_test_accuracy: dict[str, float]
    best: int | None
    num_points: int | None = None

    def to_json(self) -> str:
        """As JSON text."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> SweepResults:
        """What `to_json` wrote. Raises SchemaError for anything else."""
        return read(cls, text)

    @property
    def architectures(self) -> list[str]:
        """In the order in which their rows come."""
        return list(dict.fromkeys(row.architecture for row in self.rows))

    def front(self, architecture: str, cost: CostName) -> list[TrialRow]:
        """The trials no other beats in both validation accuracy of the last ticket (up) and cost
        (down), cheapest first; the test split is told, and chooses nothing."""
        judged = [
            (row.validation_accuracy, getattr(row, cost), row)
            for row in self.rows
            if row.architecture == architecture
            and row.validation_accuracy is not None
            and getattr(row, cost) is not None
        ]
        points = [(accuracy, paid) for accuracy, paid, _ in judged]
        kept = [row for *mine, row in judged if not any(_beats(one, mine) for one in points)]
        return sorted(kept, key=lambda row: (getattr(row, cost), row.trial))


def _beats(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether one point, an accuracy and a cost, is no worse in both and better in one."""
    gain, cheaper = one[0] - other[0], other[1] - one[1]
    return gain >= 0 and cheaper >= 0 and (gain > 0 or cheaper > 0)


def best_trial(rows: Sequence[TrialRow]) -> int | None:
    """The trial with the best validation accuracy of its last tickets (mean over architectures);
    of equal ones the one with the fewest steps. Never chosen on the test split."""
    scores = {}
    for number in dict.fromkeys(row.trial for row in rows):
        mine = [row for row in rows if row.trial == number]
        known = [row.validation_accuracy for row in mine if row.validation_accuracy is not None]
        if len(known) == len(mine):
            steps = sum(row.search_steps for row in mine)
            scores[number] = (sum(known) / len(known), -steps, -number)
    return max(scores, key=lambda number: scores[number]) if scores else None
