"""Recipes: whole configurations that say what the paper says."""

import dataclasses

import pytest
from benchmarks.evidence_searches import ONE_CUT, searched_recipe
from benchmarks.fast_variants import PART

from prac.config.costs import KNOWN_DATA, recipe_costs
from prac.config.recipe import Recipe
from prac.config.recipes import RECIPES, digits, get_recipe, low, standard, warmup
from prac.config.sections import DataConfig, SearchConfig
from prac.config.values import RewindPoint, Share
from prac.errors import ConfigError
from prac.fingerprint import fingerprint
from prac.models.registry import build_model


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_a_recipe_is_whole_and_named(name: str) -> None:
    recipe = get_recipe(name)
    assert isinstance(recipe, Recipe)
    assert recipe.name == name
    assert recipe == get_recipe(name)
    assert "\n" not in recipe.description
    assert all(m <= recipe.train.epochs for m in recipe.train.milestones)
    assert 0 < len(recipe.description) <= 120


def test_recipes_are_different_experiments() -> None:
    assert len({fingerprint(get_recipe(name)) for name in RECIPES}) == len(RECIPES)


def test_its_architectures_can_be_built() -> None:
    # Once each: many recipes share a network.
    for architecture, data in {
        (cost.architecture, cost.data)
        for name in RECIPES
        for cost in recipe_costs(get_recipe(name))
    }:
        known = KNOWN_DATA[data]
        build_model(
            architecture, num_classes=known.num_classes, image_shape=known.image_shape, seed=0
        )


PUBLISHED = {
    "cifar10": ("cifar10", ("resnet20s", "resnet56s", "vgg16"), 128),
    "cifar100": ("cifar100", ("resnet20s", "resnet56s", "vgg16"), 128),
    "tiny_imagenet": ("folder:tiny-imagenet-200", ("resnet18", "vgg16"), 512),
}
# The published settings (arXiv:2106.03225): learning rate, warm-up epochs, rewind point.
SETTINGS = {"": (0.1, 0, "epoch:3"), "_low": (0.01, 0, "init"), "_warmup": (0.03, 15, "init")}


@pytest.mark.parametrize("family", PUBLISHED)
@pytest.mark.parametrize("setting", SETTINGS)
def test_the_published_settings(family: str, setting: str) -> None:
    source, architectures, batch_size = PUBLISHED[family]
    names = [family, *(f"{family}_{a}" for a in architectures)]
    for name, networks in zip(names, [architectures, *((a,) for a in architectures)], strict=True):
        recipe = get_recipe(name + setting)
        train = recipe.train
        assert recipe.architectures == networks
        assert (train.epochs, train.milestones, train.decay) == (182, (91, 136), 0.1)
        assert (train.batch_size, train.momentum, train.weight_decay) == (batch_size, 0.9, 1e-4)
        assert (train.schedule, train.label_smoothing, train.nesterov) == ("multistep", 0, False)
        at = (train.learning_rate, train.warmup_epochs, str(recipe.search.rewind))
        assert at == SETTINGS[setting]
        prune = recipe.prune
        assert (prune.fraction, prune.tolerance, prune.patience) == (0.2, 0.08, 5)
        assert (recipe.budget.scaling, recipe.budget.min_round_epochs) == ("epochs", 1)
        assert recipe.search.rounds == 16
        assert (recipe.select.threshold, recipe.select.cep_model) == (0, "round")
        assert (recipe.augment.crop_padding, recipe.augment.flip) == (4, True)
        assert recipe.data == DataConfig(source=source)
        assert recipe.data.validation_fraction == 0.1


SECTIONS = ("augment", "train", "prune", "select", "budget", "search", "architectures")


def test_the_quick_recipe_is_what_was_measured() -> None:
    recipe = get_recipe("cifar10_quick")
    variant = PART["onecycle/prac, steps"].recipe
    assert all(getattr(recipe, name) == getattr(variant, name) for name in SECTIONS)
    # The gap to vanilla is stated and not small, so a run measures its own.
    assert recipe.compare == ("vanilla", "random-subset")


@pytest.mark.parametrize("name", ["cifar10_fast", "cifar100_fast"])
def test_a_fast_recipe_is_what_was_measured(name: str) -> None:
    recipe = get_recipe(name)
    start = RewindPoint("learning-rate")
    # As `evidence.py` has it: a training's end is told by its steps alone.
    base = get_recipe("cifar10_speed").set(prune={"tolerance": None})
    variant = searched_recipe(base, ONE_CUT, 3, start, rounds=1)
    for section in set(SECTIONS) - {"search"}:
        assert getattr(recipe, section) == getattr(variant, section), section
    assert variant.search == dataclasses.replace(recipe.search, seed=3)
    assert recipe.data.source == name.removesuffix("_fast")
    assert recipe.compare == ("vanilla", "random-subset")


def test_fast_settings_of_one_s_own_images_pad_in_proportion() -> None:
    mine, measured = get_recipe("images_fast"), get_recipe("cifar10_fast")
    assert all(getattr(mine, n) == getattr(measured, n) for n in set(SECTIONS) - {"augment"})
    assert mine.augment.crop_padding == Share(2 / 32)
    assert mine.augment.flip == measured.augment.flip


def test_a_setting_changes_only_what_it_names() -> None:
    mine = digits().replace(name="mine", search=SearchConfig(rounds=3, seed=7))
    for setting in (low, warmup):
        changed = setting(mine)
        assert changed.name == f"mine_{setting.__name__}"
        assert changed.description != mine.description
        assert (changed.search.rounds, changed.search.seed) == (3, 7)
        assert changed.replace(name="mine", description=mine.description).data == mine.data
        # Back to the standard one, the settings of both are the same.
        back = standard(changed).replace(name="mine", description=mine.description)
        assert back == standard(mine)


def test_an_unknown_recipe_is_refused_with_the_known() -> None:
    with pytest.raises(ConfigError, match="recipe 'cifar11' is not known; known: cifar10, ") as e:
        get_recipe("cifar11")
    assert all(name in str(e.value) for name in RECIPES)
    assert "\n" not in str(e.value)
    assert e.value.exit_status == 2
