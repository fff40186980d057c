"""Configurations: frozen, keyword-only, and every refusal is one line that says what is allowed."""

import dataclasses
import inspect
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prac.config import recipe, sections, values
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
from prac.errors import ConfigError, PracError

CONFIGS = [
    kind
    for module in (recipe, sections, values)
    for _, kind in inspect.getmembers(module, inspect.isclass)
    if dataclasses.is_dataclass(kind) and kind.__module__ == module.__name__
]
MINIMAL = {
    Share: {"of": 0.5},
    Recipe: {"name": "r", "description": "", "architectures": ("resnet8",)},
}
NAN = math.nan

REFUSED = [
    (DataConfig, {"validation_fraction": 0.0}, "data.validation_fraction", "above 0 and below 1"),
    (DataConfig, {"validation_fraction": NAN}, "data.validation_fraction", "above 0 and below 1"),
    (DataConfig, {"test_fraction": 1.0}, "data.test_fraction", "above 0 and below 1"),
    (DataConfig, {"channels": 2}, "data.channels", "1, 3 or none"),
    (DataConfig, {"image_size": 3}, "data.image_size", "4 to 16384 pixels"),
    (DataConfig, {"split_seed": -1}, "data.split_seed", "0 to 2147483647"),
    (
        AugmentConfig,
        {"crop_padding": -1},
        "augment.crop_padding",
        "0 to 64 pixels, or a share: 0.125x",
    ),
    (
        AugmentConfig,
        {"crop_padding": 65},
        "augment.crop_padding",
        "0 to 64 pixels, or a share: 0.125x",
    ),
    (TrainConfig, {"epochs": 0, "milestones": ()}, "train.epochs", "1 to 32767"),
    (TrainConfig, {"epochs": 32768}, "train.epochs", "1 to 32767"),
    (TrainConfig, {"batch_size": 0}, "train.batch_size", "1 to 2147483647 samples"),
    (TrainConfig, {"learning_rate": 0.0}, "train.learning_rate", "above 0, finite"),
    (TrainConfig, {"learning_rate": math.inf}, "train.learning_rate", "above 0, finite"),
    (TrainConfig, {"learning_rate": NAN}, "train.learning_rate", "above 0, finite"),
    (TrainConfig, {"momentum": 1.0}, "train.momentum", "0 or more, below 1"),
    (TrainConfig, {"weight_decay": -1e-4}, "train.weight_decay", "0 or more, finite"),
    (TrainConfig, {"weight_decay": math.inf}, "train.weight_decay", "0 or more, finite"),
    (TrainConfig, {"decay": 0.0}, "train.decay", "above 0, at most 1"),
    (TrainConfig, {"milestones": (8, 8)}, "train.milestones", "rising epochs, 1 or more"),
    (TrainConfig, {"milestones": (0, 8)}, "train.milestones", "rising epochs, 1 or more"),
    (TrainConfig, {"epochs": 5, "warmup_epochs": 5}, "train.warmup_epochs", "below train.epochs"),
    (TrainConfig, {"precision": "fp16"}, "train.precision", "auto, fp32, bf16"),
    (TrainConfig, {"schedule": "step"}, "train.schedule", "multistep, cosine, onecycle"),
    (
        TrainConfig,
        {"schedule": "onecycle", "warmup_epochs": 2},
        "train.warmup_epochs",
        "0 with train.schedule=onecycle",
    ),
    (TrainConfig, {"label_smoothing": 1.0}, "train.label_smoothing", "0 or more, below 1"),
    (TrainConfig, {"label_smoothing": NAN}, "train.label_smoothing", "0 or more, below 1"),
    (TrainConfig, {"nesterov": True, "momentum": 0.0}, "train.nesterov", "train.momentum is 0"),
    (PruneConfig, {"fraction": 0.0}, "prune.fraction", "above 0 and below 1"),
    (PruneConfig, {"fraction": 1.0}, "prune.fraction", "above 0 and below 1"),
    (PruneConfig, {"tolerance": 0.0}, "prune.tolerance", "above 0 to 1, or none"),
    (PruneConfig, {"tolerance": 1.1}, "prune.tolerance", "above 0 to 1, or none"),
    (PruneConfig, {"patience": 0}, "prune.patience", "1 to 1000000 distances"),
    (SelectConfig, {"threshold": -1}, "select.threshold", "0 to 32767 forgets"),
    (SelectConfig, {"threshold": 2**63}, "select.threshold", "0 to 32767 forgets"),
    (PruneConfig, {"patience": 2**63}, "prune.patience", "1 to 1000000 distances"),
    (SelectConfig, {"cet": False, "cep": False}, "select.cet and select.cep", "at least one true"),
    (SelectConfig, {"cep_model": "dense"}, "select.cep_model", "round, pruned"),
    (
        SelectConfig,
        {"score": "el3n"},
        "select.score",
        "dual, dyn-unc, tdds, forgets, entropy, proxy, package.module:name",
    ),
    (SelectConfig, {"sampler": "a:b c"}, "select.sampler", "top, balanced, ccs, package.module"),
    (SelectConfig, {"fraction": 0.0}, "select.fraction", "above 0 to 1, or none"),
    (SelectConfig, {"fraction": NAN}, "select.fraction", "above 0 to 1, or none"),
    (SelectConfig, {"options": {"score_epochs": 0}}, "select.score_epochs", "1 to 32767, or none"),
    (SelectConfig, {"options": {"proxy_epochs": 0}}, "select.proxy_epochs", "1 to 32767, or none"),
    (SelectConfig, {"options": {"window": 1}}, "select.window", "2 or more epochs"),
    (SelectConfig, {"options": {"strata": 0}}, "select.strata", "1 to 1000000"),
    (SelectConfig, {"options": {"hardest_cut": 1.0}}, "select.hardest_cut", "0 or more, below 1"),
    (SelectConfig, {"options": {"proxy": ""}}, "select.proxy", "an architecture's name"),
    (PruneConfig, {"criterion": "snap"}, "prune.criterion", "synflow, package.module:name"),
    (PruneConfig, {"iterations": 0}, "prune.iterations", "1 to 1000"),
    (PruneConfig, {"scoring_samples": 0}, "prune.scoring_samples", "1 or more samples, or none"),
    (BudgetConfig, {"scaling": "linear"}, "budget.scaling", "epochs, steps"),
    (BudgetConfig, {"min_round_epochs": 0}, "budget.min_round_epochs", "1 or more"),
    (BudgetConfig, {"min_round_steps": -1}, "budget.min_round_steps", "0 or more"),
    (Share, {"of": 1.5}, "share '1.5x'", "above 0x, up to 1x"),
    (Share, {"of": NAN}, "share 'nanx'", "above 0x, up to 1x"),
    (SelectConfig, {"soft": 1.0}, "select.soft", "0 or more, below 1"),
    (SelectConfig, {"filter": 1.0}, "select.filter", "0 or more, below 1"),
    (SelectConfig, {"filter": 0.5, "soft": 0.1}, "select.filter", "0 with select.soft"),
    (SearchConfig, {"rounds": 0}, "search.rounds", "1 to 1000"),
    (SearchConfig, {"rounds": 1001}, "search.rounds", "1 to 1000"),
    (SearchConfig, {"seed": -1}, "search.seed", "0 to 2147483647"),
    (SearchConfig, {"seed": 2**31}, "search.seed", "0 to 2147483647"),
    (RewindPoint, {"unit": "day"}, "search.rewind unit", "epoch, step, init"),
    (RewindPoint, {"unit": "step", "at": 0}, "search.rewind step", "1 or more"),
    (Recipe, {"architectures": ()}, "architectures", "one or more"),
    (Recipe, {"architectures": ("a", "a")}, "architectures", "each name once"),
    (Recipe, {"select": SelectConfig(sampler="ccs")}, "'ccs' takes", "another select.score, or a"),
    (Recipe, {"compare": ("vanila",)}, "compare 'vanila'", "prac, vanilla, random-subset"),
    (Recipe, {"search": SearchConfig(rewind=RewindPoint("epoch", 183))}, "epoch:183", "epoch:182"),
]


@pytest.mark.parametrize(("kind", "changes", "name", "allowed"), REFUSED)
def test_a_refusal_is_one_line_with_what_is_allowed(kind, changes, name, allowed) -> None:
    with pytest.raises(ConfigError) as caught:
        kind(**{**MINIMAL.get(kind, {}), **changes})
    message = str(caught.value)
    assert name in message
    said, _, offered = message.partition("allowed; allowed: ")
    assert allowed in (offered or said)
    assert "\n" not in message
    assert caught.value.exit_status == 2
    assert isinstance(caught.value, PracError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("kind", CONFIGS)
def test_every_configuration_is_frozen_hashable_and_keyword_only(kind) -> None:
    made = kind(**MINIMAL.get(kind, {}))
    for field in dataclasses.fields(kind):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(made, field.name, getattr(made, field.name))
        assert field.kw_only or kind in (RewindPoint, Share)
    assert made == kind(**MINIMAL.get(kind, {}))
    assert hash(made) == hash(kind(**MINIMAL.get(kind, {})))


def test_a_share_may_be_written_as_it_is_read() -> None:
    assert BudgetConfig(min_round_steps="0.5x") == BudgetConfig(min_round_steps=Share(0.5))
    with pytest.raises(ConfigError, match="share '2x' is not allowed"):
        BudgetConfig(min_round_steps="2x")


def test_edges_that_are_allowed() -> None:
    PruneConfig(tolerance=None)
    PruneConfig(tolerance=1.0)
    TrainConfig(epochs=32767, momentum=0.0, weight_decay=0.0, decay=1.0, milestones=())
    DataConfig(image_size=4, channels=1)
    SelectConfig(cet=False)
    SelectConfig(score="my.scores:hardest", sampler="my.samplers:Some.thing", fraction=1.0)
    PruneConfig(criterion="my.criteria:smallest")
    RewindPoint("epoch", 182)


def test_the_defaults_are_those_of_the_published_results() -> None:
    train, prune = TrainConfig(), PruneConfig()
    assert (train.epochs, train.milestones, train.batch_size) == (182, (91, 136), 128)
    assert (train.learning_rate, train.momentum, train.weight_decay) == (0.1, 0.9, 1e-4)
    assert (train.decay, train.warmup_epochs) == (0.1, 0)
    assert (prune.fraction, prune.tolerance, prune.patience) == (0.2, 0.08, 5)
    assert (AugmentConfig().crop_padding, AugmentConfig().flip) == (4, True)
    assert DataConfig().validation_fraction == 0.1
    assert str(SearchConfig().rewind) == "epoch:3"
    assert (SearchConfig().rounds, SelectConfig().threshold) == (16, 0)


@given(st.sampled_from(["epoch", "step", "init"]), st.integers(1, 10**9))
def test_a_rewind_point_as_text_and_back(unit, at: int) -> None:
    point = RewindPoint(unit, at)
    assert RewindPoint.parse(str(point)) == point
    assert str(point) == ("init" if unit == "init" else f"{unit}:{at}")


@pytest.mark.parametrize(
    "text",
    ["", "epoch", "epoch:", "epoch:-1", "epoch:1.5", "init:", "init:3", "day:3", "epoch:3:4"],
)
def test_other_text_is_no_rewind_point(text: str) -> None:
    with pytest.raises(ConfigError, match="allowed: epoch:N, step:N, init") as caught:
        RewindPoint.parse(text)
    assert "\n" not in str(caught.value)


def test_epoch_zero_is_refused_with_what_is_allowed() -> None:
    with pytest.raises(ConfigError, match=r"search.rewind epoch 0 is not allowed; allowed: 1 or"):
        RewindPoint.parse("epoch:0")


def test_replace_changes_one_field_and_checks_it() -> None:
    recipe = Recipe(**MINIMAL[Recipe])
    changed = recipe.replace(search=SearchConfig(rounds=2))
    assert changed.search.rounds == 2
    assert changed.replace(search=recipe.search) == recipe
    with pytest.raises(ConfigError, match="is past the budget"):
        recipe.replace(train=TrainConfig(epochs=2, milestones=()))
