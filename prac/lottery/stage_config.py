"""What stages read of the configuration: hashed into their keys, and known before anything runs.

A plan and a replay read keys and train nothing, so this module and all it imports do without torch,
whose import takes more than a second. `WIRE` is a value's name in keys, written down so that a
class can be renamed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from prac.config.counts import num_batches
from prac.config.methods import PRAC, Method, Start
from prac.config.recipe import Recipe
from prac.config.sections import (
    AugmentConfig,
    BudgetConfig,
    CepModel,
    Precision,
    PruneConfig,
    SelectConfig,
    TrainConfig,
)
from prac.config.strategies import ProxyOptions
from prac.config.values import RewindPoint
from prac.errors import ConfigError
from prac.lottery.method_config import prune_for, sampler_settings, score_settings
from prac.plugins import identity
from prac.pruning.criteria import OPTIONS, find_criterion
from prac.training.schedule import Budget, round_budget


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """Of a stage with a network. network: all that keys tell of it, with the source of what is the
    user's; `prac.lottery.line` fills it in."""

    architecture: str
    network: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StartingConfig(NetworkConfig):
    """Of a stage that makes the first weights of the search. weights: the file that they are read
    from; what it holds is in `network`."""

    weights: str | None = field(default=None, metadata={"place": True})


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(NetworkConfig):
    """Of a stage that trains."""

    train: TrainConfig
    augment: AugmentConfig


@dataclass(frozen=True, kw_only=True)
class RoundConfig(StartingConfig, TrainingConfig):
    """What a round reads of the configuration, and nothing else: of kinds `dense` and `round`.

    rewind: where to take the rewind weights; None in every round but the first.
    records_events: false where another architecture's sets are used, or none are needed.
    predicts_with: whose predictions of the training split it leaves, for critical sets; None: none.
    criterion: what makes the tentative masks: its name, and the source of one of the user's.
    soft: share of the samples outside its set that every epoch draws. filter: share of its samples
    that its steps train on: the hardest of each batch, or filtered_by_chance. cuts: as many weights
    as so many rounds remove are removed by this one, where it prunes as it goes.
    """

    WIRE: ClassVar[str] = "round"
    round_index: int
    prune: PruneConfig
    budget: BudgetConfig
    seed: int
    rewind: RewindPoint | None
    records_events: bool
    predicts_with: CepModel | None
    criterion: tuple[str, ...] = ("magnitude",)
    soft: float = field(default=0.0, metadata={"later": True})
    filter: float = field(default=0.0, metadata={"later": True})
    filtered_by_chance: bool = field(default=False, metadata={"later": True})
    cuts: int = field(default=1, metadata={"later": True})

    def budget_for(self, num_samples: int, num_full_samples: int) -> Budget:
        """This round's budget on `num_samples`."""
        return round_budget(self.train, self.budget, num_samples, num_full_samples)


def round_config(
    recipe: Recipe,
    architecture: str,
    round_index: int,
    *,
    method: Method = PRAC,
    precision: Precision,
    records_events: bool,
    predicts: bool = True,
    finds_mask: bool = True,
) -> RoundConfig:
    """The configuration of one round of one search. finds_mask: it may stop where that is stable;
    one that prunes as it goes never is.

    Raises ConfigError for a network or a criterion of the user's that can't be loaded.
    """
    first = round_index == 0
    prune = prune_for(method, recipe.prune)
    # A method that takes PrAC's steps shares PrAC's round 0, and counts epochs from then on.
    counted = method.borrows == "steps" and not first
    # After a dense run that is to be pruned as it goes on, nobody asks for a mask.
    masked = finds_mask and not recipe.prune.gradual and not prune.gradual
    if not method.stops_early or counted or not masked:
        prune = dataclasses.replace(prune, tolerance=None)
    if first:
        prune = dataclasses.replace(prune, gradual=0.0)
    whole = first or method.data == "everything"
    made_beside = (
        method.trains not in ("rounds", "tickets")
        or find_criterion(prune.criterion).reads != "trained"
    )
    criterion = PruneConfig.criterion if made_beside else prune.criterion
    prune = dataclasses.replace(
        prune, criterion=criterion, **_criterion_options(prune, () if made_beside else None)
    )
    return RoundConfig(
        architecture=architecture,
        round_index=round_index,
        train=dataclasses.replace(recipe.train, precision=precision),
        prune=prune,
        augment=recipe.augment,
        # How budgets shrink with sets is nothing that a training on everything reads.
        budget=BudgetConfig() if whole else recipe.budget,
        seed=recipe.search.seed,
        rewind=recipe.search.rewind if first and recipe.search.rewind.rewinds else None,
        records_events=records_events,
        # Round 0's model is the dense one that all others are compared with.
        predicts_with="round" if first else recipe.select.cep_model if predicts else None,
        criterion=identity(prune.criterion),
        soft=0.0 if whole else recipe.select.soft,
        filter=0.0 if whole else recipe.select.filter,
        cuts=round_index if method.trains == "tickets" and not first else 1,
        filtered_by_chance=not whole and recipe.select.filter > 0 and method.by_chance,
    )


def _criterion_options(prune: PruneConfig, read: tuple[str, ...] | None = None) -> dict[str, Any]:
    """The options that a criterion reads, all others with their defaults."""
    names = find_criterion(prune.criterion).options if read is None else read
    defaults = PruneConfig()
    return {name: getattr(prune if name in names else defaults, name) for name in OPTIONS}


@dataclass(frozen=True, kw_only=True)
class ReduceConfig:
    """Nothing: events are counted in one way."""

    WIRE: ClassVar[str] = "reduce"


@dataclass(frozen=True, kw_only=True)
class SelectStageConfig:
    """What makes D_k, k = `round_index`, of what the round before left: of kind `select`.

    draw: the seed and the round of the easy samples' draw; None where none are drawn, so that sets
    without them are the same for every seed.
    """

    WIRE: ClassVar[str] = "selection"
    threshold: int
    cet: bool
    cep: bool
    easy: float = 0.0
    draw: tuple[int, int] | None = None

    @classmethod
    def of(cls, recipe: Recipe, select: SelectConfig, index: int) -> SelectStageConfig:
        """For D_k, k = `index`."""
        return cls(
            threshold=select.threshold_for(index),
            cet=select.cet,
            cep=select.cep,
            easy=select.easy,
            draw=(recipe.search.seed, index) if select.easy > 0 else None,
        )


@dataclass(frozen=True, kw_only=True)
class ScoreStageConfig(NetworkConfig):
    """What scores the samples: of kind `score`. draw: the seed, and the number of the score: that
    of the round it is for, or 0 for one that serves the whole search. architecture: of the model
    that is called; empty where none is."""

    WIRE: ClassVar[str] = "score"
    score: Mapping[str, Any]
    draw: tuple[int, int]
    architecture: str = ""
    precision: Precision = "fp32"


@dataclass(frozen=True, kw_only=True)
class SubsetStageConfig:
    """What takes samples by a score: of kind `subset`. score: where it reads nothing but the draw.
    fraction: None where the size is that of a set that is given."""

    WIRE: ClassVar[str] = "subset"
    sampler: Mapping[str, Any]
    draw: tuple[int, int]
    score: Mapping[str, Any] | None
    fraction: float | None

    @classmethod
    def of(
        cls, recipe: Recipe, select: SelectConfig, index: int, *, scored: bool, sized: bool
    ) -> SubsetStageConfig:
        """For D_k, k = `index`. scored: by another stage. sized: by another set."""
        return cls(
            sampler=sampler_settings(select),
            draw=(recipe.search.seed, index),
            score=None if scored else score_settings(select),
            fraction=None if sized else select.fraction,
        )


@dataclass(frozen=True, kw_only=True)
class ProxyConfig(TrainingConfig):
    """What the training of a proxy reads of the configuration: of kind `proxy`."""

    WIRE: ClassVar[str] = "proxy"
    seed: int

    @classmethod
    def of(cls, recipe: Recipe, select: SelectConfig, precision: Precision) -> ProxyConfig:
        """The proxy of a recipe; milestones and warm-up scale with its epochs."""
        train = dataclasses.replace(recipe.train, precision=precision)
        told = select.told(ProxyOptions)
        if told.proxy_epochs is not None:
            train = train.with_epochs(told.proxy_epochs)
        return cls(
            architecture=told.proxy, train=train, augment=recipe.augment, seed=recipe.search.seed
        )


@dataclass(frozen=True, kw_only=True)
class MaskConfig(StartingConfig):
    """What a mask that is made beside the training reads: of kind `prune`.

    criterion: its name, and the source of one of the user's. The options that the criterion doesn't
    read have their defaults.
    """

    WIRE: ClassVar[str] = "mask"
    criterion: tuple[str, ...]
    fraction: float
    iterations: int
    scoring_samples: int | None
    seed: int
    round_index: int
    layers: str = field(default="conv", metadata={"later": True})

    @classmethod
    def of(
        cls, prune: PruneConfig, architecture: str, *, seed: int, round_index: int
    ) -> MaskConfig:
        """The configuration of the mask m_{k+1}, made after round k = `round_index`."""
        return cls(
            architecture=architecture,
            criterion=identity(prune.criterion),
            fraction=prune.fraction,
            seed=seed,
            round_index=round_index,
            layers=prune.layers,
            **_criterion_options(prune),
        )


@dataclass(frozen=True, kw_only=True)
class StartConfig(StartingConfig):
    """Where tickets start that don't rewind: of kind `start`."""

    WIRE: ClassVar[str] = "start"
    start: Start
    seed: int


@dataclass(frozen=True, kw_only=True)
class JudgeConfig(TrainingConfig):
    """What a judgement reads of the configuration: of kind `judge`. as_found: it trains nothing,
    and tests the network that a round of the search has left."""

    WIRE: ClassVar[str] = "judge"
    seed: int
    as_found: bool = field(default=False, metadata={"later": True})


@dataclass(frozen=True, kw_only=True)
class TicketStageConfig(NetworkConfig):
    """What a ticket tells beside what its inputs left: of kind `ticket`. budget_steps: of the full
    budget, which vanilla spends on every round; budgets_more: and as often on more than those."""

    WIRE: ClassVar[str] = "ticket"
    method: str
    round_index: int
    budget_steps: int
    rewind: RewindPoint
    seed: int
    precision: Precision
    data_name: str
    recipe: str
    transfer_from: str | None
    layers: str = field(default="conv", metadata={"later": True})
    budgets_more: int = field(default=0, metadata={"later": True})


@dataclass(frozen=True, kw_only=True)
class ReportConfig:
    """What a report tells beside its inputs: of kind `report`. margin: points, of its verdicts."""

    WIRE: ClassVar[str] = "report"
    recipe: Recipe = field()
    transfer_from: str | None
    margin: float = field(default=0.5, metadata={"later": True})


def check_rewind(recipe: Recipe, num_training: int) -> None:
    """Raise ConfigError where the rewind point is past the end of round 0."""
    rewind = recipe.search.rewind
    steps = recipe.train.epochs * num_batches(num_training, recipe.train.batch_size)
    if rewind.unit == "step" and rewind.at > steps:
        raise ConfigError(f"search.rewind {rewind} is past the budget; allowed: up to step:{steps}")
