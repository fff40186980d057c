"""What stages leave: facts, costs, and files that know how they are written and read.

Nobody else names a stage's files. Never a pickle: safetensors, Parquet and JSON only.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from prac.schema import Amount, Count, Proportion

# A plan and a replay read facts alone and do without torch, whose import takes a second: readers
# and writers of tensors import it when they are called.
if TYPE_CHECKING:
    from torch import Tensor

    from prac.pruning.mask import Mask
    from prac.selection.prac_set import PracSet
    from prac.ticket.format import Ticket

T = TypeVar("T")
F = TypeVar("F", bound="Facts")


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a stage cost. Counts are of images but for `steps`; absent parts are 0.

    steps: of SGD. samples: presented in training. cep_samples, score_samples, evaluation_samples:
    only predicted (for CEP, for scores, for validation and test). score_gradient_samples: passed
    forward and backward for scores of weights, without an SGD step; score_passes: what those scores
    cost, in forward passes of one image. other_flops: of a stage that ran another network than the
    search's (a proxy), in place of what its images would cost. seconds: wall time; of
    data-parallel training that of its epochs, without the start of workers. joules: None where
    nothing told it; energy_source: what told it, or why nothing did.
    """

    steps: Count = 0
    samples: Count = 0
    cep_samples: Count = 0
    score_samples: Count = 0
    score_gradient_samples: Count = 0
    score_passes: Count = 0
    evaluation_samples: Count = 0
    other_flops: Count | None = None
    seconds: Amount = 0.0
    joules: Amount | None = None
    energy_source: str = ""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What later stages and the report know of a stage without opening its files: JSON values."""


@dataclass(frozen=True, kw_only=True)
class TrainedFacts(Facts):
    """Of a training. accuracies are fractions; curves: a column of numbers an epoch, by name."""

    epochs: Count
    budget_epochs: Count
    best_epoch: Count
    best_accuracy: Proportion
    curves: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class MaskFacts(Facts):
    """Of what makes m_{k+1}: its sparsity, its weights alive, and how many weights there are."""

    next_sparsity: Proportion
    next_weights_alive: Count
    weights: Count


@dataclass(frozen=True, kw_only=True)
class RoundFacts(MaskFacts, TrainedFacts):
    """Of a round that was trained. set_size: samples of an epoch. distances: between consecutive
    tentative masks."""

    set_size: Count
    stopped_early: bool
    distances: tuple[Amount, ...]


@dataclass(frozen=True, kw_only=True)
class CountFacts(Facts):
    """Of the events of a dense run: how many there are."""

    events: Count


@dataclass(frozen=True, kw_only=True)
class SetFacts(Facts):
    """Of a set: its samples, those of CET, of CEP and of both; a hash of ids and reasons."""

    set_size: Count
    cet_size: Count
    cep_size: Count
    overlap: Count
    digest: str


@dataclass(frozen=True, kw_only=True)
class ScoreFacts(Facts):
    """Of one number a sample."""

    mean_score: float


@dataclass(frozen=True, kw_only=True)
class JudgeFacts(TrainedFacts):
    """Of a ticket trained alone. test_accuracy: measured once, at the best validation epoch. As
    found it has no epochs, and the best epoch of its round."""

    test_accuracy: Proportion

    @property
    def as_found(self) -> bool:
        """Whether nothing was trained for it."""
        return self.epochs == 0


@dataclass(frozen=True, kw_only=True)
class TicketFacts(Facts):
    """What a ticket's page says; accuracies are fractions, None where it was not judged.

    flops, bytes: of `prac.ticket.cost`, dense and sparse. splits: samples of the training,
    validation and test split. set_size, set_digest: of D_k, the set chosen for training under this
    mask, with which the search goes on; the digest is empty where that is everything or drawn anew.
    weights: that are prunable, by `layers`; parameters: all of the network's, None where the ticket
    is of a day that counted none.
    found_*: of the network that the search's own round with this mask left, as it is, where weights
    go on (`search.rewind=learning-rate`); its steps with those of that round. as_found: it is what
    was judged, and all other fields are of it; found_* are None.
    """

    architecture: str
    data: str
    method: str
    round: Count
    sparsity: Proportion
    weights_alive: Count
    weights: Count
    set_size: Count
    num_training: Count
    search_steps: Count
    steps_saved: float
    test_accuracy: Proportion | None
    validation_accuracy: Proportion | None
    dense_test_accuracy: Proportion | None
    rewind: str
    recipe: str
    seed: int
    image_shape: tuple[Count, ...]
    flops_dense: Count
    flops_sparse: Count
    bytes_dense: Count
    bytes_sparse: Count
    splits: Mapping[str, Count]
    num_classes: Count
    data_fingerprint: str
    set_digest: str = ""
    layers: str = "conv"
    parameters: Count | None = None
    found_test_accuracy: Proportion | None = None
    found_validation_accuracy: Proportion | None = None
    found_steps: Count | None = None
    as_found: bool = False

    @property
    def sparsity_of_all(self) -> float | None:
        """The share of all of the network's parameters that is pruned."""
        return (self.weights - self.weights_alive) / self.parameters if self.parameters else None

    @property
    def title(self) -> str:
        """The method first: lists cut names off at their end."""
        return f"{self.method} {self.architecture} {100 * self.sparsity:.1f} % sparse, {self.data}"


@dataclass(frozen=True)
class File(Generic[T]):
    """A file, or a folder of files, that a stage leaves.

    write: into the stage's folder. read: of the path with this name in it.
    """

    name: str
    write: Callable[[Path, T], None]
    read: Callable[[Path], T]


@dataclass(frozen=True, kw_only=True)
class Made:
    """What a stage made. files: by codec; from a store they are verified and read when asked for,
    which raises DamagedArtifact for what is missing or changed. made_by: of
    `prac.training.made_by`."""

    facts: Facts
    cost: Cost = Cost()
    made_by: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[File[Any], Any] = field(default_factory=dict)

    def __getitem__(self, file: File[T]) -> T:
        found: T = self.files[file]
        return found

    def known(self, kind: type[F]) -> F:
        """The facts, which have to be of this kind."""
        if not isinstance(self.facts, kind):
            raise TypeError(f"facts are {type(self.facts).__name__}, not {kind.__name__}")
        return self.facts


def _mask(name: str) -> File[Mask]:
    def write(folder: Path, mask: Mask) -> None:
        from prac.pruning.mask_file import mask_to_bytes

        (folder / name).write_bytes(mask_to_bytes(mask))

    def read(path: Path) -> Mask:
        from prac.pruning.mask_file import mask_from_bytes

        return mask_from_bytes(path.read_bytes())

    return File(name, write, read)


def _weights(name: str) -> File[Mapping[str, Tensor]]:
    def write(folder: Path, weights: Mapping[str, Tensor]) -> None:
        from prac.models.packed import to_bytes

        (folder / name).write_bytes(to_bytes(weights))

    def read(path: Path) -> Mapping[str, Tensor]:
        from prac.models.packed import from_bytes

        return from_bytes(path.read_bytes())

    return File(name, write, read)


def _read_table(path: Path) -> pa.Table:
    # Read whole, so that the file may be removed afterwards.
    return pq.read_table(path, memory_map=False)


def _table(name: str) -> File[pa.Table]:
    def write(folder: Path, table: pa.Table) -> None:
        pq.write_table(table, folder / name, compression="zstd")

    return File(name, write, _read_table)


def _set(name: str) -> File[PracSet]:
    def write(folder: Path, chosen: PracSet) -> None:
        pq.write_table(chosen.to_table(), folder / name, compression="zstd")

    def read(path: Path) -> PracSet:
        from prac.selection.prac_set import PracSet

        return PracSet.from_table(_read_table(path))

    return File(name, write, read)


def _ticket(name: str) -> File[Ticket]:
    def write(folder: Path, ticket: Ticket) -> None:
        ticket.save(folder / name)

    def read(path: Path) -> Ticket:
        from prac.ticket.format import Ticket

        return Ticket.load(path)

    return File(name, write, read)


def _text(name: str) -> File[str]:
    def write(folder: Path, text: str) -> None:
        (folder / name).write_text(text)

    return File(name, write, Path.read_text)


def _copy(folder: Path, pages: Path) -> None:
    shutil.copytree(pages, folder, dirs_exist_ok=True)


NEXT_MASK = _mask("next_mask.safetensors")
"""m_{k+1}."""
REWIND = _weights("rewind_weights.safetensors")
BEST = _weights("best_weights.safetensors")
"""At the best validation epoch, under the round's mask."""
TRAINED = _weights("trained_weights.safetensors")
"""Of a judgement."""
PREDICTIONS = _table("predictions.parquet")
"""sample_id int32, predicted int32: one row a training sample."""
STATISTICS = _table("statistics.parquet")
"""Rows of `forgetting_statistics`."""
SCORES = _table("scores.parquet")
"""sample_id int32, score float64: one row a training sample."""
SET = _set("prac_set.parquet")
TICKET = _ticket("ticket")
RESULTS = _text("results.json")
"""All that the report tells, as JSON."""
SWEEP = _text("sweep.json")
"""All that a sweep found, as JSON."""
PAGES: File[Path] = File(".", _copy, lambda path: path)
"""The report: page, figures, tables."""

NUMBERS = ("loss", "train_accuracy", "validation_accuracy", "learning_rate", "seconds")
"""The curves of a training."""


def starting_weights(made: Made) -> Mapping[str, Tensor]:
    """What training starts from: the rewind weights, or the best ones of a round whose weights go
    on (`search.rewind=learning-rate`), which leaves no others."""
    weights: Mapping[str, Tensor] = made[REWIND] if REWIND in made.files else made[BEST]
    return weights


def curves(records: Any) -> dict[str, tuple[float, ...]]:
    """The curves of a training's epoch records."""
    return {name: tuple(float(getattr(r, name)) for r in records) for name in NUMBERS}


def as_json(value: Facts | Cost) -> dict[str, Any]:
    """The fields as JSON values."""
    return dataclasses.asdict(value)
