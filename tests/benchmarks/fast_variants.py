"""What `fast_recipes.py` measures: named searches of two experiments.

`part`: 10,000 rows of CIFAR-10 as they are, 8 epochs; the `_fast` recipes are of it. `small`: all
rows at 16x16 pixels, 8 and 20 epochs.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prac.config import (
    AugmentConfig,
    BudgetConfig,
    PruneConfig,
    Recipe,
    RewindPoint,
    SearchConfig,
    TrainConfig,
)
from prac.data.steps import num_batches

ROWS = 10_000
"""Rows of the training split that take part in `part`, a tenth of them for validation."""

MULTISTEP = TrainConfig(epochs=8, batch_size=64, learning_rate=0.1, milestones=(4, 6))
ONECYCLE = TrainConfig(
    epochs=8,
    batch_size=64,
    learning_rate=0.2,
    milestones=(),
    schedule="onecycle",
    label_smoothing=0.1,
    nesterov=True,
)
PRUNE = PruneConfig(fraction=0.4)
# Three rounds that remove 40 % each end where seven of 20 % do: at 78.4 % sparsity.
BASE = Recipe(
    name="fast",
    description="a short budget",
    architectures=("resnet8",),
    train=ONECYCLE,
    prune=PRUNE,
    budget=BudgetConfig(scaling="steps"),
    search=SearchConfig(rounds=3, rewind=RewindPoint("epoch", 1)),
)
LARGE_BATCH = dataclasses.replace(ONECYCLE, batch_size=128)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One search. sizes_of: the variant whose sizes and epochs a random subset takes. share: of the
    rows that every epoch of `rs2` after round 0 draws."""

    method: str
    recipe: Recipe
    sizes_of: str | None = None
    share: float | None = None


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """rows: of the training split that take part; None: all. judged: which of m_0 to m_N.
    variants: by "schedule/search"; a schedule's gaps are to its "vanilla"."""

    rows: int | None
    image_size: int | None
    augment: AugmentConfig
    judged: tuple[int, ...]
    variants: Mapping[str, Variant]


def _prac(**changes: Any) -> Variant:
    return Variant(method="prac", recipe=BASE.replace(**changes))


def _at_least(share: float) -> BudgetConfig:
    steps = ONECYCLE.epochs * num_batches(ROWS - ROWS // 10, ONECYCLE.batch_size)
    return BudgetConfig(scaling="epochs", min_round_steps=round(share * steps))


_EPOCHS = BudgetConfig(scaling="epochs")
PART: dict[str, Variant] = {
    "onecycle/vanilla": Variant(method="vanilla", recipe=BASE),
    "onecycle/prac, steps": _prac(),
    "onecycle/random, steps": Variant(
        method="random-subset", recipe=BASE, sizes_of="onecycle/prac, steps"
    ),
    "onecycle/prac, epochs": _prac(budget=_EPOCHS),
    "onecycle/prac, epochs, 6 at least": _prac(
        budget=dataclasses.replace(_EPOCHS, min_round_epochs=6)
    ),
    # A small set is seen more often: its rounds take so many of the steps of those on all rows.
    "onecycle/prac, 3/4 of the steps": _prac(budget=_at_least(0.75)),
    "onecycle/prac, as many steps": _prac(budget=_at_least(1)),
    "onecycle/random, as many steps": Variant(
        method="random-subset",
        recipe=BASE.replace(budget=_at_least(1)),
        sizes_of="onecycle/prac, as many steps",
    ),
    "multistep/vanilla": Variant(method="vanilla", recipe=BASE.replace(train=MULTISTEP)),
    "multistep/prac, epochs": _prac(train=MULTISTEP, budget=_EPOCHS),
    "multistep/random, epochs": Variant(
        method="random-subset",
        recipe=BASE.replace(train=MULTISTEP, budget=_EPOCHS),
        sizes_of="multistep/prac, epochs",
    ),
    "multistep/prac, steps": _prac(train=MULTISTEP),
    "onecycle/prac, steps, patience 2": _prac(prune=dataclasses.replace(PRUNE, patience=2)),
    "onecycle/prac, steps, tolerance 0.15, patience 2": _prac(
        prune=dataclasses.replace(PRUNE, tolerance=0.15, patience=2)
    ),
    "onecycle/prac, steps, no stop": _prac(prune=dataclasses.replace(PRUNE, tolerance=None)),
    "onecycle/prac, steps, rewind init": _prac(
        search=dataclasses.replace(BASE.search, rewind=RewindPoint("init"))
    ),
    "onecycle 128/vanilla": Variant(method="vanilla", recipe=BASE.replace(train=LARGE_BATCH)),
    "onecycle 128/prac, steps": _prac(train=LARGE_BATCH),
}


# All rows at 16x16 pixels; in twenty epochs the network has learned about what it can.
SMALL_AUGMENT = AugmentConfig(crop_padding=2)


def _small(epochs: int) -> dict[str, Variant]:
    train = TrainConfig(
        epochs=epochs,
        batch_size=128,
        learning_rate=0.3,
        milestones=(),
        schedule="onecycle",
        nesterov=True,
    )
    base = BASE.replace(train=train, augment=SMALL_AUGMENT)
    steps = epochs * num_batches(45_000, train.batch_size)

    def floor(share: float) -> Recipe:
        budget = BudgetConfig(scaling="epochs", min_round_steps=round(share * steps))
        return base.replace(budget=budget)

    seven_rounds = base.replace(
        prune=PruneConfig(fraction=0.2), search=dataclasses.replace(base.search, rounds=7)
    )
    schedule = f"{epochs} epochs"
    return {
        f"{schedule}/vanilla": Variant(method="vanilla", recipe=base),
        f"{schedule}/vanilla, 7 rounds of 20 %": Variant(method="vanilla", recipe=seven_rounds),
        f"{schedule}/rs2, 60 % of the rows": Variant(method="rs2", recipe=base, share=0.6),
        f"{schedule}/prac, steps": Variant(method="prac", recipe=base),
        f"{schedule}/prac, 0.67 of the steps": Variant(method="prac", recipe=floor(0.67)),
        f"{schedule}/prac, as many steps": Variant(method="prac", recipe=floor(1)),
    }


SMALL = {**_small(8), **_small(20)}

EXPERIMENTS = {
    "part": Experiment(
        rows=ROWS, image_size=None, augment=BASE.augment, judged=(-1,), variants=PART
    ),
    "small": Experiment(
        rows=None, image_size=16, augment=SMALL_AUGMENT, judged=(-2, -1), variants=SMALL
    ),
}
