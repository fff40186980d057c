"""Command lines of `prac sweep` and `prac thresholds`: what they refuse, plan and print."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

import pytest

from prac.cli.options import OneLineParser, add_pipeline_options, recipe_from
from prac.cli.sweep import add_sweep_options, parse_axis, pipeline_command, sweep_pipeline
from prac.cli.thresholds import add as add_thresholds
from prac.cli.thresholds import thresholds_command
from prac.config.recipe import Recipe
from prac.config.recipes import digits
from prac.errors import ConfigError

SMALL = ["--architectures", "resnet8", "--rounds", "2", "--epochs", "3", "--workers", "1"]


def parsed(*words: str) -> argparse.Namespace:
    parser = OneLineParser()
    add_sweep_options(parser)
    return parser.parse_args(words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "nothing varies"),
        (["--vary", "select.threshold"], "SECTION.FIELD=VALUES"),
        (["--vary", "train.epochs=1,2"], "section 'train' doesn't vary"),
        (["--vary", "select.height=1"], "known fields of select"),
        (["--vary", "select.threshold=a"], "--vary select.threshold=a"),
        (["--vary", "select.threshold=-1,2"], "select.threshold -1 is not allowed"),
        (["--vary", "select.threshold=1", "--vary", "select.threshold=2"], "twice"),
        (["--vary", "select.threshold=0..4"], "a range has no grid"),
        (["--vary", "select.threshold=4..0", "--sampler", "random", "--trials", "2"], "lower one"),
        (["--vary", "select.threshold=1", "--sampler", "random"], "needs --trials"),
        (["--vary", "select.score=el2n,dual"], "select.score el2n needs select.fraction"),
        (["--vary", "select.score=el2n,best"], "select.score 'best' is not allowed"),
        (
            [
                *("--set", "select.fraction=0.3", "--vary", "select.score=el2n,critical"),
                *("--vary", "select.sampler=top,ccs", "--sampler", "optuna", "--trials", "2"),
            ],
            "select.sampler 'ccs' takes samples by a score",
        ),
        (["--vary", "select.threshold=1", "--sampler", "best"], "grid, random, optuna"),
        (["--vary", "select.threshold=1", "--trials", "2"], "a grid is tried whole"),
        (["--vary", "select.threshold=1", "--concurrency", "0"], "--concurrency 0"),
        (["--vary", "select.threshold=1", "--judge", "none"], "untested"),
        (["--vary", "select.threshold=1", "--resume"], "no sweep like this was begun"),
        (["--vary", "select.threshold=1", "--executor", "local"], "--workers is for"),
        (
            ["--vary", "select.threshold=1", "--sampler", "optuna", "--trials", "2", "--asha"],
            "--asha is not allowed",
        ),
    ],
)
def test_errors_are_one_line_and_status_2(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert sweep_pipeline([*SMALL, "--home", str(tmp_path), *words]) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: ")
    assert said in error
    assert "\n" not in error


def test_a_sweep_is_not_for_one_process(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["--home", str(tmp_path), "--vary", "select.threshold=1", "--executor", "local"]
    assert sweep_pipeline(words) == 2
    assert capsys.readouterr().err == (
        "error: a sweep is run by Ray Tune; allowed: --executor ray\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        sweep_pipeline(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "python pipelines/sweep.py --vary select.threshold=0,1,2,4,6,8" in text
    assert "Pareto" in text or "no other beats" in text


def test_axes_have_the_types_of_their_fields() -> None:
    recipe = digits()
    assert parse_axis(recipe, "select.threshold=0,2").values == (0, 2)
    assert parse_axis(recipe, "select.cep=true,false").values == (True, False)
    assert parse_axis(recipe, "prune.tolerance=none,0.05").values == (None, 0.05)
    assert parse_axis(recipe, "budget.scaling=epochs,steps").values == ("epochs", "steps")
    # Trials are kept as JSON: a share is as it is written.
    steps = parse_axis(recipe, "budget.min_round_steps=0.5x,200")
    assert steps.values == ("0.5x", 200)
    whole = parse_axis(recipe, "select.threshold=0..8")
    assert (whole.low, whole.high, whole.whole) == (0, 8, True)
    assert not parse_axis(recipe, "prune.tolerance=0.02..0.2").whole
    with pytest.raises(ConfigError, match="two numbers"):
        parse_axis(recipe, "select.cep=false..true")


def test_the_best_is_a_command_that_the_whole_pipeline_accepts() -> None:
    arguments = parsed(
        *SMALL,
        *("--recipe", "digits", "--set", "train.learning_rate=0.1", "--set", "select.threshold=7"),
        *("--vary", "select.threshold=0,1", "--home", "a folder", "--storage-is-shared"),
    )
    command = pipeline_command(
        arguments, "full", {"select.threshold": "2", "prune.tolerance": "none"}
    )
    words = shlex.split(command)
    assert words[:2] == ["python", "pipelines/full.py"]
    assert "--vary" not in words
    again: Recipe = recipe_from(parsed(*words[2:]))
    assert again.select.threshold == 2
    assert again.prune.tolerance is None
    assert again.train == recipe_from(arguments).train
    assert again.search.rounds == 2
    assert {"--storage-is-shared", "a folder"} <= set(words)


def test_every_option_of_a_pipeline_comes_back_from_its_command() -> None:
    given = parsed(
        *("--recipe", "images", "--architectures", "vgg16", "resnet8", "--data", "folder:a b"),
        *("--rounds", "3", "--seed", "4", "--epochs", "5", "--transfer-from", "vgg16"),
        *("--compare", "vanilla", "rs2", "--judge", "0,2", "--seeds", "6"),
        *("--searches", "2", "--margin", "0.25"),
        *("--set", "select.cep=false", "--set", "search.rewind=init", "--workers", "7"),
        *("--min-workers", "1", "--cpus-per-round", "8", "--gpus-per-worker", "0.5"),
        *("--gpus-per-round", "0.25", "--home", "it's", "--storage", "s3://b/x"),
        *("--storage-is-shared", "--plan", "--executor", "local", "--gpus", "0"),
        "--deterministic",
    )
    pipeline = OneLineParser()
    add_pipeline_options(pipeline)
    defaults = vars(pipeline.parse_args([]))
    # An option that is new belongs into the words above.
    assert [name for name in defaults if getattr(given, name) == defaults[name]] == []
    words = shlex.split(pipeline_command(given, "full"))
    assert words[:2] == ["python", "pipelines/full.py"]
    # What is printed is to be run, not planned.
    again = {name: getattr(given, name) for name in defaults} | {"plan": False}
    assert vars(pipeline.parse_args(words[2:])) == again


def test_a_plan_shares_the_dense_run_and_starts_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = [*SMALL, "--home", str(tmp_path), "--vary", "select.threshold=0,1,2", "--plan"]
    assert sweep_pipeline(words) == 0
    text = capsys.readouterr().out
    assert sum(line.startswith("dense:") for line in text.splitlines()) == 1
    assert text.count("select:resnet8:prac:1:threshold=") >= 3
    assert "3 trials, 3 stages shared by all of them" in text


def test_thresholds_without_a_dense_run_say_how_to_make_it(tmp_path: Path) -> None:
    parser = OneLineParser()
    add_thresholds(parser.add_subparsers())
    words = ["thresholds", *SMALL, "--home", str(tmp_path), "--thresholds"]
    with pytest.raises(ConfigError, match=r"python pipelines/dense\.py --architectures resnet8"):
        thresholds_command(parser.parse_args([*words, "0,1"]))
    with pytest.raises(ConfigError, match="thresholds 'x' are not allowed"):
        thresholds_command(parser.parse_args([*words, "x"]))
    with pytest.raises(ConfigError, match="--after 2 is not allowed; allowed: 0 to 1"):
        thresholds_command(parser.parse_args([*words, "0", "--after", "2"]))
