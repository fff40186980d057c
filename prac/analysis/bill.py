"""The honest bill of a search: every training step and every forward pass, of every stage it needs.

What a stage leaves in its values for the bill, each of them absent where there is none:
`steps` and `samples`, of training; `cep_samples`, `score_samples`, `evaluation_samples`, images
that were only predicted (for CEP, for scores, for validation); `score_gradient_samples`, images run
forward and backward for scores of weights, without an SGD step; `score_passes`, what scores of
weights cost in forward passes of one image (each criterion states its own; where a stage doesn't
say, three for each of `score_gradient_samples`); `other_flops`, of a stage that ran another
network than the search's (a proxy), in place of what its images would cost; `seconds`; `joules` and
`energy_source`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from prac.analysis.results import Bill
from prac.lottery.energy import NOT_MEASURED
from prac.lottery.graph import Graph, SearchStages

Values = Mapping[str, Mapping[str, Any]]

BACKWARD = 2
"""A backward pass costs two forward passes: the gradients of the activations and of the weights."""


def own_stages(search: SearchStages, graph: Graph) -> list[str]:
    """The search's trainings and all that made its sets and masks, in the graph's order.

    Trainings of another search are left out, with what is only for them: they are in that search's
    bill. Tickets and judgements are not for the search.
    """
    theirs = _rounds_of_others(search, graph)
    return _reached(_made(search), graph, lambda name: name in theirs)


def borrowed_stages(search: SearchStages, graph: Graph) -> list[str]:
    """The trainings of other searches that this one rests on, in the graph's order."""
    own = set(own_stages(search, graph))
    every = _reached(_made(search), graph, lambda _: False)
    theirs = _rounds_of_others(search, graph)
    return [name for name in every if name not in own and name in theirs]


def _made(search: SearchStages) -> list[str]:
    return [*search.rounds, *search.masks, *search.samples]


def _rounds_of_others(search: SearchStages, graph: Graph) -> set[str]:
    # Masks made without training are shared by who prunes alike, and on the bill of each.
    every = {
        name
        for other in graph.searches
        for name in other.rounds
        if graph.stages[name].kind != "prune"
    }
    return every - set(search.rounds)


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


def make_bill(
    search: SearchStages, graph: Graph, values: Values, forward_flops: int | None
) -> Bill:
    """The bill of one search. forward_flops: of one image through its dense network."""
    own = [values[name] for name in own_stages(search, graph)]
    borrowed = [values[name] for name in borrowed_stages(search, graph)]
    judged = [values[name] for names in search.judgements.values() for name in names]
    joules, source = _energy(own)
    return Bill(
        architecture=search.architecture,
        method=search.method,
        steps=_total(own, "steps"),
        borrowed_steps=_total(borrowed, "steps"),
        samples=_total(own, "samples"),
        cep_samples=_total(own, "cep_samples"),
        score_samples=_total(own, "score_samples") + _total(own, "score_gradient_samples"),
        evaluation_samples=_total(own, "evaluation_samples"),
        flops=_flops(own, forward_flops),
        seconds=_seconds(own),
        joules=joules,
        energy_source=source,
        judging_steps=_total(judged, "steps"),
        judging_samples=_total(judged, "samples"),
        judging_evaluation_samples=_total(judged, "evaluation_samples"),
        judging_flops=_flops(judged, forward_flops),
        judging_seconds=_seconds(judged),
        judging_joules=_energy(judged)[0],
    )


def _total(stages: Iterable[Mapping[str, Any]], name: str) -> int:
    return sum(int(values.get(name, 0)) for values in stages)


def _seconds(stages: Iterable[Mapping[str, Any]]) -> float:
    return sum(float(values.get("seconds", 0.0)) for values in stages)


def _flops(stages: list[Mapping[str, Any]], forward_flops: int | None) -> int | None:
    if forward_flops is None:
        return None
    # A stage that ran another network (a proxy) counts its FLOPs itself.
    ours = [values for values in stages if "other_flops" not in values]
    passes = (1 + BACKWARD) * _total(ours, "samples") + sum(map(_score_passes, ours))
    passes += sum(
        _total(ours, name) for name in ("cep_samples", "score_samples", "evaluation_samples")
    )
    return forward_flops * passes + _total(stages, "other_flops")


def _score_passes(values: Mapping[str, Any]) -> int:
    both = (1 + BACKWARD) * int(values.get("score_gradient_samples", 0))
    return int(values.get("score_passes", both))


def _energy(stages: list[Mapping[str, Any]]) -> tuple[float | None, str]:
    """The sum over the stages; None where one of them could not measure it."""
    sources = list(dict.fromkeys(str(v.get("energy_source", NOT_MEASURED)) for v in stages))
    known = [float(v["joules"]) for v in stages if v.get("joules") is not None]
    if not known or len(known) < len(stages):
        return None, "; ".join(s for s in sources if NOT_MEASURED in s) or NOT_MEASURED
    return sum(known), "; ".join(sources)
