"""`prac sweep`, and `pipelines/sweep.py`."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from prac.app.console import make_console
from prac.cli.guard import guarded
from prac.cli.options import (
    OneLineParser,
    add_last_line,
    add_pipeline_options,
    argument_words,
    field_type,
    parse_value,
    recipe_from,
    wants_json,
)
from prac.cli.run import run_options
from prac.config.recipe import Recipe
from prac.config.values import Share
from prac.errors import ConfigError

# Slow imports stand in functions: see `prac.cli`.
if TYPE_CHECKING:
    from prac.sweep.space import Axis

_DESCRIPTION = """\
Try many selections, and what follows from them, at the cost of what differs: the dense run and its
events are trained once (once for each way of pruning that is tried, whose mask it makes), and
stages that trials have in common run once.

Ray Tune proposes the trials; each is a search with its last ticket judged. At the end: the trials
that no other beats (validation accuracy against search steps, and against the last set's size) as
a table and a figure, with their test accuracies, and the best of them, chosen on the validation
split too, as a command line. A sweep that was killed goes on when the same command is given again,
with no stage run twice."""

_EXAMPLES = """\
examples:
  prac sweep --vary select.threshold=0,1,2,4,6,8
  prac sweep --recipe cifar10_resnet20s --vary select.threshold=0,2,4 --vary select.cep=true,false
  prac sweep --vary select.threshold=0..6 --vary prune.patience=2..6 --sampler random --trials 20
  prac sweep --vary select.threshold=0..8 --vary prune.patience=2,3,5 --sampler optuna --trials 30
  prac sweep --vary select.threshold=0,1,2,4,6,8 --asha --grace 3
  prac sweep --vary select.threshold=0,1,2,4,6,8 --plan    (what would run; starts nothing)
  prac thresholds                                          (set sizes by threshold, in seconds)
"""


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "sweep",
        help="try many selections on one dense run; Pareto front of accuracy and cost",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_sweep_options(parser)
    parser.set_defaults(action=sweep_command)


def add_sweep_options(parser: argparse.ArgumentParser) -> None:
    """The options of a sweep, then those of all pipelines."""
    tried = parser.add_argument_group("what is tried")
    tried.add_argument(
        "--vary",
        action="append",
        default=[],
        metavar="SECTION.FIELD=VALUES",
        help="a field of select, prune or budget: values with commas (0,1,2,4), or for random and "
        "optuna a range (0..8, 0.02..0.2); may be given several times",
    )
    tried.add_argument(
        "--sampler",
        default="grid",
        metavar="NAME",
        help="grid: all combinations; random; optuna: learns from finished trials, validation "
        "accuracy up and search steps down (%(default)s)",
    )
    tried.add_argument(
        "--trials",
        type=int,
        metavar="N",
        help="of random and optuna; fewer where the space has fewer points",
    )
    tried.add_argument(
        "--asha",
        action="store_true",
        help="stop the trials in the lower half by validation accuracy after a few rounds, and "
        "again after twice as many",
    )
    tried.add_argument(
        "--grace",
        type=int,
        default=2,
        metavar="ROUNDS",
        help="with --asha: rounds that every trial gets, the dense one counted (%(default)s)",
    )
    tried.add_argument(
        "--concurrency", type=int, metavar="N", help="trials at once (one for each core)"
    )
    tried.add_argument(
        "--resume",
        action="store_true",
        help="go on with a sweep that was killed; the same command does so by itself, with this it "
        "is an error where there is none",
    )
    add_pipeline_options(parser)
    add_last_line(parser)
    # Each trial would run each comparison too; they are asked for where they are wanted.
    parser.set_defaults(compare=[])


def sweep_pipeline(words: Sequence[str] | None = None) -> int:
    """The command line of `pipelines/sweep.py`; returns the exit status."""
    parser = OneLineParser(
        description=_DESCRIPTION,
        epilog=_EXAMPLES.replace("prac sweep", "python pipelines/sweep.py"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_sweep_options(parser)
    words = argument_words(words)
    arguments = parser.parse_args(words)
    return guarded(lambda: sweep_command(arguments), words)


def sweep_command(arguments: argparse.Namespace) -> dict[str, Any] | None:
    """Run a sweep, or print its plan; what its line of JSON says, where one is wanted."""
    from prac.sweep.space import Space, SweepOptions

    recipe = recipe_from(arguments)
    space = Space(
        axes=tuple(parse_axis(recipe, text) for text in arguments.vary),
        sampler=arguments.sampler,
        trials=arguments.trials,
        seed=recipe.search.seed,
    )
    sweep = SweepOptions(
        space=space,
        concurrency=arguments.concurrency,
        asha=arguments.asha,
        grace_rounds=arguments.grace,
        resume=arguments.resume,
    )
    options = run_options(arguments)
    # From here on torch and MLflow are imported, which takes seconds.
    from prac.app.screen import RichScreen
    from prac.app.sweep import run_sweep

    told = run_sweep(
        recipe,
        options,
        sweep,
        RichScreen(make_console()),
        lambda values: pipeline_command(arguments, "full", values),
    )
    return told if wants_json(arguments) else None


def parse_axis(recipe: Recipe, text: str) -> Axis:
    """Read `section.field=a,b,c` or `section.field=low..high`. Raises ConfigError."""
    from prac.sweep.space import SECTIONS, Axis

    name, equals, listed = text.partition("=")
    section = name.partition(".")[0]
    if not equals or not listed:
        raise ConfigError(f"--vary {text!r} is not SECTION.FIELD=VALUES")
    if section not in SECTIONS:
        raise ConfigError(
            f"--vary {name}: section {section!r} doesn't vary; allowed: {', '.join(SECTIONS)}"
        )
    hint = field_type("--vary", recipe, name)
    low, dots, high = listed.partition("..")
    if not dots:
        return Axis(
            field=name, values=tuple(_value(name, part, hint) for part in listed.split(","))
        )
    ends = [_value(name, part, hint) for part in (low, high)]
    numbers = [end for end in ends if isinstance(end, (int, float)) and not isinstance(end, bool)]
    if len(numbers) < 2 or not numbers[0] < numbers[1]:
        raise ConfigError(f"--vary {text}: a range needs two numbers, the lower one first")
    whole = all(isinstance(number, int) for number in numbers)
    return Axis(field=name, low=numbers[0], high=numbers[1], whole=whole)


def _value(name: str, text: str, hint: Any) -> Any:
    try:
        value = parse_value(name, text.strip(), hint)
        # Trials are kept as JSON, and the configuration reads a share as it is written.
        return str(value) if isinstance(value, Share) else value
    except ConfigError as error:
        raise ConfigError(str(error).replace("--set", "--vary", 1)) from error


def pipeline_command(
    arguments: argparse.Namespace, name: str, values: Mapping[str, Any] | None = None
) -> str:
    """The command line of another pipeline with the same recipe and options.

    values: settings that override the recipe's and the command line's.
    """
    values = values or {}
    parser = argparse.ArgumentParser(add_help=False)
    add_pipeline_options(parser)
    words = ["python", f"pipelines/{name}.py"]
    # The values without any words are the defaults, by name; each flag is named for its value.
    for option, default in vars(parser.parse_args([])).items():
        given, flag = getattr(arguments, option), f"--{option.replace('_', '-')}"
        if option == "settings":
            kept = [s for s in given if s.partition("=")[0] not in values]
            for setting in (*kept, *(f"{field}={value}" for field, value in values.items())):
                words += ["--set", setting]
        elif option == "plan" or given in (default, []):
            continue
        elif given is True:
            words.append(flag)
        else:
            words += [flag, *map(str, given if isinstance(given, list) else [given])]
    return shlex.join(words)
