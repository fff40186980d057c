"""`prac recipes`: list them, or show one whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prac.cli.options import SECTIONS
from prac.recipes import describe_recipes, get_recipe

if TYPE_CHECKING:
    import argparse


def add(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("recipes", help="list the recipes, or show one whole")
    parser.add_argument("name", nargs="?", help="a recipe to show with all its fields")
    parser.set_defaults(action=show_recipes)


def show_recipes(arguments: argparse.Namespace) -> None:
    """Print them; the fields of one are printed as `--set` takes them."""
    if arguments.name is None:
        for name, description in describe_recipes().items():
            print(f"{name:20} {description}")
        return
    recipe = get_recipe(arguments.name)
    print(f"{recipe.name}: {recipe.description}")
    print(f"architectures: {' '.join(recipe.architectures)}; compare: {' '.join(recipe.compare)}")
    for section in SECTIONS:
        for field, value in vars(getattr(recipe, section)).items():
            print(f"{section}.{field}={_text(value)}")


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)
