"""Where each stage of the graph is drawn: columns by longest path, lanes by search. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from prac.analysis.results import StageRow
from prac.report.wording import ordered_methods

Lane = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Places of stages, by their position in the given rows.

    columns: longest path from a stage without inputs. lines: rows from the top, no two stages of
    a column share one. lanes: (architecture, method) with its first line and its number of lines.
    edges: (from, to) positions.
    """

    columns: tuple[int, ...]
    lines: tuple[int, ...]
    lanes: tuple[tuple[Lane, int, int], ...]
    edges: tuple[tuple[int, int], ...]


def lay_out(stages: Sequence[StageRow]) -> Layout:
    """Place the stages left to right so that every stage is right of all its inputs.

    Inputs that are no stage of the graph are left out.
    """
    position = {stage.name: place for place, stage in enumerate(stages)}
    edges = [
        (position[name], place)
        for place, stage in enumerate(stages)
        for name in dict.fromkeys(stage.inputs)
        if name in position and position[name] != place
    ]
    columns = _depths(len(stages), edges)
    lines = [0] * len(stages)
    lanes, first = [], 0
    for lane in _lanes(stages):
        used: dict[int, int] = defaultdict(int)
        for place, stage in enumerate(stages):
            if (stage.architecture, stage.method) == lane:
                lines[place] = first + used[columns[place]]
                used[columns[place]] += 1
        height = max(used.values())
        lanes.append((lane, first, height))
        first += height
    return Layout(
        columns=tuple(columns), lines=tuple(lines), lanes=tuple(lanes), edges=tuple(edges)
    )


def _lanes(stages: Sequence[StageRow]) -> list[Lane]:
    # What all architectures share ("") goes first, the rest stays in the order of the stages.
    names = sorted(dict.fromkeys(s.architecture for s in stages), key=bool)
    return [
        (name, method)
        for name in names
        for method in sorted(
            ordered_methods(s.method for s in stages if s.architecture == name),
            key=lambda method: method not in ("", "dense"),
        )
    ]


def _depths(num: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """Longest path to each; stages on a circle (no graph of ours has one) go to the far right."""
    waiting, following = [0] * num, defaultdict(list)
    for source, target in edges:
        waiting[target] += 1
        following[source].append(target)
    ready, depths, placed = [p for p in range(num) if not waiting[p]], [0] * num, 0
    while ready:
        source = ready.pop()
        placed += 1
        for target in following[source]:
            depths[target] = max(depths[target], depths[source] + 1)
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    if placed < num:
        last = max(depths) + 1
        depths = [last if waiting[p] > 0 else depths[p] for p in range(num)]
    return depths
