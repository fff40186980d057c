"""Requests and graphs as a pipeline would make them, without data, Ray or a store."""

from __future__ import annotations

from typing import Any

from prac.config.recipe import Recipe
from prac.config.recipes import digits
from prac.lottery.request import Request


def small_recipe(**changes: Any) -> Recipe:
    """The digits with two networks and three rounds; changes go by section or field."""
    recipe = digits().replace(architectures=("resnet8", "conv4"))
    search = recipe.search
    fields: dict[str, Any] = {"rounds": 3, "seed": search.seed, "rewind": search.rewind}
    fields |= {name: changes.pop(name) for name in list(fields) if name in changes}
    return recipe.replace(search=type(search)(**fields), **changes)


def make_request(**changes: Any) -> Request:
    """A request for it: fields of the request, all else goes to `small_recipe`."""
    fields: dict[str, Any] = {
        "data": "d" * 32,
        "data_name": "digits",
        "num_training": 1294,
        "precision": "fp32",
        "transfer_from": None,
        "judge": "last",
        "seeds": 1,
    }
    fields |= {name: changes.pop(name) for name in list(fields) if name in changes}
    return Request(recipe=changes.pop("recipe", None) or small_recipe(**changes), **fields)
