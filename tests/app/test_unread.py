"""A setting that changes nothing is told, and one that changes anything is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from prac.app.options import Options
from prac.app.planned import plan_pipeline
from prac.app.unread import unread_settings
from prac.cli.options import split_settings, with_settings
from prac.config.recipes import get_recipe
from prac.errors import ConfigError


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


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (("data.source=digits", "data.subset=x", "data.test=y"), ["data.subset", "data.test"]),
        (("data.label_column=coarse",), ["data.label_column"]),
        (("data.test_fraction=0.3", "data.image_size=16", "data.split_seed=3"), []),
    ],
)
def test_what_a_source_does_not_heed_is_told(settings: tuple[str, ...], told: list[str]) -> None:
    assert unread(*settings) == told


def test_a_share_for_testing_is_not_read_where_there_is_a_test_split(tmp_path: Path) -> None:
    for split, count in (("train", 20), ("test", 4)):
        for number in range(count):
            place = tmp_path / split / "ab"[number % 2]
            place.mkdir(parents=True, exist_ok=True)
            picture = np.full((16, 16), 7 * number + len(split), np.uint8)
            Image.fromarray(picture).save(place / f"{number}.png")
    asked = (f"data.source=folder:{tmp_path}", "data.test_fraction=0.3", "data.image_column=x")
    assert unread(*asked) == ["data.test_fraction", "data.image_column"]
    assert unread(asked[0], "data.test=test") == []


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


@pytest.mark.parametrize(
    ("score", "epochs", "settings"),
    [("dual", 1, ()), ("dyn-unc", 1, ()), ("tdds", 2, ()), ("tdds", 8, ("select.score_epochs=2",))],
)
def test_a_score_of_too_few_epochs_is_refused_by_a_plan(
    score: str, epochs: int, settings: tuple[str, ...]
) -> None:
    recipe = with_settings(get_recipe("digits").with_epochs(epochs), split_settings(settings))
    with pytest.raises(ConfigError, match=rf"select.score {score} needs \d epochs of round 0"):
        plan_pipeline(recipe.replace(compare=(score,)), Options(executor="local"))
