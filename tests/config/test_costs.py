"""What recipes cost: against counts of what networks run, and against the paper's figures."""

from __future__ import annotations

import pytest

from prac.config.costs import FORWARD_FLOPS, KNOWN_DATA, recipe_costs
from prac.config.recipes import RECIPES, get_recipe
from prac.config.sections import DataConfig
from prac.data.dataset import ImageDataset
from prac.data.torchvision_sets import SETS
from prac.errors import ConfigError
from prac.lottery.stage_config import check_rewind
from prac.models.describe import forward_flops
from prac.models.registry import build_model
from prac.training.schedule import full_budget


@pytest.mark.parametrize(("architecture", "data"), FORWARD_FLOPS)
def test_the_flops_written_down_are_those_of_the_network(architecture: str, data: str) -> None:
    known = KNOWN_DATA[data]
    shape = known.image_shape
    model = build_model(architecture, num_classes=known.num_classes, image_shape=shape, seed=0)
    counted = sum(forward_flops(model, shape).values())
    assert FORWARD_FLOPS[architecture, data] == counted


def test_the_data_sets_are_as_large_as_they_are(digits_data: ImageDataset) -> None:
    digits = KNOWN_DATA["digits"]
    assert digits.num_training(DataConfig().validation_fraction) == len(digits_data.training_ids)
    assert digits.image_shape == digits_data.image_shape
    for name, known in SETS.items():
        assert KNOWN_DATA[name].num_classes == len(known.class_names)


def test_the_published_vanilla_search() -> None:
    # arXiv:2106.03225: vanilla to 79.03 % takes 7 x 64,064 steps on 45,000 images.
    (cost,) = recipe_costs(get_recipe("cifar10_resnet20s"))
    assert cost.steps == 16 * 64_064
    assert cost.samples == 16 * 182 * 45_000
    # 40.55 million multiply-adds an image forward, as He et al. count (0.041 billion).
    assert cost.flops == cost.samples * 3 * 2 * 40_551_040


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_has_a_cost(name: str) -> None:
    recipe = get_recipe(name)
    costs = recipe_costs(recipe)
    assert [cost.architecture for cost in costs] == list(recipe.architectures)
    known = KNOWN_DATA[costs[0].data]
    num_training = known.num_training(recipe.data.validation_fraction)
    budget = full_budget(recipe.train, num_training)
    check_rewind(recipe, num_training)
    # Where weights go on, the last mask is trained too.
    trainings = recipe.search.rounds + (str(recipe.search.rewind) == "learning-rate")
    assert all(cost.steps == trainings * budget.steps for cost in costs)


def test_what_is_not_known_is_refused() -> None:
    recipe = get_recipe("digits")
    with pytest.raises(ConfigError, match="size of folder:x is not known; known: digits, cifar10"):
        recipe_costs(recipe.replace(data=DataConfig(source="folder:x")))
    with pytest.raises(ConfigError, match="FLOPs of vgg19 on digits are not known"):
        recipe_costs(recipe.replace(architectures=("vgg19",)))
