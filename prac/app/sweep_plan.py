"""What a sweep's plan tells: its stages, and what all trials together will leave and take."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from prac.app.estimate import Trials, estimate, tell_costs
from prac.app.places import Place
from prac.app.planned import Planned, bytes_left
from prac.app.screen import Screen
from prac.errors import ConfigError, OutsideError
from prac.lottery.graph import Graph, Stage
from prac.lottery.store import Finished
from prac.machine import available_cpus
from prac.sweep.space import SweepOptions, Values, varied
from prac.sweep.union import Part, overlaid

_MOST_CORNERS = 64
"""Combinations that are tried for the dearest one: each takes milliseconds."""


def tell_sweep(
    planned: Planned,
    sweep: SweepOptions,
    shared: list[Stage],
    parts: Sequence[Part],
    place: Place,
    screen: Screen,
) -> dict[str, Any]:
    """Print the plan of a sweep; returns what is printed as the last line.

    shared: stages that all trials have. parts: all stages known beforehand. Of trials that Optuna
    proposes as it goes, what they take is that of as many of the dearest kind.
    """
    graph, space = _graph(parts), sweep.space
    found = place.found(graph, plan=True)
    screen.plan(graph, found)
    trials = len(parts) - 1 or space.small_size or space.trials or 1
    at_once = sweep.concurrency or max(1, available_cpus() // planned.options.cpus_per_round)
    told, fullest = f"{trials} trials, {len(shared)} stages shared by all of them", parts
    if len(parts) > 1:
        screen.line(told)
    else:
        told += "; Optuna proposes the others as it goes"
        corners = [overlaid(planned.request, shared, [c]) for c in _corners(planned, sweep)]
        if not corners:
            screen.line(f"{told}: what they will leave and take is not known before")
            return {}
        screen.line(f"{told}: were every trial the dearest that it may propose,")
        parts = _repeated(_longest(planned, corners, found), trials)
        fullest = max(corners, key=lambda p: sum(_left(planned, p, found).values()))
        fullest = _repeated(fullest, trials)
    return tell_costs(
        dataclasses.replace(planned, graph=_graph(parts)),
        found,
        _left(planned, fullest, found),
        screen,
        trials=Trials(number=trials, at_once=at_once),
    )


def _graph(parts: Sequence[Part]) -> Graph:
    stages = {stage.name: stage for _, part in parts for stage in part}
    return Graph(stages, tuple(stages))


def _corners(planned: Planned, sweep: SweepOptions) -> list[Values]:
    """The points between whose costs those of all others lie, for no setting makes a trial cheaper
    in the midst of its range than at both ends; none where there are too many of them."""
    corners = sweep.space.corners()
    return [] if len(corners) > _MOST_CORNERS else list(_allowed(planned, corners))


def _allowed(planned: Planned, points: Sequence[Values]) -> Iterator[Values]:
    for point in points:
        try:
            varied(planned.recipe, point)
        except ConfigError:
            continue  # as a trial, it would be refused before it costs anything
        yield point


def _longest(
    planned: Planned, trials: Sequence[Sequence[Part]], found: Mapping[str, Finished]
) -> Sequence[Part]:
    """The trial that takes the most seconds alone; SGD steps, where those of any aren't known."""
    seconds = [_seconds(planned, parts, found) for parts in trials]
    known = [each for each in seconds if each is not None]
    steps = [sum(s.max_steps for s in _graph(parts).to_run(found)) for parts in trials]
    costs: Sequence[float] = known if len(known) == len(trials) else steps
    return trials[costs.index(max(costs))]


def _seconds(
    planned: Planned, parts: Sequence[Part], found: Mapping[str, Finished]
) -> float | None:
    graph = _graph(parts)
    there, one = dataclasses.replace(planned, graph=graph), Trials(number=1, at_once=1)
    try:
        expected = estimate(there, found, graph.to_run(found), lambda _: None, trials=one)
    except OutsideError:
        return None  # the plan says why, of the trial that it takes
    return None if expected is None else expected.seconds


def _left(planned: Planned, parts: Sequence[Part], found: Mapping[str, Finished]) -> dict[str, int]:
    """Bytes by kind: a mask is as full as its trial prunes."""
    together: dict[tuple[float, str], tuple[Planned, list[Stage]]] = {}
    for values, stages in parts:
        recipe = varied(planned.recipe, values)
        there = dataclasses.replace(planned, recipe=recipe)
        pruned = recipe.prune.fraction, recipe.prune.layers
        to_run = [stage for stage in stages if stage.key not in found]
        together.setdefault(pruned, (there, []))[1].extend(to_run)
    left = Counter[str]()
    for there, to_run in together.values():
        left.update(bytes_left(there, to_run))
    return dict(left)


def _repeated(parts: Sequence[Part], times: int) -> list[Part]:
    """One trial many times, as if no two had a stage in common but the shared ones."""
    shared, (values, own) = parts
    names = {stage.name for stage in own}

    def again(stage: Stage, number: int) -> Stage:
        inputs = {
            role: f"{other}:{number}" if other in names else other
            for role, other in stage.inputs.items()
        }
        name, key = f"{stage.name}:{number}", f"{stage.key}:{number}"
        return dataclasses.replace(stage, name=name, key=key, inputs=inputs)

    copies = [(values, [again(stage, n) for stage in own]) for n in range(times)]
    return [shared, *copies]
