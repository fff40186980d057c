"""What `fast_recipes.py` measures: named searches of two experiments.

`part`: 10,000 rows of CIFAR-10 as they are, 8 epochs; `cifar10_quick` is of it. `small`: all
rows at 16x16 pixels, 8 to 24 epochs; the `_fast` recipes are of it.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prac.config.counts import num_batches
from prac.config.methods import Method
from prac.config.recipe import Recipe
from prac.config.sections import (
    AugmentConfig,
    BudgetConfig,
    PruneConfig,
    SearchConfig,
    SelectConfig,
    TrainConfig,
)
from prac.config.values import RewindPoint

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


# RS2 of any size with whole budgets; prac's own `rs2` has the sizes and steps of PrAC's rounds.
FRESH = Method(
    name="",
    summary="a fresh random subset in every epoch",
    data="fresh",
    borrows="sizes",
    stops_early=False,
)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One search: by one of prac's methods, or by `package.module:name` of this file."""

    method: str
    recipe: Recipe


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
    # A random subset has the sizes and steps of the PrAC search with its recipe.
    "onecycle/random, steps": Variant(method="random-subset", recipe=BASE),
    "onecycle/prac, epochs": _prac(budget=_EPOCHS),
    "onecycle/prac, epochs, 6 at least": _prac(
        budget=dataclasses.replace(_EPOCHS, min_round_epochs=6)
    ),
    # A small set is seen more often: its rounds take so many of the steps of those on all rows.
    "onecycle/prac, 3/4 of the steps": _prac(budget=_at_least(0.75)),
    "onecycle/prac, as many steps": _prac(budget=_at_least(1)),
    "onecycle/random, as many steps": Variant(
        method="random-subset", recipe=BASE.replace(budget=_at_least(1))
    ),
    "multistep/vanilla": Variant(method="vanilla", recipe=BASE.replace(train=MULTISTEP)),
    "multistep/prac, epochs": _prac(train=MULTISTEP, budget=_EPOCHS),
    "multistep/random, epochs": Variant(
        method="random-subset", recipe=BASE.replace(train=MULTISTEP, budget=_EPOCHS)
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


# All rows at 16x16 pixels; in twenty epochs ResNet-8 has learned about what it can.
SMALL_AUGMENT = AugmentConfig(crop_padding=2)


@dataclass(frozen=True, kw_only=True)
class _Small:
    """One schedule of `small`: all its variants have the same rounds, epochs and rewind point."""

    epochs: int
    architecture: str = "resnet8"
    rounds: int = 3
    rewind: int = 1

    @property
    def name(self) -> str:
        parts = [self.architecture, f"{self.epochs} epochs"]
        parts += [f"{self.rounds} rounds of 20 %"] if self.rounds == 7 else []
        parts += [f"rewound to {self.rewind}"] if self.rewind > 1 else []
        return ", ".join(parts)

    @property
    def _base(self) -> Recipe:
        train = TrainConfig(
            epochs=self.epochs,
            batch_size=128,
            learning_rate=0.3,
            milestones=(),
            schedule="onecycle",
            nesterov=True,
        )
        return BASE.replace(
            architectures=(self.architecture,),
            train=train,
            augment=SMALL_AUGMENT,
            # Seven rounds of 20 % and three of 40 % end at 79.0 and 78.4 % sparsity.
            prune=PruneConfig(fraction=0.2 if self.rounds == 7 else 0.4),
            search=SearchConfig(rounds=self.rounds, rewind=RewindPoint("epoch", self.rewind)),
        )

    def _floor(self, share: float) -> BudgetConfig:
        steps = self.epochs * num_batches(45_000, self._base.train.batch_size)
        return BudgetConfig(scaling="epochs", min_round_steps=round(share * steps))

    def vanilla(self) -> dict[str, Variant]:
        return {f"{self.name}/vanilla": Variant(method="vanilla", recipe=self._base)}

    def rs2(self, share: float, *, epochs: bool = False) -> dict[str, Variant]:
        """So much of the rows in every epoch; epochs: and so much of the epochs, too."""
        budget = _EPOCHS if epochs else self._floor(share)
        name = f"{self.name}/rs2, {share:g} of the rows{' and of the epochs' if epochs else ''}"
        # What has sizes is a set of so many; the sets themselves are not trained on.
        select = SelectConfig(score="random", fraction=share)
        recipe = self._base.replace(budget=budget, select=select)
        return {name: Variant(method="fast_variants:FRESH", recipe=recipe)}

    def prac(
        self,
        share: float | None = None,
        *,
        easy: float = 0.0,
        late: int | None = None,
        stop: tuple[float, int] | None = None,
    ) -> dict[str, Variant]:
        """share: of a full round's steps, at least; None: steps as the set's rows. late: E_F of the
        sets from D_2 on. stop: tolerance and patience."""
        recipe = self._base.replace(select=SelectConfig(easy=easy, late_threshold=late))
        what = "prac, steps" if share is None else f"prac, {share:g} of the steps"
        if share is not None:
            recipe = recipe.replace(budget=self._floor(share))
        if stop is not None:
            prune = dataclasses.replace(recipe.prune, tolerance=stop[0], patience=stop[1])
            recipe = recipe.replace(prune=prune)
            what += f", tolerance {stop[0]:g}, patience {stop[1]}"
        what += f", easy {easy:g}" if easy else ""
        what += f", E_F {late} from D_2" if late is not None else ""
        return {f"{self.name}/{what}": Variant(method="prac", recipe=recipe)}

    def random(self, like: dict[str, Variant]) -> dict[str, Variant]:
        """Random subsets with the sizes and epochs of another variant's rounds."""
        ((name, variant),) = like.items()
        mine = Variant(method="random-subset", recipe=variant.recipe)
        return {f"{self.name}/random, as {name.partition('/')[2]}": mine}


_SHORT, _LONG = _Small(epochs=8), _Small(epochs=20)
_LATE = _Small(epochs=8, rewind=4)
_ROUNDS = _Small(epochs=8, rounds=7)
_VGG = _Small(epochs=8, architecture="vgg8s")
_VGG_LONG = _Small(epochs=24, architecture="vgg8s")
# Of the full budget's steps, but for what the early-bird stop cuts off.
_STOPPED = _VGG.prac(1, easy=0.5, stop=(0.15, 2))
SMALL: dict[str, Variant] = {
    **_SHORT.vanilla(),
    **_SHORT.rs2(0.6),
    **_SHORT.prac(),
    **_SHORT.prac(late=1),
    **_SHORT.prac(stop=(0.15, 2)),
    **_SHORT.prac(0.67),
    **_SHORT.prac(1),
    **_LATE.vanilla(),
    **_LATE.prac(0.67),
    **_ROUNDS.vanilla(),
    **_ROUNDS.rs2(0.5),
    **_ROUNDS.rs2(0.5, epochs=True),
    **_ROUNDS.prac(0.5),
    **_ROUNDS.prac(0.5, easy=0.3),
    **_LONG.vanilla(),
    **_LONG.rs2(0.6),
    **_LONG.prac(0.67),
    **_VGG.vanilla(),
    **_VGG.prac(),
    **_VGG.prac(0.5, easy=0.5),
    **_STOPPED,
    **_VGG.random(_STOPPED),
    **_VGG_LONG.vanilla(),
    **_VGG_LONG.prac(0.5, easy=0.5),
}

EXPERIMENTS = {
    "part": Experiment(
        rows=ROWS, image_size=None, augment=BASE.augment, judged=(-1,), variants=PART
    ),
    "small": Experiment(
        rows=None, image_size=16, augment=SMALL_AUGMENT, judged=(-2, -1), variants=SMALL
    ),
}
