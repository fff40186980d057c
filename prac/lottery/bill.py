"""Which stages a search pays for, and their sum: every training step and every forward pass."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

from prac.config.costs import TRAINING_FLOPS
from prac.lottery.graph import Graph, SearchStages
from prac.lottery.outputs import Cost


def own_stages(search: SearchStages, graph: Graph, index: int | None = None) -> list[str]:
    """The search's trainings and all that made its sets and masks, in the graph's order.

    Trainings of another search are left out, with what is only for them: they are in that search's
    bill. Tickets and judgements are not for the search. index: only what m_k, k = `index`, needed.
    """
    theirs = _rounds_of_others(search, graph)
    return _reached(_made(search, index), graph, lambda name: name in theirs)


def borrowed_stages(search: SearchStages, graph: Graph, index: int | None = None) -> list[str]:
    """The trainings of other searches that this one rests on, in the graph's order."""
    own = set(own_stages(search, graph, index))
    every = _reached(_made(search, index), graph, lambda _: False)
    theirs = _rounds_of_others(search, graph)
    return [name for name in every if name not in own and name in theirs]


def total(costs: Iterable[Cost]) -> Cost:
    """The sum; energy is None where one of them could not be measured."""
    every = list(costs)
    sources = list(dict.fromkeys(cost.energy_source for cost in every if cost.energy_source))
    joules = [cost.joules for cost in every if cost.joules is not None]
    whole = bool(every) and len(joules) == len(every)
    others = [cost.other_flops for cost in every if cost.other_flops is not None]
    # All that is 0 where there is none of it.
    counted = [each.name for each in dataclasses.fields(Cost) if each.default == 0]
    return Cost(
        **{name: sum(getattr(cost, name) for cost in every) for name in counted},
        other_flops=sum(others) if others else None,
        joules=sum(joules) if whole else None,
        energy_source="; ".join(sources),
    )


def saved(spent: float, vanilla: float) -> float:
    """The share of what vanilla spends that was saved; below 0 where it was more."""
    return 1 - spent / vanilla


def steps_saved(steps: int, full_steps: int, index: int) -> float:
    """By the search of m_k, k = `index` of 1 or more, in `steps`: vanilla spends the full budget on
    every round."""
    return saved(steps, full_steps * index)


def flops(costs: Iterable[Cost], forward: int) -> int:
    """FLOPs of stages. forward: of one image through the search's dense network; a stage that ran
    another network counts its FLOPs itself."""
    found = 0
    for cost in costs:
        if cost.other_flops is not None:
            found += cost.other_flops
            continue
        passes = TRAINING_FLOPS * cost.samples + cost.score_passes
        passes += cost.cep_samples + cost.score_samples + cost.evaluation_samples
        found += forward * passes
    return found


def payers(names: Iterable[str], graph: Graph) -> tuple[str, ...]:
    """Whose searches stages are of, each once: `architecture:method`."""
    stages = (graph.stages[name] for name in names)
    return tuple(dict.fromkeys(f"{stage.architecture}:{stage.method}" for stage in stages))


def _made(search: SearchStages, index: int | None) -> list[str]:
    if index is None:
        rounds = search.all_rounds
        if search.apart is not None:
            rounds = (*search.apart, *rounds[1:])
        return [*rounds, *search.masks, *search.samples]
    return [*search.rounds_for(index), *search.masks_for(index)]


def _rounds_of_others(search: SearchStages, graph: Graph) -> set[str]:
    # Masks made without training are shared by searches that prune alike, and on each one's bill.
    every = {
        name
        for other in graph.every_search
        for name in other.all_rounds
        if graph.stages[name].kind != "prune"
    }
    return every - set(search.all_rounds)


def _reached(start: Iterable[str], graph: Graph, is_wall: Callable[[str], bool]) -> list[str]:
    """`start` and all that it was made from, without what `is_wall` and what lies behind it."""
    found: set[str] = set()
    names = list(start)
    while names:
        name = names.pop()
        if name in found or is_wall(name):
            continue
        found.add(name)
        names.extend(graph.stages[name].inputs.values())
    return [name for name in graph.stages if name in found]
