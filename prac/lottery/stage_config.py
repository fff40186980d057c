"""What stages read of the configuration: hashed into their keys, and known before anything runs.

A plan and a replay read keys and train nothing, so this module and all it imports do without torch,
whose import takes more than a second.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from prac.config.methods import PRAC, Method
from prac.config.sections import (
    AugmentConfig,
    BudgetConfig,
    CepModel,
    Precision,
    PruneConfig,
    Recipe,
    RewindPoint,
    TrainConfig,
)
from prac.data.steps import num_batches
from prac.errors import ConfigError
from prac.lottery.method_config import prune_for
from prac.plugins import identity
from prac.pruning.criteria import OPTIONS, find_criterion
from prac.training.schedule import Budget, round_budget


@dataclass(frozen=True, kw_only=True)
class RoundConfig:
    """What a round reads of the configuration, and nothing else: this is hashed into its key.

    rewind: where to take the rewind weights; None in every round but the first.
    records_events: false where another architecture's sets are used, or none are needed.
    predicts_with: whose predictions of the training split it leaves, for critical sets; None: none.
    criterion: what makes the tentative masks: its name, and the source of one of the user's.
    """

    architecture: str
    round_index: int
    train: TrainConfig
    prune: PruneConfig
    augment: AugmentConfig
    budget: BudgetConfig
    seed: int
    rewind: RewindPoint | None
    records_events: bool
    predicts_with: CepModel | None
    criterion: tuple[str, ...] = ("magnitude",)

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
) -> RoundConfig:
    """The configuration of one round of one search.

    Raises ConfigError for a criterion of the user's that can't be loaded.
    """
    first = round_index == 0
    prune = prune_for(method, recipe.prune)
    # Who has PrAC's steps begins with PrAC's round 0, and counts epochs from then on.
    counted = method.borrows == "steps" and not first
    if not method.stops_early or counted:
        prune = dataclasses.replace(prune, tolerance=None)
    defaults = PruneConfig()
    found = find_criterion(prune.criterion)
    made_beside = found.reads != "trained"
    read = () if made_beside else found.options
    prune = dataclasses.replace(
        prune,
        criterion=defaults.criterion if made_beside else prune.criterion,
        **{name: getattr(prune if name in read else defaults, name) for name in OPTIONS},
    )
    return RoundConfig(
        architecture=architecture,
        round_index=round_index,
        train=dataclasses.replace(recipe.train, precision=precision),
        prune=prune,
        augment=recipe.augment,
        budget=recipe.budget,
        seed=recipe.search.seed,
        rewind=recipe.search.rewind if first else None,
        records_events=records_events,
        # Round 0's model is the dense one that all others are compared with.
        predicts_with="round" if first else recipe.select.cep_model if predicts else None,
        criterion=identity(prune.criterion),
    )


@dataclass(frozen=True, kw_only=True)
class JudgeConfig:
    """What a judgement reads of the configuration: this is hashed into its key."""

    architecture: str
    train: TrainConfig
    augment: AugmentConfig
    seed: int


def check_rewind(recipe: Recipe, num_training: int) -> None:
    """Raise ConfigError where the rewind point is past the end of round 0."""
    rewind = recipe.search.rewind
    steps = recipe.train.epochs * num_batches(num_training, recipe.train.batch_size)
    if rewind.unit == "step" and rewind.at > steps:
        raise ConfigError(f"search.rewind {rewind} is past the budget; allowed: up to step:{steps}")
