"""What a recipe does otherwise than the published experiments."""

from __future__ import annotations

import pytest

from prac.config.published import differences
from prac.config.recipes import RECIPES, get_recipe

PUBLISHED = [
    name
    for name in RECIPES
    if name.partition("_")[0] in ("cifar10", "cifar100", "tiny")
    and not name.endswith(("_fast", "_quick", "_speed"))
]


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_recipes_do_what_the_released_code_does(name: str) -> None:
    code, text = differences(get_recipe(name))
    assert code == []
    # The text and the code disagree in three places, and recipes follow the code.
    assert [line.partition(" ")[0] for line in text] == [
        "budget.scaling",
        "prune.tolerance",
        "select.cep_model",
    ]


def test_every_field_that_differs_is_named_with_both_values() -> None:
    recipe = get_recipe("cifar10_resnet20s").set(
        train={"shares": 2, "precision": "bf16"}, prune={"tolerance": 0.07}
    )
    code, text = differences(recipe)
    assert code == [
        "prune.tolerance is 0.07, published 0.08",
        "train.precision is bf16, published fp32",
        "train.shares is 2, published 1",
    ]
    assert "prune.tolerance is 0.07, published 0.07" not in text
    assert len(text) == 4


def test_a_setting_of_its_own_is_held_against_the_nearest_published_one() -> None:
    warm = get_recipe("cifar10_resnet20s_warmup").set(train={"warmup_epochs": 10})
    assert differences(warm)[0] == ["train.warmup_epochs is 10, published 15"]
