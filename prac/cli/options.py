"""The command line's words: parsed into typed configurations, each error one line."""

from __future__ import annotations

import argparse
import contextlib
import re
import sys
import types
import typing
from collections.abc import Sequence
from typing import Any, NoReturn

from prac.app.console import say
from prac.config.methods import METHODS, PRAC
from prac.config.plug_ins import plug_ins
from prac.config.recipe import SECTIONS, Recipe
from prac.config.recipes import RECIPES, get_recipe
from prac.config.strategies import OURS, Scalar, option_types
from prac.config.values import JUDGED_BY, RewindPoint, Share
from prac.errors import ConfigError, did_you_mean
from prac.models.catalogue import known_architectures
from prac.plugins import is_custom
from prac.plugins.beside import find_beside


class OneLineParser(argparse.ArgumentParser):
    """An argument parser whose errors are one line: what, where, what is allowed."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Of a command's parser, whose own options are those that could be meant."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, unknown

    def error(self, message: str) -> NoReturn:
        """Say it, with what was meant where that is clear, and end with status 2."""
        if wrong := re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message):
            message += did_you_mean(wrong[1], re.findall(r"[\w-]+", wrong[2]))
        elif wrong := re.match(r"unrecognized arguments: (--[\w-]+)", message):
            message += did_you_mean(wrong[1], re.findall(r"--[\w-]+", self.format_usage()))
        say(f"error: {message}; see {self.prog} --help", error=True)
        self.exit(2)


class _MethodNames(tuple[str, ...]):
    """The methods that are offered, and any name of the form that a user's own has."""

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or (isinstance(name, str) and is_custom(name))


class Offered(tuple[str, ...]):
    """Names that the Tab key offers. Any other word is taken too: what it names is read later."""

    def __contains__(self, name: object) -> bool:
        return True


def add_pipeline_options(parser: argparse.ArgumentParser) -> None:
    """The options that all pipelines have."""
    what = parser.add_argument_group("what is searched")
    _add_search(what)
    _add_comparison(what)
    add_settings(
        what,
        "change any field of the recipe, e.g. select.threshold=2, budget.scaling=steps, "
        "search.rewind=init, prune.tolerance=none; `prac recipes NAME` lists them",
    )
    how = parser.add_argument_group("how it runs")
    _add_devices(how)
    _add_places(how)
    how.add_argument("--plan", action="store_true", help="print what would run, and exit")


def add_settings(parser: argparse._ActionsContainer, help: str) -> None:
    """`--set`: any field of a configuration, as often as wanted."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="settings",
        metavar="SECTION.FIELD=VALUE",
        help=help,
    )


def _add_search(what: argparse._ArgumentGroup) -> None:
    """The search itself: networks, data, rounds."""
    what.add_argument(
        "--recipe",
        metavar="NAME",
        choices=Offered(RECIPES),
        help="a whole configuration: digits, cifar10_resnet20s, ...; `prac recipes` lists them "
        "(digits; with other --data: images)",
    )
    what.add_argument(
        "--architectures",
        nargs="+",
        metavar="A",
        choices=Offered(known_architectures()),
        help="networks: ours (resnet20s, vgg16, ...; resnet20s_x0.5 has half the channels), "
        "torchvision's, timm:NAME, package.module:callable",
    )
    what.add_argument(
        "--data",
        metavar="NAME",
        choices=Offered(("digits", "cifar10", "cifar100", "folder:", "parquet:")),
        help="digits, cifar10, cifar100, folder:PATH (class folders) or parquet:PATH",
    )
    what.add_argument("--rounds", type=int, metavar="N", help="rounds of train, prune, rewind")
    what.add_argument("--seed", type=int, metavar="S", help="of weights, order and augmentation")
    what.add_argument(
        "--epochs",
        type=int,
        metavar="N",
        help="full training budget; milestones and warm-up of the recipe scale with it",
    )
    what.add_argument(
        "--transfer-from",
        metavar="A",
        choices=Offered(known_architectures()),
        help="the other architectures use the sets that A makes",
    )


def _add_comparison(what: argparse._ArgumentGroup) -> None:
    """What it is compared with, how often, and what verdicts need."""
    what.add_argument(
        "--compare",
        nargs="*",
        metavar="METHOD",
        choices=_MethodNames(name for name in METHODS if name != PRAC.name),
        help="the same search by other methods, beside PrAC: "
        f"{', '.join(name for name in METHODS if name != PRAC.name)}, or package.module:name of "
        "your own; without a name: none",
    )
    what.add_argument(
        "--judge",
        default="auto",
        metavar="WHICH",
        help="tickets to train alone and test: last, all, none, or rounds: 0,4,8; found: test all "
        "as their rounds left them, where weights go on; auto: found there with one seed, or else "
        "last (%(default)s)",
    )
    what.add_argument(
        "--seeds",
        type=int,
        default=1,
        metavar="N",
        help="train each judged ticket N times, with training seeds S, S+1, ...; 3 or more give "
        "means that can be compared (%(default)s)",
    )
    what.add_argument(
        "--searches",
        type=int,
        default=1,
        metavar="N",
        help="run the whole search N times, with search seeds S, S+1, ... on the same split of the "
        "data; intervals and verdicts are then over searches (%(default)s)",
    )
    what.add_argument(
        "--margin",
        type=float,
        default=0.5,
        metavar="POINTS",
        help="how many points of test accuracy a method may lose to vanilla and still keep it, in "
        "verdicts over searches (%(default)s)",
    )


def _add_devices(how: argparse._ArgumentGroup) -> None:
    """Who computes it: the executor, GPUs, workers, threads."""
    how.add_argument(
        "--executor",
        choices=("ray", "local"),
        default="ray",
        help="ray: a cluster, or one of its own in this machine, and MLflow; local: this process "
        "alone, finished stages in a folder (%(default)s)",
    )
    how.add_argument(
        "--gpus",
        type=_gpus,
        default="auto",
        metavar="N",
        help="that are used; auto: those that are there; 0: none (%(default)s)",
    )
    how.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="data-parallel workers of dense training, up to train.shares (as many, where so many "
        "cores are there)",
    )
    how.add_argument(
        "--min-workers",
        type=int,
        metavar="N",
        help="go on with as few of them while nodes are lost; steps keep their shares (all)",
    )
    how.add_argument(
        "--cpus-per-round", type=int, default=1, metavar="N", help="threads a round (%(default)s)"
    )
    how.add_argument(
        "--gpus-per-worker", type=float, metavar="G", help="of dense training (follows from --gpus)"
    )
    how.add_argument(
        "--gpus-per-round",
        type=float,
        metavar="G",
        help="a fraction has several share one (1, where there are GPUs)",
    )
    how.add_argument(
        "--deterministic",
        action="store_true",
        help="compute by algorithms that find the same bits in every run on the same GPU, or fail; "
        "slower, and of no use on a CPU",
    )


def _add_places(how: argparse._ArgumentGroup) -> None:
    """Where what it makes is kept."""
    how.add_argument("--home", metavar="DIR", help="for mlflow.db and prac-runs (working folder)")
    how.add_argument(
        "--storage",
        metavar="WHERE",
        help="folder or URI for events and checkpoints (HOME/prac-runs)",
    )
    how.add_argument(
        "--storage-is-shared", action="store_true", help="the folder is mounted on all nodes"
    )


def _gpus(text: str) -> int | str:
    try:
        return text if text == "auto" else int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not allowed; allowed: auto, 0, 1, ..."
        ) from error


def recipe_from(arguments: argparse.Namespace) -> Recipe:
    """The recipe with all changes of the command line. Raises ConfigError."""
    other_data = arguments.data not in (None, "digits")
    # The settings for 8x8 digits suit no photographs, so data alone picks another recipe.
    recipe = get_recipe(arguments.recipe or ("images" if other_data else "digits"))
    changes: list[tuple[str, str]] = []
    if arguments.architectures is not None:
        recipe = recipe.replace(architectures=tuple(arguments.architectures))
    if arguments.compare is not None:
        recipe = recipe.replace(compare=tuple(arguments.compare))
    if arguments.epochs is not None:
        recipe = recipe.with_epochs(arguments.epochs)
    for option, field in (
        ("data", "data.source"),
        ("rounds", "search.rounds"),
        ("seed", "search.seed"),
    ):
        if getattr(arguments, option) is not None:
            changes.append((field, str(getattr(arguments, option))))
    return with_settings(recipe, changes + split_settings(arguments.settings))


def split_settings(settings: Sequence[str]) -> list[tuple[str, str]]:
    """`SECTION.FIELD=VALUE` in two. Raises ConfigError."""
    pairs = []
    for setting in settings:
        field, equals, value = setting.partition("=")
        if not equals:
            raise ConfigError(f"--set {setting!r} is not SECTION.FIELD=VALUE")
        pairs.append((field, value))
    return pairs


def with_settings(recipe: Recipe, settings: Sequence[tuple[str, str]]) -> Recipe:
    """The recipe with fields given by `section.field` and text. Raises ConfigError."""
    by_section: dict[str, dict[str, Any]] = {}
    own = any(is_custom(text) for _, text in settings)
    for name, text in settings:
        section, _, field = name.partition(".")
        if section not in SECTIONS:
            raise ConfigError(
                f"--set {name}: section {section!r} is not known; known: {', '.join(SECTIONS)}"
                f"{did_you_mean(section, SECTIONS)}"
            )
        hint = field_type("--set", recipe, name, own=own)
        by_section.setdefault(section, {})[field] = parse_value(name, text, hint)
    # All at once: settings that belong together (budget and rewind point) are checked together.
    return recipe.set(**by_section)


def field_type(option: str, recipe: Recipe, name: str, *, own: bool = False) -> Any:
    """Of a field, or of an option of scores and samplers, which stand beside those of `select`.

    own: a score or sampler of the user's is named, which alone knows its options.
    Raises ConfigError.
    """
    section, _, field = name.partition(".")
    hints = typing.get_type_hints(type(getattr(recipe, section)))
    hints.pop("WIRE", None)  # its name in keys: no field
    if section == "select":
        del hints["options"]
        hints |= option_types(*OURS)
    if field not in hints and section == "select" and (own or _names_own(recipe)):
        return Scalar
    if field not in hints:
        known = f"known fields of {section}: {', '.join(hints)}"
        raise ConfigError(f"{option} {name}: {known}{did_you_mean(field, hints)}")
    return hints[field]


def _names_own(recipe: Recipe) -> bool:
    return bool(plug_ins(recipe.select)) or any(map(is_custom, recipe.compare))


def parse_value(name: str, text: str, kind: Any) -> Any:
    """Text to a value of a field's type: numbers, true/false, none, lists with commas, choices."""
    if kind == Scalar:
        return _scalar(text)
    origin = typing.get_origin(kind)
    for written in (RewindPoint, Share):
        if kind is written or written in typing.get_args(kind):
            return _parsed(name, text, written)
    if origin in (typing.Union, types.UnionType):
        if text.lower() in ("none", "null"):
            return None
        kind = next(a for a in typing.get_args(kind) if a is not type(None))
        origin = typing.get_origin(kind)
    if origin is typing.Literal or kind is str:
        return text
    try:
        if origin is tuple:
            part_kind = typing.get_args(kind)[0]
            return tuple(part_kind(part.strip()) for part in text.split(",") if part.strip())
        if kind is bool:
            return {"true": True, "false": False, "1": True, "0": False}[text.lower()]
        return kind(text)
    except (ValueError, KeyError) as error:
        wanted = "whole numbers with commas" if origin is tuple else kind.__name__
        raise ConfigError(f"--set {name}={text}: not a value of type {wanted}") from error


def _parsed(name: str, text: str, written: type[RewindPoint | Share]) -> Any:
    try:
        return written.parse(text)
    except ConfigError as error:
        raise ConfigError(f"--set {name}={text}: {error}") from error


def _scalar(text: str) -> Scalar:
    """What a text looks most like: none, true or false, a whole number, a number, words."""
    words: dict[str, Scalar] = {"none": None, "null": None, "true": True, "false": False}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text


def judged_rounds(text: str) -> Any:
    """One of the words, or a tuple of rounds."""
    if text in JUDGED_BY:
        return text
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(
            f"--judge {text!r} is not allowed; allowed: {', '.join(JUDGED_BY)}, or rounds such as "
            "0,4,8"
        ) from error


def add_last_line(parser: argparse.ArgumentParser) -> None:
    """Add the option that asks for a line of JSON at a run's end."""
    told = "end with one line of JSON on a terminal too (elsewhere it always stands there)"
    parser.add_argument("--json", action="store_true", help=told)


def wants_json(arguments: argparse.Namespace) -> bool:
    """Whether the last line is JSON: where it was asked for, or nobody watches a terminal."""
    return arguments.json or not sys.stdout.isatty()


def argument_words(words: Sequence[str] | None) -> list[str]:
    """The words of a command line; by default those of this process, but for a notebook's kernel,
    whose words are not ours. Modules that they name may lie in the working folder."""
    if words is None:
        words = [] if "ipykernel" in sys.modules else sys.argv[1:]
    find_beside(words)
    return list(words)
