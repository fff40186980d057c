"""What methods make of the sections of a configuration."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from prac.config.methods import METHODS, Method
from prac.config.recipe import Recipe
from prac.config.sections import PruneConfig, SelectConfig, TrainConfig
from prac.errors import ConfigError
from prac.lottery.method_config import (
    predicts,
    prune_for,
    records_events,
    sampler_settings,
    score_settings,
    select_for,
    set_size,
)
from prac.lottery.stage_config import ProxyConfig, RoundConfig, round_config

RECIPE = Recipe(name="r", description="", architectures=("resnet8",))


def test_selections() -> None:
    select = SelectConfig(threshold=2, options={"strata": 9})
    made = {name: select_for(method, select) for name, method in METHODS.items()}
    assert made["prac"] == made["vanilla"] == select
    assert made["cet-only"] == dataclasses.replace(select, cep=False)
    assert made["cep-only"] == dataclasses.replace(select, cet=False)
    assert made["dual"] == dataclasses.replace(select, score="dual")
    assert made["random-subset"] == dataclasses.replace(select, score="random")
    assert made["dual-ccs"] == dataclasses.replace(select, score="dual", sampler="ccs")
    # CET alone stays CET alone, whatever the configuration leaves out.
    alone = select_for(METHODS["cet-only"], SelectConfig(cet=False))
    assert (alone.cet, alone.cep) == (True, False)


def test_a_score_needs_a_size() -> None:
    select = SelectConfig(score="el2n")
    with pytest.raises(ConfigError, match=r"select.score el2n needs select.fraction"):
        select_for(METHODS["prac"], select)
    assert select_for(METHODS["vanilla"], select).score == "el2n"
    assert select_for(METHODS["margin"], select).score == "margin"
    assert select_for(METHODS["cet-only"], select).score == "critical"


def test_a_sampler_is_a_name_s_own() -> None:
    select = SelectConfig(score="margin", sampler="balanced", fraction=0.3)
    made = {name: select_for(method, select).sampler for name, method in METHODS.items()}
    assert made["prac"] == "balanced"
    assert {made[name] for name in ("random-subset", "entropy", "proxy", "el2n", "dual")} == {"top"}
    assert (made["el2n-balanced"], made["el2n-ccs"]) == ("balanced", "ccs")
    follows = Method(name="mine", summary="", selects="el2n", borrows="steps")
    assert select_for(follows, select).sampler == "balanced"
    mine = dataclasses.replace(follows, samples="my.samplers:every_other")
    assert select_for(mine, SelectConfig()).sampler == "my.samplers:every_other"


def test_a_size_is_borrowed_or_a_fraction() -> None:
    assert set_size(0.3, 1001, None) == 300
    assert set_size(0.0001, 100, None) == 1
    assert set_size(None, 1001, 17) == 17
    with pytest.raises(ConfigError, match="neither a fraction nor a set"):
        set_size(None, 1001, None)


def test_critical_sets_have_no_other_s_sizes_and_no_sampler() -> None:
    for borrows in ("sizes", "steps"):
        method = Method(name="mine", summary="", parts=("cet",), borrows=borrows)
        with pytest.raises(ConfigError, match=f"mine borrows the {borrows} of PrAC's sets"):
            select_for(method, SelectConfig())
        assert select_for(method, SelectConfig(score="el2n")).score == "el2n"
    sampled = Method(name="mine", summary="", samples="ccs")
    with pytest.raises(ConfigError, match="mine has the sampler ccs, but critical sets take all"):
        select_for(sampled, SelectConfig())


def test_settings_hold_what_is_read_and_no_more() -> None:
    select = SelectConfig(score="dual", sampler="ccs", options={"window": 4, "strata": 9})
    # What scores are kept under has the revision of a score that was mended.
    settings = {"score": ("dual", "of probabilities"), "score_epochs": None, "window": 4}
    assert score_settings(select) == settings
    assert sampler_settings(select) == {"sampler": ("ccs",), "strata": 9, "hardest_cut": 0.0}
    assert score_settings(SelectConfig(score="entropy")) == {"score": ("entropy",)}
    assert sampler_settings(SelectConfig()) == {"sampler": ("top",)}


def config(method: str, index: int = 1, **prune: object) -> RoundConfig:
    recipe = RECIPE.replace(prune=PruneConfig(**prune))  # type: ignore[arg-type]
    return round_config(
        recipe, "resnet8", index, method=METHODS[method], precision="fp32", records_events=False
    )


def test_which_rounds_may_stop_early() -> None:
    stops = {name for name in METHODS if config(name).prune.tolerance is not None}
    trained = {name for name, method in METHODS.items() if method.trains_round(1)}
    with_prac_s_steps = {"random-subset", "rs2", "entropy", "proxy", "el2n", "margin", "dual"}
    with_prac_s_steps |= {"el2n-balanced", "el2n-ccs", "margin-ccs", "dual-ccs"}
    with_prac_s_steps |= {"dyn-unc", "tdds", "forgets", "forgets-ccs"}
    assert trained - stops == {"vanilla", "no-early-stop", "gradual"} | with_prac_s_steps
    # They begin with PrAC's round 0 and take its epochs from then on.
    assert all(config(name, 0) == config("prac", 0) for name in with_prac_s_steps)


def test_rounds_prune_as_they_go_where_they_choose_by_trained_weights() -> None:
    as_it_goes = PruneConfig(gradual=0.25)
    own = dataclasses.replace(METHODS["vanilla"], name="own", prunes="magnitude")
    random = dataclasses.replace(own, prunes="random")
    shares = {m.name: prune_for(m, as_it_goes).gradual for m in (*METHODS.values(), own)}
    beside = {"random-pruning", "random-erk", "one-shot", "snip", "grasp", "synflow"}
    assert {name for name, share in shares.items() if share == 0} == beside
    assert {share for name, share in shares.items() if name not in beside} == {0.25}
    assert prune_for(random, as_it_goes).gradual == 0
    assert prune_for(METHODS["gradual"], PruneConfig()).gradual == 0.5


def test_rounds_do_not_read_how_masks_are_made_beside_them() -> None:
    assert prune_for(METHODS["random-pruning"], PruneConfig()).criterion == "random"
    assert config("random-pruning", 0) == config("vanilla", 0)
    assert config("prac", criterion="snip", iterations=3) == config("prac")
    assert config("prac").criterion == ("magnitude",)


def test_a_criterion_of_trained_weights_has_the_options_that_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ["from prac.pruning.criteria import criterion"]
    for name, options in {
        "none": (),
        "one": ("iterations",),
        "other": ("scoring_samples",),
    }.items():
        lines += [f"@criterion(reads='trained', options={options})", f"def {name}(pruning): ..."]
    (tmp_path / "criteria_with_options.py").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)

    def made(name: str, **prune: object) -> PruneConfig:
        return config("prac", criterion=f"criteria_with_options:{name}", **prune).prune

    assert made("none", iterations=3, scoring_samples=7) == made("none")
    assert made("one", iterations=3, scoring_samples=7) == made("one", iterations=3)
    assert made("one", iterations=3).iterations == 3
    assert made("other", iterations=3, scoring_samples=7) == made("other", scoring_samples=7)
    assert made("other", scoring_samples=7).scoring_samples == 7


def test_which_rounds_record_events() -> None:
    select = SelectConfig()
    recorded = {
        name
        for name, method in METHODS.items()
        if records_events(method, select_for(method, select), 1, transferred=False)
    }
    assert recorded == {"prac", "cet-only", "cep-only", "no-early-stop"}
    for method in METHODS.values():
        chosen = select_for(method, select)
        assert records_events(method, chosen, 0, transferred=False)
        assert not records_events(method, chosen, 0, transferred=True)


def test_which_rounds_predict_the_training_split() -> None:
    select = SelectConfig()
    predicting = {
        name
        for name, method in METHODS.items()
        if predicts(method, select_for(method, select), 1, transferred=False)
    }
    assert predicting == {"prac", "cep-only", "no-early-stop"}
    assert not predicts(METHODS["prac"], select, 1, transferred=True)
    assert not predicts(METHODS["prac"], SelectConfig(cep=False), 1, transferred=False)
    assert all(predicts(m, select, 0, transferred=True) for m in METHODS.values())
    # Whoever leaves no predictions is not told by whom they would be.
    one, other = (
        round_config(
            RECIPE.replace(select=SelectConfig(cep_model=model)),
            "resnet8",
            1,
            precision="fp32",
            records_events=False,
            predicts=False,
        )
        for model in ("round", "pruned")
    )
    assert one == other


def test_a_proxy_s_schedule_scales_with_its_epochs() -> None:
    recipe = RECIPE.replace(train=TrainConfig(epochs=180, milestones=(90, 135), warmup_epochs=10))
    whole = ProxyConfig.of(recipe, SelectConfig(), "fp32")
    assert (whole.architecture, whole.train.epochs) == ("resnet8", 180)
    short = ProxyConfig.of(
        recipe, SelectConfig(options={"proxy": "conv4", "proxy_epochs": 20}), "bf16"
    )
    assert (short.architecture, short.train.epochs) == ("conv4", 20)
    assert (short.train.milestones, short.train.warmup_epochs) == ((10, 15), 1)
    assert short.train.precision == "bf16"
