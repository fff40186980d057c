"""Everything that changes a result, in frozen, typed, keyword-only values.

Machinery (paths of the store, addresses, progress) is not here: what is here is hashed into the
keys of stages (`prac.fingerprint`), what is not here never is. `WIRE` is a section's name in keys;
the names of fields, which are those of settings (`train.epochs`), are in keys as well.
"""

from __future__ import annotations

import dataclasses
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeVar, get_args

from prac.config.checks import require as _require
from prac.config.checks import require_choice as _require_choice
from prac.config.plug_ins import hold_plug_ins, plug_in
from prac.config.strategies import OURS, Scalar, own_options
from prac.config.typed import hold_types
from prac.config.values import RewindPoint, Share
from prac.plugins import name_of

T = TypeVar("T")
Scaling = Literal["epochs", "steps"]
CepModel = Literal["round", "pruned"]
Precision = Literal["auto", "fp32", "bf16", "tf32"]
Schedule = Literal["multistep", "cosine", "onecycle"]
CRITERIA = ("magnitude", "random", "random-erk", "snip", "grasp", "synflow")
"""What decides which weights a round prunes; `prac.pruning.criteria` has them."""
SCORES = (
    "critical",
    "random",
    "el2n",
    "margin",
    "dual",
    "dyn-unc",
    "tdds",
    "forgets",
    "entropy",
    "proxy",
)
"""What decides which samples a round trains on; but for `critical`, `prac.selection.scores`."""
SAMPLERS = ("top", "balanced", "ccs")
"""How samples are taken by their scores; `prac.selection.samplers` has them."""

TRANSFORMS = ("published", "resized-crop", "none")
"""How training images are augmented; `prac.data.augment` has them."""


def _told(value: Any) -> Scalar:
    """An option's value; a plug-in that was handed over as an object by its name."""
    return value if isinstance(value, Scalar) else name_of(value)


def _check(section: Any, name: str, holds: bool, allowed: str) -> None:
    """Raise ConfigError where what must hold of a field doesn't."""
    _require(holds, f"{section.WIRE}.{name}", getattr(section, name), allowed)


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which images, and how they are split.

    source: `digits`, `cifar10`, `cifar100`, `parquet:PATH`, `folder:PATH` or `package.module:name`.
    subset: one of several configurations of Parquet files, as `parquet:PATH#NAME`.
    test: what is tested on, where that can't be guessed: a path, of itself or in the source's, or
    `validation`. label_column, image_column: of Parquet files, likewise.
    image_size: resize the shorter side to this and crop the centre; None keeps images as they are.
    channels: 1 or 3 to convert; None keeps what the images have.
    test_fraction: used only where the source brings no test split of its own.
    """

    WIRE: ClassVar[str] = "data"
    source: str = "digits"
    subset: str | None = field(default=None, metadata={"later": True})
    test: str | None = field(default=None, metadata={"later": True})
    label_column: str | None = None
    image_column: str | None = field(default=None, metadata={"later": True})
    image_size: int | None = None
    channels: int | None = None
    validation_fraction: float = 0.1
    test_fraction: float = 0.2
    split_seed: int = 0

    def __post_init__(self) -> None:
        hold_types(self)
        for name in ("validation_fraction", "test_fraction"):
            value = getattr(self, name)
            _check(self, name, 0 < value < 1, "above 0 and below 1")
        _check(self, "split_seed", 0 <= self.split_seed < 2**31, "0 to 2147483647")
        _check(self, "channels", self.channels in (None, 1, 3), "1, 3 or none")
        if self.image_size is not None:
            known = 4 <= self.image_size <= 16384
            _check(self, "image_size", known, "4 to 16384 pixels")


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """How training images are augmented; drawn for each sample by (seed, round, epoch).

    crop_padding: pixels of zeros on each side before the random crop back to size; `0.125x` is an
    eighth of the shorter side.
    flip: mirror half of the images, drawn at random, left to right.
    transform: `published`, both of these; `resized-crop`, a random part of the image enlarged to
    the whole (Szegedy et al. 2015, arXiv:1409.4842, section 6) and flips; `none`; or
    `package.module:callable` of your own, called with one image `(C, H, W) uint8` after the other,
    for one of the same shape and type. It draws by torch, whose generators are seeded for it.
    area: of `resized-crop`, the smallest share of the image that is taken.
    """

    WIRE: ClassVar[str] = "augment"
    crop_padding: int | Share = 4
    flip: bool = True
    transform: str = plug_in("published", TRANSFORMS, later=True)
    area: float = field(default=0.08, metadata={"later": True})

    def __post_init__(self) -> None:
        hold_types(self)
        padding = self.crop_padding
        if not isinstance(padding, Share):
            _check(self, "crop_padding", 0 <= padding <= 64, "0 to 64 pixels, or a share: 0.125x")
        hold_plug_ins(self)
        _check(self, "area", 0 < self.area <= 1, "above 0 to 1")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """What networks start from, where that isn't drawn.

    weights: `FILE.safetensors`, of all networks, or `ARCHITECTURE=FILE.safetensors` of each: the
    names of a state dictionary; or torchvision's name of weights, `IMAGENET1K_V1`, in place of a
    file. A last layer of another number of classes is drawn anew. In keys are the weights; where
    the file lies is not.
    """

    WIRE: ClassVar[str] = "model"
    weights: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        hold_types(self)
        for entry in self.weights:
            known = isinstance(entry, str) and (_is_file(entry) or _NAMED.fullmatch(entry))
            allowed = "FILE.safetensors, ARCHITECTURE=FILE.safetensors, or torchvision's name of "
            allowed += "weights in place of a file: IMAGENET1K_V1"
            if isinstance(entry, str) and entry.lower().endswith(_PICKLES):
                # Reading it would run what a stranger wrote into it; its owner can turn it.
                file = entry.rpartition("=")[2]
                allowed += (
                    " (a pickle may run code, and isn't read; where it is a state dictionary: "
                    "safetensors.torch.save_file(torch.load("
                    f"{file!r}, weights_only=True), {os.path.splitext(file)[0] + '.safetensors'!r})"
                    " turns it)"
                )
            _require(bool(known), "model.weights", entry, allowed)

    def weights_of(self, architecture: str) -> str | None:
        """The file that a network starts from, or torchvision's name of it."""
        found = None
        for entry in self.weights:
            name, equals, file = entry.rpartition("=")
            if not equals or name == architecture:
                # Workers may stand in another folder.
                found = os.path.abspath(file) if _is_file(file) else file
        return found


def _is_file(weights: str) -> bool:
    return weights.endswith(".safetensors")


_PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".tar", ".pkl", ".pickle")
_NAMED = re.compile("(.*=)?[A-Z][A-Z0-9_]*", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The full training budget N_0 and the optimiser; arXiv:2106.03225, section 4.

    epochs, milestones and warmup_epochs are those of the full budget; a round on fewer samples
    scales them (`prac.training.schedule`).
    schedule: `multistep`, times `decay` at every milestone (the published runs); `cosine`, a half
    cosine from learning_rate to 0 after the warm-up; `onecycle`, up to learning_rate over the first
    30 % of the steps and down again (Smith and Topin 2017, arXiv:1708.07120), which has its own
    warm-up. Only `multistep` reads milestones and decay.
    label_smoothing: the share of a label that is spread over all classes.
    nesterov: Nesterov's momentum.
    shares: into how many shares a batch is divided, in every training alike; BatchNorm normalises
    each alone. One process computes all of them, or up to as many workers: the bits are the same.
    Batches too small to give each share two samples have fewer.
    optimizer: `sgd` (the published runs); `adamw`, torch's with its own betas, decoupled
    weight_decay and no momentum of ours; or `package.module:callable` of your own
    (`torch.optim:RMSprop`), called with the parameters and, of `lr`, `weight_decay`, `momentum` and
    `nesterov`, those that it takes. The schedule sets the learning rate of all alike.
    """

    WIRE: ClassVar[str] = "train"
    epochs: int = 182
    batch_size: int = 128
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 1e-4
    milestones: tuple[int, ...] = (91, 136)
    decay: float = 0.1
    warmup_epochs: int = 0
    precision: Precision = "auto"
    schedule: Schedule = "multistep"
    label_smoothing: float = 0.0
    nesterov: bool = False
    shares: int = 2
    optimizer: str = plug_in("sgd", ("sgd", "adamw"), later=True)

    def __post_init__(self) -> None:
        hold_types(self)
        # Events keep the epoch as int16.
        _check(self, "epochs", 1 <= self.epochs < 2**15, "1 to 32767")
        _check(self, "batch_size", 1 <= self.batch_size < 2**31, "1 to 2147483647 samples")
        _check(self, "learning_rate", 0 < self.learning_rate < math.inf, "above 0, finite")
        _check(self, "momentum", 0 <= self.momentum < 1, "0 or more, below 1")
        _check(self, "weight_decay", 0 <= self.weight_decay < math.inf, "0 or more, finite")
        _check(self, "decay", 0 < self.decay <= 1, "above 0, at most 1")
        _check(
            self,
            "milestones",
            list(self.milestones) == sorted(set(self.milestones))
            and all(m >= 1 for m in self.milestones),
            "rising epochs, 1 or more",
        )
        _check(
            self,
            "warmup_epochs",
            0 <= self.warmup_epochs < self.epochs,
            f"0 or more, below train.epochs ({self.epochs})",
        )
        _require_choice("train.precision", self.precision, get_args(Precision))
        _check(self, "shares", 1 <= self.shares <= 1024, "1 to 1024")
        hold_plug_ins(self)
        self._check_modern()

    def with_epochs(self, epochs: int) -> TrainConfig:
        """Another full budget: milestones and warm-up keep their share of it."""
        scaled = {max(1, at * epochs // self.epochs) for at in self.milestones}
        return dataclasses.replace(
            self,
            epochs=epochs,
            milestones=tuple(sorted(scaled)),
            warmup_epochs=min(self.warmup_epochs * epochs // self.epochs, epochs - 1),
        )

    def _check_modern(self) -> None:
        _require_choice("train.schedule", self.schedule, get_args(Schedule))
        if self.schedule == "onecycle":
            _check(
                self,
                "warmup_epochs",
                self.warmup_epochs == 0,
                "0 with train.schedule=onecycle, which has its own",
            )
        _check(self, "label_smoothing", 0 <= self.label_smoothing < 1, "0 or more, below 1")
        _check(
            self,
            "nesterov",
            not self.nesterov or self.momentum > 0,
            "false where train.momentum is 0",
        )


@dataclass(frozen=True, kw_only=True)
class PruneConfig:
    """How much is pruned a round, and when the early-bird stop ends it.

    fraction: rho, the share of the prunable weights still alive that a round removes.
    tolerance: eps; None trains every round to its end.
    patience: consecutive mask distances that must be below eps.
    record_at_once: record distances from the first on, not only after one above eps was seen.
    criterion: what decides which weights go: `magnitude`, `random`, `random-erk` (densities
    of layers by the Erdos-Renyi-Kernel rule), `snip`, `grasp`, `synflow`, or `package.module:name`
    of your own (`prac.pruning.criteria`). One that reads no trained weights leaves
    the early-bird stop to watch the magnitudes.
    iterations: of snip, grasp and synflow, in each round: it is pruned in so many steps of equal
    ratio, and scored anew before each.
    scoring_samples: that snip and grasp look at, as many of each class, or one more of the first
    ones where that doesn't come out even; None is ten a class, as GraSP has it.
    layers: whose weights are prunable: `conv`, the convolutions (the published runs);
    `conv+linear`; `all-but-head`, both without the layers that make the logits; or layers by name,
    as shell patterns joined by `+` (`blocks.*.mlp.*+conv`). Biases and norms never are.
    gradual: share of the steps of a round after the first, in which the weights that it removes go
    little by little (`prac.pruning.gradual`), where weights go on from round to round; they are
    chosen by the round itself. No round stops early then. 0: all before the round, by what the one
    before has left.
    """

    WIRE: ClassVar[str] = "prune"
    fraction: float = 0.2
    tolerance: float | None = 0.08
    patience: int = 5
    record_at_once: bool = False
    criterion: str = plug_in("magnitude", CRITERIA)
    iterations: int = 1
    scoring_samples: int | None = None
    layers: str = field(default="conv", metadata={"later": True})
    gradual: float = field(default=0.0, metadata={"later": True})

    def __post_init__(self) -> None:
        hold_types(self)
        hold_plug_ins(self)
        _check(self, "gradual", 0 <= self.gradual <= 1, "0 to 1")
        for term in self.layers.split("+"):
            known = term in ("conv", "linear") or self.layers == "all-but-head"
            _check(
                self,
                "layers",
                known or any(sign in term for sign in ".*?["),
                "conv, conv+linear, linear, all-but-head, or layers' names with a dot or a "
                "shell pattern in them (features.*), joined by +",
            )
        _check(self, "fraction", 0 < self.fraction < 1, "above 0 and below 1")
        if self.tolerance is not None:
            _check(self, "tolerance", 0 < self.tolerance <= 1, "above 0 to 1, or none")
        _check(self, "patience", 1 <= self.patience <= 10**6, "1 to 1000000 distances")
        _check(self, "iterations", 1 <= self.iterations <= 1000, "1 to 1000")
        if self.scoring_samples is not None:
            _check(self, "scoring_samples", self.scoring_samples >= 1, "1 or more samples, or none")


@dataclass(frozen=True, kw_only=True)
class SelectConfig:
    """How the set of a round is made.

    threshold: E_F; samples with more forgetting events than this are critical for training.
    late_threshold: E_F of the sets from D_k on, k = `late_from`; None: `threshold` for all.
    easy: share of the samples that a critical set leaves out which each round trains on all the
    same, drawn anew for every round, of each class as many as its share.
    soft: share of the samples outside a round's set that every epoch draws anew, weighing 1 / soft;
    the last eighth of the epochs draws from everything (`prac.selection.soft`). 0: none.
    filter: share of a round's samples that its steps train on: those with the highest losses of
    each batch, which is larger by as much and is passed forward for them (`prac.training.hardest`).
    Random subsets take theirs by chance. 0: all.
    cet, cep: which of the two parts are taken.
    cep_model: the model compared with the dense one: `round`, the round's own at its best
    validation epoch (under m_k), or `pruned`, the same weights after this round's pruning
    (under m_{k+1}), as Algorithm 1 reads.
    score: `critical` is the PrAC set, CET with CEP. With any other the samples are taken by a score
    of the whole training split: `random`, `el2n`, `margin`, `dual`, `dyn-unc`, `tdds`,
    `forgets` (of round 0's events), `entropy` (of the round's predictions), `proxy` (of a small
    network's, trained first), or `package.module:name` of your own (`prac.selection.scores`).
    sampler: how they are taken by it: `top`, `balanced` (the same of each class), `ccs` (strata of
    the score), or `package.module:name` (`prac.selection.samplers`). Critical sets have none.
    fraction: of the training split that a score takes in every round. It is needed for any score
    but `critical`, whose sets have the size that follows from the data; methods that are compared
    always take as many as this search.
    options: what scores and samplers are told, by name, of those that differ from their defaults
    (`prac.config.strategies`).
    """

    WIRE: ClassVar[str] = "select"
    threshold: int = 0
    late_threshold: int | None = None
    late_from: int = 2
    easy: float = 0.0
    cet: bool = True
    cep: bool = True
    cep_model: CepModel = "round"
    score: str = plug_in("critical", SCORES)
    sampler: str = plug_in("top", SAMPLERS)
    fraction: float | None = None
    options: Mapping[str, Any] | tuple[tuple[str, Scalar], ...] = ()
    soft: float = field(default=0.0, metadata={"later": True})
    filter: float = field(default=0.0, metadata={"later": True})

    def __post_init__(self) -> None:
        hold_types(self)
        hold_plug_ins(self)
        _check(self, "threshold", 0 <= self.threshold < 2**15, "0 to 32767 forgets")
        late = self.late_threshold
        known = late is None or 0 <= late < 2**15
        _check(self, "late_threshold", known, "0 to 32767 forgets, or none")
        _check(self, "late_from", self.late_from >= 1, "1 or more")
        _check(self, "easy", 0 <= self.easy < 1, "0 or more, below 1")
        _check(self, "soft", 0 <= self.soft < 1, "0 or more, below 1")
        _check(self, "filter", 0 <= self.filter < 1, "0 or more, below 1")
        _check(
            self,
            "filter",
            not (self.soft and self.filter),
            "0 with select.soft, which chooses an epoch's samples itself",
        )
        _require(self.cet or self.cep, "select.cet and select.cep", False, "at least one true")
        _require_choice("select.cep_model", self.cep_model, get_args(CepModel))
        if self.fraction is not None:
            _check(self, "fraction", 0 < self.fraction <= 1, "above 0 to 1, or none")
        told = {name: _told(value) for name, value in dict(self.options).items()}
        object.__setattr__(self, "options", tuple(sorted(told.items())))
        for kind in OURS:
            self.told(kind)

    def told(self, kind: type[T]) -> T:
        """The options of one strategy: those that are set, and defaults."""
        return own_options(kind, dict(self.options))

    def threshold_for(self, round_index: int) -> int:
        """E_F of the set D_k, k = `round_index`."""
        late = self.late_threshold
        return self.threshold if late is None or round_index < self.late_from else late


@dataclass(frozen=True, kw_only=True)
class BudgetConfig:
    """How the full budget N_0 becomes that of a round on fewer samples.

    scaling: `epochs` scales the number of epochs by |D_k|/|D_0| (steps fall with its square: the
    published runs), `steps` scales the number of steps (the published text).
    min_round_epochs, min_round_steps: floors under a round's scaled budget, up to the full one:
    a small set may be seen more often than the full budget's epochs. Steps may be a `Share` of the
    full budget's, `0.5x`, which holds for any data and epochs; numbers do not.
    """

    WIRE: ClassVar[str] = "budget"
    scaling: Scaling = "epochs"
    min_round_epochs: int = 1
    min_round_steps: int | Share = 0

    def __post_init__(self) -> None:
        hold_types(self)
        _require_choice("budget.scaling", self.scaling, get_args(Scaling))
        _check(self, "min_round_epochs", self.min_round_epochs >= 1, "1 or more")
        steps = self.min_round_steps
        if not isinstance(steps, Share):
            _check(self, "min_round_steps", steps >= 0, "0 or more, or a share: 0.5x")


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """The rounds of one search, where they rewind to, and the seed of everything drawn."""

    WIRE: ClassVar[str] = "search"
    rounds: int = 16
    rewind: RewindPoint = field(default_factory=RewindPoint)
    seed: int = 0

    def __post_init__(self) -> None:
        hold_types(self)
        _check(self, "rounds", 1 <= self.rounds <= 1000, "1 to 1000")
        _check(self, "seed", 0 <= self.seed < 2**31, "0 to 2147483647")
