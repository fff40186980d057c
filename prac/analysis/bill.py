"""The honest bill of a search as a row of the results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from prac.analysis.results import Bill
from prac.lottery.bill import borrowed_stages, flops, own_stages, payers, total
from prac.lottery.energy import NOT_MEASURED
from prac.lottery.graph import Graph, SearchStages
from prac.lottery.outputs import Cost, Made


def make_bill(
    search: SearchStages, graph: Graph, made: Mapping[str, Made], forward_flops: int
) -> Bill:
    """The bill of one search. forward_flops: of one image through its dense network."""
    return _bill(search.method, [search], graph, made, forward_flops)


def bills_together(
    graph: Graph, made: Mapping[str, Made], forward_flops: Mapping[str, int]
) -> Iterator[Bill]:
    """Of each architecture that several methods search: what all of them cost, with every stage
    that they share (round 0 before all) counted once. forward_flops: by architecture."""
    for name in graph.architectures:
        searches = [search for search in graph.searches if search.architecture == name]
        if len(searches) > 1:
            yield _bill("together", searches, graph, made, forward_flops[name])


def _bill(
    method: str,
    searches: Sequence[SearchStages],
    graph: Graph,
    made: Mapping[str, Made],
    forward_flops: int,
) -> Bill:
    paid = dict.fromkeys(name for search in searches for name in own_stages(search, graph))
    theirs = dict.fromkeys(name for search in searches for name in borrowed_stages(search, graph))
    lent = [name for name in theirs if name not in paid]
    own, borrowed = [made[name].cost for name in paid], total(made[name].cost for name in lent)
    tested = dict.fromkeys(name for search in searches for name in _judged(search))
    judged = [made[name].cost for name in tested]
    search_cost, judging = total(own), total(judged)
    return Bill(
        architecture=searches[0].architecture,
        method=method,
        steps=search_cost.steps,
        borrowed_steps=borrowed.steps,
        borrowed_seconds=borrowed.seconds,
        borrowed_from=payers(lent, graph),
        samples=search_cost.samples,
        cep_samples=search_cost.cep_samples,
        score_samples=search_cost.score_samples + search_cost.score_gradient_samples,
        evaluation_samples=search_cost.evaluation_samples,
        flops=flops(own, forward_flops),
        seconds=search_cost.seconds,
        joules=search_cost.joules,
        energy_source=_source(own, search_cost),
        judging_steps=judging.steps,
        judging_samples=judging.samples,
        judging_evaluation_samples=judging.evaluation_samples,
        judging_flops=flops(judged, forward_flops),
        judging_seconds=judging.seconds,
        judging_joules=judging.joules,
    )


def _judged(search: SearchStages) -> Iterator[str]:
    for names in search.judgements.values():
        yield from names
    yield from search.found.values()


def _source(own: Iterable[Cost], summed: Cost) -> str:
    """What told the energy; where a stage could not measure it, why."""
    if summed.joules is not None:
        return summed.energy_source
    missing = dict.fromkeys(c.energy_source for c in own if NOT_MEASURED in c.energy_source)
    return "; ".join(missing) or NOT_MEASURED
