"""What a recipe costs before anything runs: SGD steps, samples, FLOPs. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass

from prac.config.counts import held_out_count, num_batches
from prac.config.recipe import Recipe
from prac.errors import ConfigError

ImageShape = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class KnownData:
    """A recipe's data set before it is read: rows of the original training split, (H, W, C)."""

    num_train: int
    image_shape: ImageShape
    num_classes: int

    def num_training(self, validation_fraction: float) -> int:
        """Rows that are trained on, without the validation split."""
        return self.num_train - held_out_count(self.num_train, validation_fraction)


KNOWN_DATA = {
    # 1,797 digits without the fifth that is the test split.
    "digits": KnownData(num_train=1_438, image_shape=(8, 8, 1), num_classes=10),
    "cifar10": KnownData(num_train=50_000, image_shape=(32, 32, 3), num_classes=10),
    "cifar100": KnownData(num_train=50_000, image_shape=(32, 32, 3), num_classes=100),
    "tiny-imagenet": KnownData(num_train=100_000, image_shape=(64, 64, 3), num_classes=200),
}

FORWARD_FLOPS: dict[tuple[str, str], int] = {
    ("resnet8", "digits"): 1_494_272,
    ("vgg8s", "digits"): 4_758_016,
    ("conv4", "digits"): 11_872_768,
    ("resnet8", "cifar10"): 24_478_976,
    ("vgg8s", "cifar10"): 77_269_504,
    ("airbench8s", "cifar10"): 96_797_760,
    ("resnet20s", "cifar10"): 81_102_080,
    ("resnet56s", "cifar10"): 250_971_392,
    ("vgg16", "cifar10"): 626_403_328,
    ("vgg8s", "cifar100"): 77_292_544,
    ("airbench8s", "cifar100"): 96_832_320,
    ("resnet20s", "cifar100"): 81_113_600,
    ("resnet56s", "cifar100"): 250_982_912,
    ("vgg16", "cifar100"): 626_495_488,
    ("resnet18", "tiny-imagenet"): 296_296_448,
    ("vgg16", "tiny-imagenet"): 2_505_777_152,
}
"""Of one image, by network and data, as `prac.models.describe.forward_flops` counts them.

Written down because building the networks takes torch; a test counts them again."""

TRAINING_FLOPS = 3
"""Of a training step, in forward passes: the backward pass is two (weights, inputs)."""


@dataclass(frozen=True, kw_only=True)
class NetworkCost:
    """An upper bound for one network: what the vanilla search of the recipe costs.

    steps: SGD steps of all rounds, each on all training samples for the full budget. samples:
    images presented in them. flops: of training on them, masks not counted: dense hardware gains
    nothing from them. Evaluation, judgements and other methods come on top.
    """

    architecture: str
    data: str
    image_shape: ImageShape
    num_classes: int
    steps: int
    samples: int
    flops: int


def recipe_costs(recipe: Recipe) -> tuple[NetworkCost, ...]:
    """The cost of each of the recipe's networks.

    Raises ConfigError for data or a network that isn't a known recipe's: its size is known only
    once it is read, and `prac plan` reads it.
    """
    name = _data_name(recipe.data.source)
    known = KNOWN_DATA.get(name)
    if known is None:
        raise ConfigError(
            f"the size of {recipe.data.source} is not known; known: {', '.join(KNOWN_DATA)}"
        )
    num_training = known.num_training(recipe.data.validation_fraction)
    # Where weights go on, the last mask is trained too.
    trainings = recipe.search.rounds + (not recipe.search.rewind.rewinds)
    epochs = trainings * recipe.train.epochs
    costs = []
    for architecture in recipe.architectures:
        forward = FORWARD_FLOPS.get((architecture, name))
        if forward is None:
            raise ConfigError(f"the FLOPs of {architecture} on {name} are not known")
        costs.append(
            NetworkCost(
                architecture=architecture,
                data=name,
                image_shape=known.image_shape,
                num_classes=known.num_classes,
                steps=epochs * num_batches(num_training, recipe.train.batch_size),
                samples=epochs * num_training,
                flops=epochs * num_training * TRAINING_FLOPS * forward,
            )
        )
    return tuple(costs)


def _data_name(source: str) -> str:
    """`folder:tiny-imagenet-200` is Tiny ImageNet; other names are their own."""
    return "tiny-imagenet" if source.partition(":")[2] == "tiny-imagenet-200" else source
