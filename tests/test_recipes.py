"""Recipes: whole configurations that say what METHOD says."""

import pytest

from prac.config import Recipe
from prac.errors import ConfigError
from prac.fingerprint import fingerprint
from prac.models import build_model
from prac.recipes import RECIPES, describe_recipes, get_recipe


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_a_recipe_is_whole_and_named(name: str) -> None:
    recipe = get_recipe(name)
    assert isinstance(recipe, Recipe)
    assert recipe.name == name
    assert recipe == get_recipe(name)
    assert "\n" not in recipe.description
    assert all(m <= recipe.train.epochs for m in recipe.train.milestones)
    assert describe_recipes()[name]
    assert "\n" not in describe_recipes()[name]


def test_recipes_are_different_experiments() -> None:
    assert len({fingerprint(get_recipe(name)) for name in RECIPES}) == len(RECIPES)


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_its_architectures_can_be_built(name: str) -> None:
    image_shape = (8, 8, 1) if name == "digits" else (32, 32, 3)
    for architecture in get_recipe(name).architectures:
        build_model(architecture, num_classes=10, image_shape=image_shape, seed=0)


@pytest.mark.parametrize("name", ["cifar10", "cifar10_resnet20s", "cifar100"])
def test_the_published_settings(name: str) -> None:
    recipe = get_recipe(name)
    train = recipe.train
    assert (train.epochs, train.milestones, train.decay) == (182, (91, 136), 0.1)
    assert (train.batch_size, train.learning_rate, train.momentum) == (128, 0.1, 0.9)
    assert (train.weight_decay, train.warmup_epochs) == (1e-4, 0)
    assert (recipe.prune.fraction, recipe.prune.tolerance, recipe.prune.patience) == (0.2, 0.08, 5)
    assert (recipe.budget.scaling, recipe.budget.min_round_epochs) == ("epochs", 1)
    assert (recipe.search.rounds, str(recipe.search.rewind)) == (16, "epoch:3")
    assert (recipe.select.threshold, recipe.select.cep_model) == (0, "round")
    assert (recipe.augment.crop_padding, recipe.augment.flip) == (4, True)
    assert recipe.data.source == name.partition("_")[0]
    assert recipe.data.validation_fraction == 0.1


def test_an_unknown_recipe_is_refused_with_the_known() -> None:
    with pytest.raises(ConfigError, match="recipe 'cifar11' is not known; known: cifar10, ") as e:
        get_recipe("cifar11")
    assert all(name in str(e.value) for name in RECIPES)
    assert "\n" not in str(e.value)
    assert e.value.exit_status == 2
