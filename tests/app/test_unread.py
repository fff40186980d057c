"""A setting that changes nothing is told, and one that changes anything is not."""

from __future__ import annotations

import pytest

from prac.app.options import Options
from prac.app.planned import plan_pipeline
from prac.app.unread import unread_settings
from prac.cli.options import split_settings, with_settings
from prac.config.recipes import get_recipe


def unread(*settings: str, compare: tuple[str, ...] = (), **options) -> list[str]:
    recipe = with_settings(get_recipe("digits"), split_settings(settings))
    asked = Options(executor="local", settings=settings, **options)
    return unread_settings(plan_pipeline(recipe.replace(compare=compare), asked))


@pytest.mark.parametrize(
    "setting",
    [
        *("select.fraction=0.3", "select.late_from=3", "select.hardest_cut=0.1"),
        *("select.proxy=conv4", "prune.iterations=3", "prune.scoring_samples=100"),
    ],
)
def test_what_is_of_another_choice_is_told(setting: str) -> None:
    """Of a score that takes a share, sets that change, strata, a proxy, masks of no training."""
    assert unread(setting) == [setting.partition("=")[0]]


@pytest.mark.parametrize(
    "setting",
    [
        *("select.threshold=1", "train.learning_rate=0.1", "budget.min_round_steps=1"),
        *("prune.patience=9", "search.rounds=2", "search.seed=4", "augment.flip=true"),
    ],
)
def test_what_is_read_is_not_told(setting: str) -> None:
    assert unread(setting) == []


def test_it_depends_on_what_else_is_asked() -> None:
    assert unread("prune.iterations=3", compare=("grasp", "synflow")) == []
    assert unread("select.score=el2n", "select.fraction=0.3") == []
    assert unread("select.late_from=3", "select.late_threshold=2") == []
    both = unread("select.cep=false", "select.cep_model=pruned", "select.fraction=0.3")
    assert both == ["select.cep_model", "select.fraction"]
    # Dense runs alone make no sets.
    assert unread("select.threshold=1", only=("dense",)) == ["select.threshold"]


def test_what_a_recipe_has_already_is_no_news() -> None:
    assert unread("select.threshold=0", "prune.criterion=magnitude") == []
