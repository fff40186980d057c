"""What a pipeline found, as plain values: the input of every table, figure and verdict."""

from __future__ import annotations

import base64
import dataclasses
import json
import statistics
from dataclasses import dataclass, field

from prac.config.methods import METHODS, Role
from prac.schema import Amount, Count, Proportion, read

MAX_RESULTS = 2**30
"""Bytes of results.json: pictures of samples take most of it."""


def mean(values: tuple[float, ...]) -> float | None:
    """The arithmetic mean; None of nothing."""
    return statistics.fmean(values) if values else None


def sample_std(values: tuple[float, ...]) -> float | None:
    """The standard deviation of a sample (n - 1); None of fewer than two values."""
    return statistics.stdev(values) if len(values) > 1 else None


MARGIN = 0.005
"""What a method may lose and still keep the accuracy: half a point."""


@dataclass(frozen=True, kw_only=True)
class RoundRow:
    """One round of one search: the mask it trains under, the set it trains on, what it cost.

    The row after the last round holds the last mask and set: a ticket that the search makes, and
    trains itself where weights go on (`trained`).

    sparsity: share of the prunable weights that m_k removes, in [0, 1).
    set_size: |D_k|, samples. cet_size, cep_size, overlap: its parts; None for sets without parts
    (round 0, vanilla, random subsets).
    steps, epochs: SGD steps and epochs of this round. budget_epochs: where it would have ended
    without the early-bird stop.
    search_steps: SGD steps of all rounds before this one, and of the proxy that chose their sets:
    what this row's ticket cost; with its own training where tickets are tested as found.
    steps_saved: 1 - search_steps / (the same rounds of vanilla); None at round 0.
    search_seconds: wall time of the stages that this row's mask was made by, added up; None of
    results that don't tell it. seconds_saved: 1 - search_seconds / vanilla's at the same round;
    None where vanilla wasn't run. borrowed_steps, borrowed_seconds: of other searches' trainings
    that this row's mask rests on, whose cost is in those of neither; borrowed_from: of which
    searches, each `architecture:method`.
    validation_accuracy: of the round's best validation epoch, in [0, 1].
    test_accuracies: of the ticket, trained alone from the rewind weights on all the training data,
    one for each judging seed in the order of `Results.judging_seeds`; empty where it was not
    judged, one where it was tested as found. validation_accuracies: of the same trainings, at their
    best validation epochs.
    found_test_accuracy: of this round's own network as it is, where weights go on from round to
    round: `validation_accuracy` is its validation accuracy, found_steps the SGD steps of the search
    with this round's; None where a ticket has to be trained to be judged. as_found: that network is
    the judged one: test_accuracies are of it, search_steps have this round's too, found_* are None.
    flops_sparse, bytes_sparse: what the ticket costs where zeros are skipped (`prac.ticket.cost`):
    FLOPs of one image, bytes of its weights; None where no ticket was made. stage: what trained it,
    the same where methods share it; empty where nothing was trained. sparsity_of_all: the
    share of all parameters that is pruned, where `sparsity` is that of the prunable ones.
    """

    architecture: str
    method: str
    round: Count
    trained: bool
    sparsity: Proportion
    weights_left: Count
    set_size: Count
    cet_size: Count | None
    cep_size: Count | None
    overlap: Count | None
    epochs: Count
    budget_epochs: Count
    steps: Count
    search_steps: Count
    steps_saved: float | None
    validation_accuracy: Proportion | None
    best_epoch: Count | None
    seconds: Amount
    test_accuracies: tuple[Proportion, ...] = ()
    validation_accuracies: tuple[Proportion, ...] = ()
    ticket: str | None = None
    search_seconds: Amount | None = None
    seconds_saved: float | None = None
    borrowed_steps: Count = 0
    borrowed_seconds: Amount = 0.0
    borrowed_from: tuple[str, ...] = ()
    flops_sparse: Count | None = None
    bytes_sparse: Count | None = None
    sparsity_of_all: Proportion | None = None
    found_test_accuracy: Proportion | None = None
    found_steps: Count | None = None
    as_found: bool = False
    stage: str = ""

    @property
    def easy_size(self) -> int | None:
        """Samples in the set that are neither in CET nor in CEP; None for sets without parts."""
        if self.cet_size is None and self.cep_size is None:
            return None
        critical = (self.cet_size or 0) + (self.cep_size or 0) - (self.overlap or 0)
        return self.set_size - critical

    @property
    def judge_validation_accuracy(self) -> float | None:
        """The mean over the judging seeds; None where it was not judged."""
        return mean(self.validation_accuracies)

    @property
    def test_accuracy(self) -> float | None:
        """The mean over the judging seeds; None where it was not judged."""
        return mean(self.test_accuracies)

    @property
    def test_std(self) -> float | None:
        """The sample standard deviation over the judging seeds; None of fewer than two."""
        return sample_std(self.test_accuracies)


@dataclass(frozen=True, kw_only=True)
class SearchRow:
    """One judged ticket of one of several whole searches; fields as those of `RoundRow`."""

    architecture: str
    method: str
    round: Count
    search_seed: int
    sparsity: Proportion
    set_size: Count
    search_steps: Count
    steps_saved: float | None
    validation_accuracy: Proportion | None
    test_accuracies: tuple[Proportion, ...]
    search_seconds: Amount | None = None
    seconds_saved: float | None = None


@dataclass(frozen=True, kw_only=True)
class DistanceRow:
    """The distance between the tentative masks of two consecutive epochs of one round."""

    architecture: str
    method: str
    round: Count
    epoch: Count
    distance: Amount


@dataclass(frozen=True, kw_only=True)
class HardSample:
    """A training sample with what round 0 saw of it, for galleries and lists.

    predicted: the class that the dense model predicts; None where that is not known.
    reason: why it is in the set, in words; empty where it is in none.
    png: the image's bytes; empty where it is listed and not shown.
    """

    architecture: str
    sample_id: Count
    label: str
    presentations: Count
    forgotten: Count
    never_learned: bool
    mean_margin: float
    png: bytes
    __pydantic_config__ = {"val_json_bytes": "base64"}  # noqa: RUF012
    predicted: str | None = None
    inside: bool | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class ThresholdSet:
    """The set that a threshold E_F would make of what round `round` left, without any training.

    sparsity: of the mask that the set would be trained under. Sizes are samples; 0 where nothing
    would be left.
    """

    architecture: str
    method: str
    round: Count
    sparsity: Proportion
    threshold: int
    set_size: Count
    cet_size: Count
    never_learned: Count
    cep_size: Count
    overlap: Count


@dataclass(frozen=True, kw_only=True)
class Memorised:
    """When round 0 predicted its training samples right for the first time, in numbers of samples.

    at_once: in the first epoch; early: in the rest of the first half of its epochs; late: in the
    second half; never: in none of them, which is no late epoch.
    """

    architecture: str
    epochs: Count
    at_once: Count
    early: Count
    late: Count
    never: Count


@dataclass(frozen=True, kw_only=True)
class LayerShare:
    """What the last mask of a search leaves of one layer's weights."""

    architecture: str
    method: str
    round: Count
    layer: str
    weights: Count
    alive: Count


@dataclass(frozen=True, kw_only=True)
class MaskOverlap:
    """How alike the masks of two methods are in the same round.

    overlap: twice the weights alive in both, over those alive in one plus those in the other
    (Dice); 1 is the same mask. chance: what two masks drawn at random would have.
    """

    architecture: str
    round: Count
    sparsity: Proportion
    method: str
    other: str
    overlap: Proportion
    chance: Proportion


@dataclass(frozen=True, kw_only=True)
class ClassShare:
    """How much of a round's set one class is.

    share: of the set, in [0, 1]. of_training: the class's share of all training samples.
    """

    architecture: str
    method: str
    round: Count
    sparsity: Proportion
    label: str
    samples: Count
    share: Proportion
    of_training: Proportion


@dataclass(frozen=True, kw_only=True)
class StageRow:
    """One stage of the graph as it ended, for the drawing and the bill. made_by: versions and
    machine, as `prac.training.made_by` notes them; empty where they weren't noted."""

    name: str
    kind: str
    architecture: str
    method: str
    inputs: tuple[str, ...]
    cached: bool
    steps: Count
    seconds: Amount
    made_by: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Bill:
    """What a search cost, and apart from it what judging its tickets did.

    steps: SGD steps of its own trainings (rounds, and whatever else it trained to choose samples).
    borrowed_steps, borrowed_seconds: of other searches' trainings that it rests on (transferred
    sets, the sizes that a random subset takes), in no other number; borrowed_from: whose, each
    `architecture:method`.
    samples: training samples presented. cep_samples, evaluation_samples: images that were
    only predicted: for CEP, for the validation after each epoch. score_samples: images that scores
    were made of: of samples, by predicting them; of weights, by running them backward, too.
    flops: of the search's forward and backward passes, by the network's dense cost
    (`prac.models.describe.forward_flops`; a backward pass is two forward passes); None where the
    network's cost is not known.
    seconds: wall time of its stages, added up although some ran side by side.
    joules: energy; None where the machine does not tell it. energy_source: what told it, or why
    nothing did.
    """

    architecture: str
    method: str
    steps: Count
    borrowed_steps: Count
    samples: Count
    cep_samples: Count
    score_samples: Count
    evaluation_samples: Count
    flops: Count | None
    seconds: Amount
    joules: Amount | None
    energy_source: str
    judging_steps: Count
    judging_samples: Count
    judging_evaluation_samples: Count
    judging_flops: Count | None
    judging_seconds: Amount
    judging_joules: Amount | None
    borrowed_seconds: Amount = 0.0
    borrowed_from: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Results:
    """All that one pipeline found. Accuracies are fractions in [0, 1], times are seconds.

    dense_test_accuracies, dense_validation_accuracies: of the dense network, one for each judging
    seed. forward_flops: of one
    image through the dense network, by architecture. rows and all else are of the search with the
    seed `seed`; searches: the judged tickets of all searches, where there are several. margin: what
    a method may lose to vanilla and still keep its accuracy, in [0, 1]. recorded:
    the architectures whose round 0 recorded events: of others nothing is known about samples, which
    is not the same as none. commonest_share: of the test split's most frequent class. data_notes:
    what a person should know of the data, a sentence each. versions: what made the stages, all
    answers of all stages together. roles: of the methods. bills_together: of each architecture with
    several searches, what all of them cost, with stages that they share counted once; its method is
    `together`.
    """

    title: str
    data: str
    recipe: str
    num_training_samples: Count
    num_test_samples: Count | None = None
    commonest_share: Proportion | None = None
    num_classes: Count
    data_notes: tuple[str, ...] = ()
    tolerance: float | None
    seed: int
    judging_seeds: tuple[int, ...] = ()
    searches: tuple[SearchRow, ...] = ()
    margin: float = MARGIN
    settings: dict[str, str]
    rows: tuple[RoundRow, ...]
    dense_test_accuracies: dict[str, tuple[Proportion, ...]]
    dense_validation_accuracies: dict[str, tuple[Proportion, ...]] = field(default_factory=dict)
    distances: tuple[DistanceRow, ...] = ()
    recorded: tuple[str, ...] = ()
    hardest: tuple[HardSample, ...] = ()
    never_learned: tuple[HardSample, ...] = ()
    samples: tuple[HardSample, ...] = ()
    thresholds: tuple[ThresholdSet, ...] = ()
    masks: tuple[MaskOverlap, ...] = ()
    layers: tuple[LayerShare, ...] = ()
    memorised: tuple[Memorised, ...] = ()
    classes: tuple[ClassShare, ...] = ()
    stages: tuple[StageRow, ...] = ()
    bills: tuple[Bill, ...] = ()
    bills_together: tuple[Bill, ...] = ()
    forward_flops: dict[str, int] = field(default_factory=dict)
    mlflow_link: str | None = None
    versions: dict[str, str] = field(default_factory=dict)
    roles: dict[str, Role] = field(default_factory=dict)

    def role(self, method: str) -> Role:
        """Of a method; of one of the user's, what its run wrote down."""
        known = METHODS.get(method)
        return self.roles.get(method, "own sizes") if known is None else known.role

    def is_baseline(self, method: str) -> bool:
        """Whether it stands for no choice of samples or weights: others are compared with it."""
        return self.role(method) in ("chance", "drawn weights", "everything")

    @property
    def dense_test_accuracy(self) -> dict[str, float]:
        """The mean over the judging seeds."""
        known = {name: mean(values) for name, values in self.dense_test_accuracies.items()}
        return {name: value for name, value in known.items() if value is not None}

    @property
    def num_seeds(self) -> int:
        """How many seeds each judged ticket was trained with, at least."""
        judged = [len(row.test_accuracies) for row in self.rows if row.test_accuracies]
        return min(judged, default=0)


def results_to_json(results: Results) -> str:
    """The results as JSON text; images as base64."""

    def encode(value: object) -> str:
        if isinstance(value, bytes):
            return base64.b64encode(value).decode()
        raise TypeError(f"a {type(value).__name__} has no place in results")

    return json.dumps(dataclasses.asdict(results), default=encode, sort_keys=True)


def results_from_json(text: str) -> Results:
    """The results that `results_to_json` wrote. Raises SchemaError for anything else."""
    return read(Results, text, MAX_RESULTS)
