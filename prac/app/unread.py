"""Settings of the command line that nothing of a run reads: told, where they are not refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from prac.app.planned import Planned
from prac.config.recipe import Recipe, fields_of
from prac.config.recipes import RECIPES, get_recipe
from prac.errors import PracError
from prac.lottery.compose import build_graph
from prac.lottery.graph import Graph

_PLACES = ("test", "subset", "label_column", "image_column")
"""Settings of data that say where something is."""
_HEEDED: Mapping[str, tuple[str, ...]] = {
    "folder": ("test",),
    "parquet": _PLACES,
    "digits": (),
    "cifar10": (),
    "cifar100": (),
}
"""By source, but for those of the user's, which may read them all."""


def unread_settings(planned: Planned) -> list[str]:
    """Those without which every stage that is needed would be the same, as `SECTION.FIELD`.

    Keys hold all that stages read; of data, where something is depends on the source.
    """
    recipe = planned.recipe
    if recipe.name not in RECIPES:
        return []
    base = get_recipe(recipe.name)
    names = dict.fromkeys(setting.partition("=")[0] for setting in planned.options.settings)
    found = []
    for name in names:
        section, _, field = name.partition(".")
        if section == "model":  # a file of weights is there, and read, or refused
            continue
        now, before = (fields_of(getattr(each, section)) for each in (recipe, base))
        if now[field] == before.get(field):
            continue
        if section == "data":
            found += [name] if _is_not_heeded(planned, field) else []
            continue
        try:
            without = dataclasses.replace(planned.request, recipe=_without(recipe, base, name))
            graph = build_graph(without)
        except PracError:
            continue  # without it there is no such run
        if planned.options.only:
            graph = graph.only(planned.options.only)
        if _keys(graph) == _keys(planned.graph):
            found.append(name)
    return found


def _is_not_heeded(planned: Planned, field: str) -> bool:
    kind = planned.recipe.data.source.partition(":")[0]
    if field == "test_fraction":
        return planned.summary.origin.test_from != "made"
    places = _HEEDED.get(kind)
    return places is not None and field in _PLACES and field not in places


def _without(recipe: Recipe, base: Recipe, name: str) -> Recipe:
    section, _, field = name.partition(".")
    before = fields_of(getattr(base, section))
    if field in before:
        return recipe.set(**{section: {field: before[field]}})
    options = {key: value for key, value in dict(recipe.select.options).items() if key != field}
    return recipe.set(select={"options": options})


def _keys(graph: Graph) -> set[str]:
    # A report lists the settings, whether anything read them or not.
    return {stage.key for stage in graph.needed() if stage.kind != "report"}
