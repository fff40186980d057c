"""What a recipe does otherwise than the published experiments (arXiv:2106.03225).

The paper's text and its released code disagree in places, so there are two columns. The tables are
facts about both; tests hold the recipes that are called published against them.
"""

from __future__ import annotations

from typing import Any

from prac.config.recipe import Recipe
from prac.config.values import RewindPoint

_ALIKE: dict[str, Any] = {
    "augment.crop_padding": 4,
    "augment.flip": True,
    "data.image_size": None,
    "data.validation_fraction": 0.1,
    "train.epochs": 182,
    "train.momentum": 0.9,
    "train.optimizer": "sgd",
    "train.weight_decay": 1e-4,
    "train.schedule": "multistep",
    "train.milestones": (91, 136),
    "train.decay": 0.1,
    "train.label_smoothing": 0.0,
    "train.nesterov": False,
    "train.precision": "fp32",
    "train.shares": 1,
    "prune.criterion": "magnitude",
    "prune.fraction": 0.2,
    "prune.layers": "conv",
    "prune.patience": 5,
    "prune.record_at_once": False,
    "select.score": "critical",
    "select.threshold": 0,
    "select.late_threshold": None,
    "select.easy": 0.0,
    "select.soft": 0.0,
    "select.filter": 0.0,
    "select.cet": True,
    "select.cep": True,
    "budget.min_round_epochs": 1,
    "budget.min_round_steps": 0,
    "search.rounds": 16,
}
_APART: dict[str, tuple[Any, Any]] = {
    "prune.tolerance": (0.08, 0.07),
    "select.cep_model": ("round", "pruned"),
    "budget.scaling": ("epochs", "steps"),
}
"""Where code (first) and text (second) disagree."""

SETTINGS: dict[str, tuple[float, int, RewindPoint]] = {
    "standard": (0.1, 0, RewindPoint("epoch", 3)),
    "low": (0.01, 0, RewindPoint("init")),
    "warmup": (0.03, 15, RewindPoint("init")),
}
"""Learning rate, epochs of warm-up and rewind point of the three published settings."""
_SETTING = ("train.learning_rate", "train.warmup_epochs", "search.rewind")


SAVED: dict[str, tuple[float, float]] = {
    "cifar10_resnet20s": (83.93, 36.66),
    "cifar10_resnet56s": (82.85, 37.07),
    "cifar10_vgg16": (92.77, 35.32),
    "cifar100_resnet20s": (69.53, 78.19),
    "cifar100_resnet56s": (63.54, 74.94),
    "cifar100_vgg16": (74.92, 69.55),
    "tiny_imagenet_resnet18": (76.14, 75.10),
    "tiny_imagenet_vgg16": (86.56, 68.23),
}
"""By recipe: the share of vanilla's iterations that PrAC saved to 79.03 % sparsity, and of the
training split in its last set, in percent (arXiv:2106.03225)."""


def differences(recipe: Recipe) -> tuple[list[str], list[str]]:
    """What a recipe does otherwise than the released code, and than the text: a line a field.

    Of the three published settings the one is taken that the recipe is nearest to. Batches are 128
    images, and 512 of Tiny ImageNet.
    """
    mine = tuple(_value(recipe, name) for name in _SETTING)
    nearest = max(
        SETTINGS.values(), key=lambda s: sum(a == b for a, b in zip(s, mine, strict=True))
    )
    batch = 512 if "tiny" in recipe.data.source else 128
    alike = {**_ALIKE, "train.batch_size": batch, **dict(zip(_SETTING, nearest, strict=True))}
    code = alike | {name: value for name, (value, _) in _APART.items()}
    text = alike | {name: value for name, (_, value) in _APART.items()}
    return _lines(recipe, code), _lines(recipe, text)


def _lines(recipe: Recipe, published: dict[str, Any]) -> list[str]:
    return [
        f"{name} is {_value(recipe, name)}, published {value}"
        for name, value in sorted(published.items())
        if _value(recipe, name) != value
    ]


def _value(recipe: Recipe, name: str) -> Any:
    section, _, field = name.partition(".")
    return getattr(getattr(recipe, section), field)
