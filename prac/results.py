"""What a pipeline found, as plain values: the input of every table, figure and verdict."""

from __future__ import annotations

import base64
import dataclasses
import json
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class RoundRow:
    """One round of one search: the mask it trains under, the set it trains on, what it cost.

    The row after the last round (`trained` false) holds the last mask and set: a ticket that the
    search makes and does not train itself.

    sparsity: share of the convolution weights that m_k removes, in [0, 1).
    set_size: |D_k|, samples. cet_size, cep_size, overlap: its parts; None for sets without parts
    (round 0, vanilla, random subsets).
    steps, epochs: SGD steps and epochs of this round. budget_epochs: where it would have ended
    without the early-bird stop.
    search_steps: SGD steps of all rounds before this one: what this row's ticket cost.
    steps_saved: 1 - search_steps / (the same rounds of vanilla); None at round 0.
    validation_accuracy: of the round's best validation epoch, in [0, 1].
    test_accuracy, judge_validation_accuracy: of the ticket, trained alone from the rewind weights
    on all the training data; None where it was not judged.
    """

    architecture: str
    method: str
    round: int
    trained: bool
    sparsity: float
    weights_left: int
    set_size: int
    cet_size: int | None
    cep_size: int | None
    overlap: int | None
    epochs: int
    budget_epochs: int
    steps: int
    search_steps: int
    steps_saved: float | None
    validation_accuracy: float | None
    best_epoch: int | None
    test_accuracy: float | None
    judge_validation_accuracy: float | None
    seconds: float
    ticket: str | None = None


@dataclass(frozen=True, kw_only=True)
class DistanceRow:
    """The distance between the tentative masks of two consecutive epochs of one round."""

    architecture: str
    method: str
    round: int
    epoch: int
    distance: float


@dataclass(frozen=True, kw_only=True)
class HardSample:
    """One of the hardest samples of round 0, for the gallery. `png` is the image's bytes."""

    architecture: str
    sample_id: int
    label: str
    presentations: int
    forgotten: int
    never_learned: bool
    mean_margin: float
    png: bytes


@dataclass(frozen=True, kw_only=True)
class StageRow:
    """One stage of the graph as it ended, for the drawing and the bill."""

    name: str
    kind: str
    architecture: str
    method: str
    inputs: tuple[str, ...]
    cached: bool
    steps: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Bill:
    """What a search cost beside its SGD steps, summed over its rounds.

    samples: training samples presented. forward_samples: images predicted for CEP and validation.
    seconds: wall time of its stages.
    """

    architecture: str
    method: str
    steps: int
    samples: int
    forward_samples: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Results:
    """All that one pipeline found. Accuracies are fractions in [0, 1], times are seconds."""

    title: str
    data: str
    recipe: str
    num_training_samples: int
    num_test_samples: int | None = None
    num_classes: int
    tolerance: float | None
    seed: int
    settings: dict[str, str]
    rows: tuple[RoundRow, ...]
    dense_test_accuracy: dict[str, float]
    distances: tuple[DistanceRow, ...] = ()
    hardest: tuple[HardSample, ...] = ()
    stages: tuple[StageRow, ...] = ()
    bills: tuple[Bill, ...] = ()
    mlflow_link: str | None = None
    versions: dict[str, str] = field(default_factory=dict)


def results_to_json(results: Results) -> str:
    """The results as JSON text; images as base64."""

    def encode(value: object) -> str:
        if isinstance(value, bytes):
            return base64.b64encode(value).decode()
        raise TypeError(f"a {type(value).__name__} has no place in results")

    return json.dumps(dataclasses.asdict(results), default=encode, sort_keys=True)


def results_from_json(text: str) -> Results:
    """The results that `results_to_json` wrote."""
    values = json.loads(text)
    parts: dict[str, type] = {
        "rows": RoundRow,
        "distances": DistanceRow,
        "hardest": HardSample,
        "stages": StageRow,
        "bills": Bill,
    }
    for sample in values["hardest"]:
        sample["png"] = base64.b64decode(sample["png"])
    for stage in values["stages"]:
        stage["inputs"] = tuple(stage["inputs"])
    for name, kind in parts.items():
        values[name] = tuple(kind(**row) for row in values[name])
    return Results(**values)
