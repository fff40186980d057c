"""Scores of samples: how much each is worth to train on. Pure functions of what a run left.

A score of your own is a function in a file of yours, named `package.module:function`:

    from prac.selection.scores import Evidence, scorer

    @dataclass(frozen=True, kw_only=True)
    class Bounds:
        lowest: float = 0.1

    @scorer(reads="events", options=Bounds)
    def never_sure(evidence: Evidence, options: Bounds) -> NDArray[np.floating]:
        ...  # (N,) one number for each of `evidence.sample_ids`; the higher, the sooner it is taken

`--set select.score=package.module:function` selects by it, `--compare package.module:function`
runs a whole search by it beside PrAC's, on sets of the same sizes with the same steps, and
`--set select.lowest=0.2` tells it its option. What it makes is kept under a key that has the file's
source and its options.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from prac.config.checks import require_choice
from prac.config.methods import Method
from prac.config.plug_ins import find_plug_in
from prac.config.strategies import DivergenceOptions, EventsOptions, NoOptions, WindowOptions
from prac.errors import ConfigError, first_line
from prac.selection.true_class import true_and_rival

Reads = Literal["nothing", "events", "model", "proxy"]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a score may be made of; which part there is follows from the scorer's `reads`.

    sample_ids: (N,) sorted int32, all of D_0. labels: (N,) int64. seed: of this score alone.
    events: `events(epochs)` streams one batch of EVENT_SCHEMA for each of the first `epochs` epochs
    of round 0 (None: all of them), its rows those of `sample_ids` in the same order.
    probabilities: calls the model on all of D_0, in evaluation mode and without augmentation, and
    returns (N, K) float32 that sum to 1.
    """

    sample_ids: NDArray[np.int32]
    labels: NDArray[np.int64]
    num_classes: int
    seed: tuple[int, ...]
    events: Callable[[int | None], Iterator[pa.RecordBatch]] | None = None
    probabilities: Callable[[], NDArray[np.float32]] | None = None


Score = Callable[[Evidence, Any], NDArray[np.floating]]


@dataclass(frozen=True)
class Scorer:
    """A score and what it reads.

    reads: `nothing`; `events` of round 0, one score for the whole search; `model`, the one that the
    round before left, a score for each round; `proxy`, a small network trained first
    (`select.proxy`), one score for the whole search and for all architectures.
    options: the class of its options.
    revision: another one where the same name scores otherwise than it did: part of its keys.
    least_epochs: of round 0, without which it has nothing to tell.
    """

    function: Score
    reads: Reads
    options: type = NoOptions
    revision: tuple[str, ...] = ()
    least_epochs: int = 1

    def __post_init__(self) -> None:
        require_choice("a scorer that reads", self.reads, get_args(Reads))

    @property
    def name(self) -> str:
        return self.function.__name__

    def __call__(self, evidence: Evidence, options: Any = None) -> NDArray[np.floating]:
        """(N,) float64 scores; raises ConfigError for another shape and for values that aren't
        finite.

        options: of its class; None is that with its defaults.
        """
        told = self.options() if options is None else options
        given = self.function(evidence, told)
        try:
            scores = np.asarray(given)
        except (ValueError, TypeError, RuntimeError) as error:
            raise ConfigError(
                f"select.score gave a {type(given).__name__} that is no array "
                f"({first_line(error)}); allowed: one number a sample"
            ) from error
        if scores.shape != evidence.sample_ids.shape or scores.dtype.kind not in "fiu":
            raise ConfigError(
                f"select.score gave {scores.dtype} of shape {scores.shape} for "
                f"{len(evidence.sample_ids)} samples; allowed: one number a sample"
            )
        if not np.all(np.isfinite(scores)):
            raise ConfigError("select.score gave values that are not finite")
        # Unsigned ones have no negative to sort by.
        return scores.astype(np.float64)

    def as_method(self, name: str) -> Method:
        """The method that `--compare` runs: PrAC's search on sets by this score, of its sizes."""
        return Method(name=name, summary="sets by a score of yours", selects=name, borrows="steps")


def scorer(
    *,
    reads: Reads,
    options: type = NoOptions,
    revision: tuple[str, ...] = (),
    least_epochs: int = 1,
) -> Callable[[Score], Scorer]:
    """Make a function a score; see the module's head for an example."""
    return lambda function: Scorer(function, reads, options, revision, least_epochs)


@scorer(reads="nothing")
def random(evidence: Evidence, options: NoOptions) -> NDArray[np.floating]:
    """A number drawn for each sample: the control of every other score."""
    generator = np.random.Generator(np.random.PCG64([*evidence.seed, 0x5B5E7]))
    return generator.random(len(evidence.sample_ids))


@scorer(reads="events", options=EventsOptions)
def el2n(evidence: Evidence, options: EventsOptions) -> NDArray[np.floating]:
    """The mean norm of softmax minus one-hot over the first `select.score_epochs` epochs.

    Paul et al. 2021 (arXiv:2107.07075), section 2.2; they average over networks at one early epoch,
    this averages over the epochs of one network.
    """
    return _mean_over_epochs(evidence, options, "el2n")


@scorer(reads="events", options=EventsOptions)
def margin(evidence: Evidence, options: EventsOptions) -> NDArray[np.floating]:
    """Minus the area under the margin: the mean of true logit minus largest other logit.

    Pleiss et al. 2020 (arXiv:2001.10528), section 3. The smaller the area, the harder the sample.
    """
    return -_mean_over_epochs(evidence, options, "margin")


@scorer(reads="events", options=EventsOptions)
def forgets(evidence: Evidence, options: EventsOptions) -> NDArray[np.floating]:
    """How often it was forgotten; of a sample never learned, once more than any was.

    Toneva et al. 2019 (arXiv:1812.05159), which coverage-centric selection takes strata of (Zheng
    et al. 2023, arXiv:2210.15809).
    """
    from prac.events.statistics import count_events  # needs torch, which a plan does without

    table = count_events(_epochs(evidence, options)).statistics()
    forgotten: NDArray[np.floating] = table["forgotten"].to_numpy().astype(np.float64)
    never = table["first_learned"].is_null().to_numpy(zero_copy_only=False)
    return np.where(never, forgotten.max(initial=0) + 1, forgotten)


@scorer(reads="events", options=WindowOptions, revision=("of probabilities",), least_epochs=2)
def dual(evidence: Evidence, options: WindowOptions) -> NDArray[np.floating]:
    """Difficulty times uncertainty, averaged over all windows of `select.window` epochs.

    Cho et al. 2025 (arXiv:2502.06905), section 3: in each window, one minus the mean of the true
    class's probability, times that probability's standard deviation (over window - 1). Events hold
    the margin and the error's norm, of which the probability is solved: exactly for two classes,
    nearly for more (`prac.selection.true_class`). Against the true probabilities of ten classes,
    scores so made had rank correlations of 0.96 to 0.998, and 89 to 97 % of their highest 30 % in
    common. Where fewer epochs were recorded than a window has (an early stop, say), all of them are
    one window. Raises ConfigError for fewer than two epochs.
    """
    true = (true for true, _ in _likely(evidence, options, "dual", least=2))
    return _mean_over_windows(true, options.window, _dual_of)


def _dual_of(probabilities: NDArray[np.floating]) -> NDArray[np.floating]:
    """Of one window, (epochs, N): difficulty times uncertainty."""
    made: NDArray[np.floating] = (1 - probabilities.mean(axis=0)) * _spread(probabilities)
    return made


@scorer(reads="events", options=WindowOptions, least_epochs=2)
def dyn_unc(evidence: Evidence, options: WindowOptions) -> NDArray[np.floating]:
    """Uncertainty alone, averaged over all windows of `select.window` epochs.

    He et al. 2023 (arXiv:2306.05175), Dyn-Unc: in each window the standard deviation (over
    window - 1) of the true class's probability, which is solved as for `dual`. On CIFAR-10
    at 16x16 pixels (resnet8, 16 epochs of 3,000 samples, with and without augmentation, windows of
    3, 5 and 10) such scores had rank correlations of 0.985 to 0.991 with those of the true
    probabilities, and 93 to 96 % of their highest 30 % in common. Where fewer epochs were recorded
    than a window has, all of them are one window. Raises ConfigError for fewer than two epochs.
    """
    true = (true for true, _ in _likely(evidence, options, "dyn-unc", least=2))
    return _mean_over_windows(true, options.window, _spread)


def _spread(probabilities: NDArray[np.floating]) -> NDArray[np.floating]:
    made: NDArray[np.floating] = probabilities.std(axis=0, ddof=1)
    return made


@scorer(reads="events", options=DivergenceOptions, least_epochs=3)
def tdds(evidence: Evidence, options: DivergenceOptions) -> NDArray[np.floating]:
    """How unsteadily the prediction moves, over windows of which later ones count more.

    Zhang et al. 2024 (arXiv:2311.13613), Temporal Dual-Depth Scoring: with f_t the probabilities of
    the classes in epoch t, d_t is the sum over classes of |f_{t+1} log(f_{t+1} / f_t)|. Each window
    of `select.window` epochs has the norm of what its d differ from their mean; a window counts 0.9
    and all before it 0.1. Events tell the true class's probability and its strongest rival's, as
    for `dual`; which class the rival is they don't tell, so it counts as the same in all epochs,
    and the other classes as equal. Against the true probabilities of ten classes (ResNet-8, 16
    epochs of 3,000 CIFAR-10 images at 16x16, two seeds) scores so made had rank correlations of
    0.96 to 0.98 over windows of 3 and 5 epochs, and 0.85 to 0.90 over 10, where images were not
    augmented; where they were, 0.51 to 0.61, and 58 to 65 % of their highest 30 % in common.
    Fewer epochs than a window has are one window. Raises ConfigError for fewer than three epochs.
    """
    made = np.zeros(len(evidence.sample_ids))
    for divergences in _windows(_divergences(evidence, options), options.window - 1):
        apart = np.linalg.norm(divergences - divergences.mean(axis=0), axis=0)
        made = 0.1 * made + 0.9 * apart
    return made


def _divergences(evidence: Evidence, options: EventsOptions) -> Iterator[NDArray[np.floating]]:
    """From each epoch to the next."""
    others = evidence.num_classes - 2
    counts = np.array([1, 1, others])[: 2 + (others > 0), None]
    before = None
    for true, rival in _likely(evidence, options, "tdds", least=3):
        # None is zero, so that each has a logarithm.
        other = (1 - true - rival) / others if others else np.zeros(0)
        shares = np.maximum(np.stack([true, rival, other][: len(counts)]), 1e-8)
        if before is not None:
            yield (counts * np.abs(shares * np.log(shares / before))).sum(axis=0)
        before = shares


def entropy_of(evidence: Evidence, options: NoOptions) -> NDArray[np.floating]:
    """The entropy of the predicted probabilities, in nats: high where the model is unsure.

    Coleman et al. 2020 (arXiv:1906.11829), section 3.2, "max entropy".
    """
    if evidence.probabilities is None:
        raise ConfigError("the score reads no model; allowed: reads='model' or reads='proxy'")
    probabilities = evidence.probabilities().astype(np.float64)
    logs = np.log(np.where(probabilities > 0, probabilities, 1.0))
    entropies: NDArray[np.floating] = -(probabilities * logs).sum(axis=1)
    return entropies


SCORES: Mapping[str, Scorer] = MappingProxyType(
    {
        "random": random,
        "el2n": el2n,
        "margin": margin,
        "dual": dual,
        "dyn-unc": dyn_unc,
        "tdds": tdds,
        "forgets": forgets,
        "entropy": Scorer(entropy_of, "model"),
        # Selection via proxy: the same entropy, of a small network's predictions.
        "proxy": Scorer(entropy_of, "proxy"),
    }
)
"""By name."""


def find_score(name: str) -> Scorer:
    """The score with this name, or the user's `package.module:function`. Raises ConfigError."""
    return find_plug_in("select.score", name, SCORES, Scorer, scorer)


def _epochs(evidence: Evidence, options: EventsOptions) -> Iterator[pa.RecordBatch]:
    if evidence.events is None:
        raise ConfigError("the score reads no events; allowed: reads='events'")
    return evidence.events(options.score_epochs)


def _likely(
    evidence: Evidence, options: EventsOptions, score: str, least: int
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """By epoch, the probabilities of the true classes and of their strongest rivals.

    Raises ConfigError at the end of fewer than `least` epochs.
    """
    epochs = 0
    for batch in _epochs(evidence, options):
        margin, error = (batch.column(name).to_numpy() for name in ("margin", "el2n"))
        yield true_and_rival(margin, error, evidence.num_classes)
        epochs += 1
    if epochs < least:
        cut = (
            "" if options.score_epochs is None else f" (select.score_epochs={options.score_epochs})"
        )
        raise ConfigError(
            f"{score} needs {least} recorded epochs of round 0; there are {epochs}{cut}"
        )


def _windows(rows: Iterable[NDArray[np.floating]], length: int) -> Iterator[NDArray[np.floating]]:
    """Each (length, N) window of successive rows, or all rows where there are fewer.

    The newest row takes the place of the oldest, so the order within a window is rotated, which
    decides how sums over it are rounded.
    """
    recent: list[NDArray[np.floating]] = []
    for count, row in enumerate(rows):
        place = count % length
        recent[place : place + 1] = [row]
        if len(recent) == length:
            yield np.stack(recent)
    if len(recent) < length:
        yield np.stack(recent)


def _mean_over_windows(
    rows: Iterable[NDArray[np.floating]],
    length: int,
    of: Callable[[NDArray[np.floating]], NDArray[np.floating]],
) -> NDArray[np.floating]:
    total, windows = np.zeros(()), 0
    for window in _windows(rows, length):
        total = total + of(window)
        windows += 1
    return total / windows


def _mean_over_epochs(
    evidence: Evidence, options: EventsOptions, column: str
) -> NDArray[np.floating]:
    total, epochs = np.zeros(len(evidence.sample_ids)), 0
    for batch in _epochs(evidence, options):
        total += batch.column(column).to_numpy()
        epochs += 1
    if epochs == 0:
        raise ConfigError("no epoch was recorded, so samples have no score")
    return total / epochs
