"""Whole configurations as functions: change one with `replace`, name one with `--recipe`.

The published experiments (arXiv:2106.03225) are a data set, a network and one of three settings:
`cifar10_resnet20s`, `cifar10_resnet20s_low`, `cifar10_resnet20s_warmup`, and so on. `RECIPES` has
every one of them by name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial

from prac.config.methods import CONTROL, VANILLA
from prac.config.recipe import Recipe
from prac.config.sections import (
    AugmentConfig,
    BudgetConfig,
    DataConfig,
    PruneConfig,
    SearchConfig,
    SelectConfig,
    TrainConfig,
)
from prac.config.values import RewindPoint, Share
from prac.errors import unknown

Setting = Callable[[Recipe], Recipe]

_ONE_CYCLE = TrainConfig(epochs=8, milestones=(), schedule="onecycle", nesterov=True)


def standard(recipe: Recipe) -> Recipe:
    """Learning rate 0.1 from the first step, rewound to the weights after the third epoch."""
    return _at(recipe, learning_rate=0.1, warmup_epochs=0, rewind=RewindPoint("epoch", 3))


def low(recipe: Recipe) -> Recipe:
    """Learning rate 0.01, rewound to the initial weights."""
    changed = _at(recipe, learning_rate=0.01, warmup_epochs=0, rewind=RewindPoint("init"))
    return _named(changed, "low", "rate 0.01, from the initial weights")


def warmup(recipe: Recipe) -> Recipe:
    """Learning rate 0.03 after a warm-up of 15 epochs from 0, rewound to the initial weights."""
    changed = _at(recipe, learning_rate=0.03, warmup_epochs=15, rewind=RewindPoint("init"))
    return _named(
        changed, "warmup", "rate 0.03 after a warm-up of 15 epochs, from the initial weights"
    )


def digits() -> Recipe:
    """Embedded 8x8 digits, three small networks, minutes on two cores: to see it work."""
    return Recipe(
        name="digits",
        description="embedded 8x8 digits, three small networks: minutes on two cores",
        architectures=("resnet8", "vgg8s", "conv4"),
        data=DataConfig(source="digits"),
        # Mirrored digits are no digits; eight pixels stand a shift of one.
        augment=AugmentConfig(crop_padding=1, flip=False),
        train=TrainConfig(
            epochs=16, batch_size=64, learning_rate=0.05, milestones=(8, 12), precision="fp32"
        ),
        prune=PruneConfig(tolerance=0.08),
        budget=BudgetConfig(scaling="epochs", min_round_epochs=6),
        search=SearchConfig(rounds=8, rewind=RewindPoint("epoch", 1)),
        compare=(VANILLA, CONTROL),
    )


def images() -> Recipe:
    """Any data set of photographs at the published settings; ResNet-20s. For `--data`.

    Crops are padded in proportion: four pixels, as published, of 32.
    """
    recipe = _published("images", "cifar10", "resnet20s", "small photographs, ResNet-20s")
    return recipe.replace(augment=AugmentConfig(crop_padding=Share(0.125)))


def cifar10_quick() -> Recipe:
    """CIFAR-10 with ResNet-8 in 8 epochs and 3 rounds: a quick look, which does not match vanilla
    (`prac.config.measured`)."""
    return Recipe(
        name="cifar10_quick",
        description="CIFAR-10, ResNet-8, a quick look: 8 epochs, 3 rounds to 78.4 % sparsity",
        architectures=("resnet8",),
        data=DataConfig(source="cifar10"),
        train=dataclasses.replace(
            _ONE_CYCLE, batch_size=64, learning_rate=0.2, label_smoothing=0.1
        ),
        prune=PruneConfig(fraction=0.4),
        budget=BudgetConfig(scaling="steps"),
        search=SearchConfig(rounds=3, rewind=RewindPoint("epoch", 1)),
        # Its gap to vanilla is not small: every run measures its own.
        compare=(VANILLA, CONTROL),
    )


def cifar10_speed() -> Recipe:
    """CIFAR-10 with a network and a schedule that are strong after 16 epochs: for experiments.

    Measured on one core of an AMD EPYC, bf16, one training each, validation accuracy: this network
    had 86.2 % after 5 epochs at 0.12, 86 s each (so 16 are 23 minutes; two cores were not timed);
    32 to 128 wide 87.3 % after 8 at 0.12 and 89.1 % after 16 at 0.3, 53 s each. Forward and
    backward of 128 images took 198 ms (0.79 M weights), 32 to 128 wide 118 ms, a ResNet-9 16 to 128
    wide 116 ms (85.3 % after 9 of 10 epochs), vgg8s 184 ms; fp32 took 1.6 to 2.1 times as long.
    """
    return Recipe(
        name="cifar10_speed",
        description="CIFAR-10, airbench8s, strong after 16 epochs: 3 rounds to 78.4 % sparsity",
        architectures=("airbench8s",),
        data=DataConfig(source="cifar10"),
        augment=AugmentConfig(crop_padding=2),
        train=dataclasses.replace(
            _ONE_CYCLE,
            epochs=16,
            batch_size=128,
            learning_rate=0.12,
            weight_decay=5e-4,
            label_smoothing=0.1,
        ),
        prune=PruneConfig(fraction=0.4),
        budget=BudgetConfig(scaling="steps"),
        search=SearchConfig(rounds=3, rewind=RewindPoint("epoch", 1)),
        compare=(VANILLA, CONTROL),
    )


def cifar10_fast() -> Recipe:
    """CIFAR-10 in two trainings of `cifar10_speed`: the dense one, and one on a soft set under the
    mask of one cut, which goes on from the dense weights (`prac.config.measured`)."""
    return _fast("cifar10_fast", "CIFAR-10", cifar10_speed())


def cifar100_fast() -> Recipe:
    """The settings of `cifar10_fast` on CIFAR-100; nothing was measured on it."""
    on_others = cifar10_speed().replace(data=DataConfig(source="cifar100"))
    return _fast("cifar100_fast", "CIFAR-100", on_others)


def images_fast() -> Recipe:
    """The settings of `cifar10_fast` for any data set of photographs (`--data`); nothing was
    measured on others. Crops are padded in proportion: two pixels of 32."""
    speed = cifar10_speed().replace(augment=AugmentConfig(crop_padding=Share(0.0625)))
    return _fast("images_fast", "small photographs", speed)


def _published(
    name: str, source: str, architectures: str, what: str, setting: Setting = standard
) -> Recipe:
    return setting(
        Recipe(
            name=name,
            description=f"{what}, as published",
            architectures=tuple(architectures.split()),
            data=DataConfig(source=source),
            # One device in fp32: BatchNorm saw whole batches.
            train=TrainConfig(
                batch_size=512 if source == _TINY else 128, precision="fp32", shares=1
            ),
        )
    )


_TINY = "folder:tiny-imagenet-200"
"""As it is unpacked in the working folder; --data names another place, or Parquet."""

_PUBLISHED = (
    # Name, data set, networks, what it is.
    ("cifar10", "cifar10", "resnet20s resnet56s vgg16", "CIFAR-10, three networks"),
    ("cifar10_resnet20s", "cifar10", "resnet20s", "CIFAR-10, ResNet-20s"),
    ("cifar10_resnet56s", "cifar10", "resnet56s", "CIFAR-10, ResNet-56s"),
    ("cifar10_vgg16", "cifar10", "vgg16", "CIFAR-10, VGG-16"),
    ("cifar100", "cifar100", "resnet20s resnet56s vgg16", "CIFAR-100, three networks"),
    ("cifar100_resnet20s", "cifar100", "resnet20s", "CIFAR-100, ResNet-20s"),
    ("cifar100_resnet56s", "cifar100", "resnet56s", "CIFAR-100, ResNet-56s"),
    ("cifar100_vgg16", "cifar100", "vgg16", "CIFAR-100, VGG-16"),
    ("tiny_imagenet", _TINY, "resnet18 vgg16", "Tiny ImageNet, two networks"),
    ("tiny_imagenet_resnet18", _TINY, "resnet18", "Tiny ImageNet, ResNet-18"),
    ("tiny_imagenet_vgg16", _TINY, "vgg16", "Tiny ImageNet, VGG-16"),
)
"""At the published budget."""


RECIPES: dict[str, Callable[[], Recipe]] = {
    **{
        function.__name__: function
        for function in (
            *(digits, images, images_fast),
            *(cifar10_speed, cifar10_quick, cifar10_fast, cifar100_fast),
        )
    },
    **{
        row[0] + suffix: partial(_published, *row, setting)
        for row in _PUBLISHED
        for suffix, setting in (("", standard), ("_low", low), ("_warmup", warmup))
    },
}


def get_recipe(name: str) -> Recipe:
    """The recipe with this name. Raises ConfigError that lists the known ones."""
    if name not in RECIPES:
        raise unknown("recipe", name, RECIPES)
    return RECIPES[name]()


def _fast(name: str, what: str, dense: Recipe) -> Recipe:
    return dense.replace(
        name=name,
        description=f"{what}, airbench8s, 16 epochs, one cut to 78.4 % sparsity, a soft set",
        # As sparse as three rounds of 40 %; both trainings end with their schedules.
        prune=PruneConfig(fraction=0.784, tolerance=None),
        select=SelectConfig(soft=0.25),
        search=SearchConfig(rounds=1, rewind=RewindPoint("learning-rate")),
    )


def _at(recipe: Recipe, *, learning_rate: float, warmup_epochs: int, rewind: RewindPoint) -> Recipe:
    return recipe.replace(
        train=dataclasses.replace(
            recipe.train, learning_rate=learning_rate, warmup_epochs=warmup_epochs
        ),
        search=dataclasses.replace(recipe.search, rewind=rewind),
    )


def _named(recipe: Recipe, setting: str, what: str) -> Recipe:
    return recipe.replace(
        name=f"{recipe.name}_{setting}", description=f"{recipe.description}; {what}"
    )
