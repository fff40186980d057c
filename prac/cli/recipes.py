"""`prac recipes`: list them with what they cost, or show one whole."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from prac.app.console import say
from prac.cli.stored import add_json_option
from prac.config.costs import recipe_costs
from prac.config.measured import MEASURED
from prac.config.published import SAVED, differences
from prac.config.recipe import SECTIONS, fields_of
from prac.config.recipes import RECIPES, get_recipe

# Slow imports stand in functions: see `prac.cli`.
if TYPE_CHECKING:
    from prac.config.recipe import Recipe

_DESCRIPTION = """\
The recipes by name with an upper bound of what one search costs: that of vanilla, every round on
all training samples. Steps are SGD steps, FLOPs those of training in them (three forward passes a
step); networks of one recipe are added up. Evaluation, judgements and other methods come on top.
Searches: how many stand behind the recipe, a seed each; with a name, what they found."""


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "recipes",
        help="list the recipes with their cost, or show one whole",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", nargs="?", help="a recipe to show with all its fields")
    parser.add_argument(
        "--calibrate",
        action="store_true",
        help="time a few steps of each network here, as plans do and for plans to come: hours on "
        "one core of this machine, or on its GPU (minutes for all recipes)",
    )
    add_json_option(parser)
    parser.set_defaults(action=show_recipes)


def show_recipes(arguments: argparse.Namespace) -> dict[str, Any] | None:
    """Print them; the fields of one are printed as `--set` takes them."""
    recipes = [get_recipe(name) for name in ([arguments.name] if arguments.name else RECIPES)]
    hours = _hours(recipes) if arguments.calibrate else {}
    if arguments.json:
        return {"recipes": [_as_json(recipe, hours) for recipe in recipes]}
    if arguments.name:
        _show_one(recipes[0])
    _print_costs(recipes, hours)
    return None


def _show_one(recipe: Recipe) -> None:
    say(f"{recipe.name}: {recipe.description}")
    say(f"architectures: {' '.join(recipe.architectures)}; compare: {' '.join(recipe.compare)}")
    for section in SECTIONS:
        for field, value in fields_of(getattr(recipe, section)).items():
            say(f"{section}.{field}={_text(value)}")
    for line in _evidence(recipe.name):
        say(line)
    for whom, lines in zip(("released code", "paper's text"), differences(recipe), strict=True):
        told = ":" if lines else ": nothing"
        say(f"otherwise than the {whom} of arXiv:2106.03225{told}")
        say("".join(f"  {line}\n" for line in lines), end="")


def _evidence(name: str) -> list[str]:
    told = MEASURED[name].lines() if name in MEASURED else ["measured here: nothing"]
    if name in SAVED:
        saved, last = SAVED[name]
        told.append(
            f"published: {saved} % of vanilla's iterations saved to 79.03 % sparsity, {last} % of "
            "the training split in the last set"
        )
    return told


def _print_costs(recipes: Iterable[Recipe], hours: _Hours) -> None:
    head = f" {'hours':>9}" if hours else ""
    say(f"{'recipe':30} {'steps':>11} {'FLOPs':>8}{head} {'searches':>8}  what it is")
    for recipe in recipes:
        costs = recipe_costs(recipe)
        steps, flops = sum(cost.steps for cost in costs), sum(cost.flops for cost in costs)
        takes = f" {hours[recipe.name]:9,.2f}" if hours else ""
        measured = MEASURED.get(recipe.name)
        searches = 0 if measured is None or measured.variant else measured.searches
        say(f"{recipe.name:30} {steps:11,} {flops:8.1e}{takes} {searches:8}  {recipe.description}")
    say("steps, FLOPs: of vanilla's search, which no other exceeds; searches: measured here")


def _as_json(recipe: Recipe, hours: _Hours) -> dict[str, Any]:
    costs = recipe_costs(recipe)
    return {
        "name": recipe.name,
        "description": recipe.description,
        "steps": sum(cost.steps for cost in costs),
        "flops": sum(cost.flops for cost in costs),
        "hours": hours.get(recipe.name),
        "networks": [vars(cost) for cost in costs],
        "measured": vars(MEASURED[recipe.name]) if recipe.name in MEASURED else None,
        "published": dict(zip(("saved", "last_set"), SAVED.get(recipe.name, ()), strict=False)),
    }


_Hours = dict[str, float]
"""Of one search, by recipe."""


def _hours(recipes: Iterable[Recipe]) -> _Hours:
    from prac.analysis.speeds import speeds_here
    from prac.analysis.timed import Timed
    from prac.app.devices import find_devices, given
    from prac.app.means import precision_of
    from prac.app.options import Options

    options = Options(executor="local")
    devices = find_devices(options)
    timed: dict[str, dict[Timed, int]] = {}
    for recipe in recipes:
        share = given(options, devices, shares=1)
        precision = precision_of(recipe, options, share)
        timed[recipe.name] = {
            Timed(
                architecture=cost.architecture,
                image_shape=cost.image_shape,
                num_classes=cost.num_classes,
                train=dataclasses.replace(recipe.train, precision=precision),
                augment=recipe.augment,
                device="cuda" if share.gpus else "cpu",
            ): cost.samples
            for cost in recipe_costs(recipe)
        }
    every = dict.fromkeys(network for networks in timed.values() for network in networks)
    speeds = speeds_here(
        every,
        threads=options.cpus_per_round,
        device=devices.name if devices.count else "",
        told=lambda names: say(f"timing a few steps of {', '.join(names)}", error=True),
    )
    return {
        name: sum(samples * speeds[one].training for one, samples in networks.items()) / 3600
        for name, networks in timed.items()
    }


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)
