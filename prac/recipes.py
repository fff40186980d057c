"""Whole configurations as functions: change one with `replace`, name one with `--recipe`."""

from __future__ import annotations

import inspect
from collections.abc import Callable

from prac.config import (
    AugmentConfig,
    BudgetConfig,
    DataConfig,
    PruneConfig,
    Recipe,
    RewindPoint,
    SearchConfig,
    TrainConfig,
)
from prac.errors import unknown


def digits() -> Recipe:
    """Embedded 8x8 digits, three small networks, minutes on two cores: to see it work."""
    return Recipe(
        name="digits",
        description="embedded 8x8 digits, three small networks, minutes on two cores",
        architectures=("resnet8", "vgg8s", "conv4"),
        data=DataConfig(source="digits"),
        # Mirrored digits are no digits; eight pixels stand a shift of one.
        augment=AugmentConfig(crop_padding=1, flip=False),
        train=TrainConfig(
            epochs=16,
            batch_size=64,
            learning_rate=0.05,
            milestones=(8, 12),
            precision="fp32",
        ),
        prune=PruneConfig(tolerance=0.08),
        budget=BudgetConfig(scaling="epochs", min_round_epochs=6),
        search=SearchConfig(rounds=8, rewind=RewindPoint("epoch", 1)),
        compare=("vanilla", "random-subset"),
    )


def images() -> Recipe:
    """Any data set of small photographs at the published settings; ResNet-20s. For `--data`."""
    return _published("images", "cifar10", ("resnet20s",))


def _published(
    name: str, source: str, architectures: tuple[str, ...], batch_size: int = 128
) -> Recipe:
    return Recipe(
        name=name,
        description=f"{source} at the published budget: 182 epochs, 16 rounds",
        architectures=architectures,
        data=DataConfig(source=source),
        train=TrainConfig(batch_size=batch_size),
    )


def cifar10() -> Recipe:
    """CIFAR-10 at the published budget; ResNet-20s, ResNet-56s and VGG-16."""
    return _published("cifar10", "cifar10", ("resnet20s", "resnet56s", "vgg16"))


def cifar10_resnet20s() -> Recipe:
    """CIFAR-10 at the published budget; ResNet-20s alone."""
    return _published("cifar10_resnet20s", "cifar10", ("resnet20s",))


def cifar100() -> Recipe:
    """CIFAR-100 at the published budget; ResNet-20s, ResNet-56s and VGG-16."""
    return _published("cifar100", "cifar100", ("resnet20s", "resnet56s", "vgg16"))


RECIPES: dict[str, Callable[[], Recipe]] = {
    function.__name__: function
    for function in (digits, images, cifar10, cifar10_resnet20s, cifar100)
}


def get_recipe(name: str) -> Recipe:
    """The recipe with this name. Raises ConfigError that lists the known ones."""
    if name not in RECIPES:
        raise unknown("recipe", name, RECIPES)
    return RECIPES[name]()


def describe_recipes() -> dict[str, str]:
    """Name to one line about it."""
    return {name: inspect.getdoc(function) or "" for name, function in RECIPES.items()}
