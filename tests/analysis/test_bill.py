"""The bill of a search, added up by hand; what of the graph is in it and what is in another's."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from prac.analysis.bill import bills_together, make_bill
from prac.config.sections import PruneConfig
from prac.lottery.bill import borrowed_stages, own_stages
from prac.lottery.compose import build_graph
from prac.lottery.graph import Graph, SearchStages, Stage
from prac.lottery.outputs import Cost, Facts, Made


def _search(graph: Graph, architecture: str, method: str) -> SearchStages:
    return next(s for s in graph.searches if (s.architecture, s.method) == (architecture, method))


def test_a_search_pays_for_its_rounds_and_its_selections(request_for) -> None:
    graph = build_graph(request_for())
    search = _search(graph, "conv4", "prac")
    assert own_stages(search, graph) == [
        "dense:conv4:prac",
        "reduce:conv4:prac",
        "select:conv4:prac:1",
        "round:conv4:prac:1",
        "select:conv4:prac:2",
        "round:conv4:prac:2",
        "select:conv4:prac:3",
    ]
    assert borrowed_stages(search, graph) == []


def test_sizes_from_another_search_are_borrowed(request_for) -> None:
    graph = build_graph(request_for())
    search = _search(graph, "conv4", "random-subset")
    # The dense run is shared, so it is in both bills; the rounds whose sizes it takes are not.
    assert {n for n in own_stages(search, graph) if n.partition(":")[0] in ("dense", "round")} == {
        "dense:conv4:prac",
        "round:conv4:random-subset:1",
        "round:conv4:random-subset:2",
    }
    assert borrowed_stages(search, graph) == ["round:conv4:prac:1", "round:conv4:prac:2"]


def test_a_repeated_control_borrows_from_the_repeat_of_prac(request_for) -> None:
    request = dataclasses.replace(request_for(compare=("random-subset",)), searches=2)
    graph = build_graph(request)
    (search,) = [
        s for s in graph.repeats[0] if (s.architecture, s.method) == ("conv4", "random-subset")
    ]
    own = [n for n in own_stages(search, graph) if graph.stages[n].kind in ("dense", "round")]
    assert own == list(search.rounds)
    theirs = borrowed_stages(search, graph)
    assert theirs
    assert all(":prac:search-1" in name for name in theirs)


def test_transferred_sets_are_borrowed(request_for) -> None:
    graph = build_graph(request_for(transfer_from="resnet8"))
    search = _search(graph, "conv4", "prac")
    assert borrowed_stages(search, graph) == [
        "dense:resnet8:prac",
        "round:resnet8:prac:1",
        "round:resnet8:prac:2",
    ]


def test_masks_that_searches_share_are_on_the_bill_of_each(request_for) -> None:
    prune = PruneConfig(criterion="random")
    graph = build_graph(request_for(prune=prune, compare=("vanilla", "random-pruning")))
    made = [f"prune:conv4:prac:{k}" for k in range(3)]
    for method in ("prac", "vanilla", "random-pruning"):
        own = own_stages(_search(graph, "conv4", method), graph)
        assert [name for name in own if name.startswith("prune")] == made, method


def test_what_searches_share_is_counted_once_in_their_sum(request_for) -> None:
    graph = build_graph(request_for(compare=("vanilla", "random-subset", "cet-only")))
    steps = {"dense": 100, "round": 10, "judge": 1}
    made = {
        name: Made(facts=Facts(), cost=Cost(steps=steps.get(stage.kind, 0), seconds=1.0))
        for name, stage in graph.stages.items()
    }
    bills = [make_bill(s, graph, made, 7) for s in graph.searches if s.architecture == "conv4"]
    # Round 0, and two rounds of its own; all but vanilla, which doesn't stop early, share round 0.
    assert [bill.steps for bill in bills] == [120] * 4
    flops = {"conv4": 7, "resnet8": 7}
    together = {bill.architecture: bill for bill in bills_together(graph, made, flops)}
    assert together["conv4"].steps == 2 * 100 + 4 * 20
    # The sizes that a random subset takes are on PrAC's bill, which is in this one.
    assert [bill.borrowed_steps for bill in bills] == [0, 0, 20, 0]
    assert together["conv4"].borrowed_steps == 0
    # The dense network, and each method's last ticket.
    assert sum(bill.judging_steps for bill in bills) == together["conv4"].judging_steps == 5


def test_one_search_has_no_sum(request_for) -> None:
    graph = build_graph(request_for(compare=()))
    assert list(bills_together(graph, {}, {})) == []


def _stage(name: str, *inputs: str, kind: Any = "round") -> Stage:
    return Stage(
        name=name,
        kind=kind,
        architecture="net",
        method="svp",
        round_index=0,
        config={},
        inputs={str(place): other for place, other in enumerate(inputs)},
        key=name,
    )


COSTS = {
    "dense": Cost(
        steps=100,
        samples=1000,
        cep_samples=50,
        evaluation_samples=20,
        seconds=10.0,
        joules=5.0,
        energy_source="RAPL",
    ),
    # Another network, trained to score samples, counts its own FLOPs.
    "proxy": Cost(steps=7, other_flops=999, seconds=2.0, joules=1.5, energy_source="RAPL"),
    "scores": Cost(
        score_samples=30,
        score_gradient_samples=4,
        score_passes=48,
        seconds=1.0,
        joules=0.5,
        energy_source="RAPL",
    ),
    "judge": Cost(
        steps=60, samples=600, evaluation_samples=33, seconds=3.0, joules=2.0, energy_source="RAPL"
    ),
}


def _made(**changed: Cost) -> dict[str, Made]:
    return {n: Made(facts=Facts(), cost=cost) for n, cost in {**COSTS, **changed}.items()}


def _proxy_graph() -> tuple[SearchStages, Graph]:
    stages = [
        _stage("dense", kind="dense"),
        _stage("proxy"),
        _stage("scores", "proxy", "dense", kind="select"),
        _stage("judge", "dense", kind="judge"),
    ]
    search = SearchStages(
        architecture="net",
        method="prac",
        rounds=("dense",),
        masks=("dense",),
        samples=("scores",),
        judgements={1: ("judge",)},
        tickets={},
    )
    return search, Graph(stages={s.name: s for s in stages}, targets=(), searches=(search,))


def test_every_line_by_hand() -> None:
    bill = make_bill(*_proxy_graph(), _made(), forward_flops=10)
    assert (bill.steps, bill.samples, bill.borrowed_steps) == (107, 1000, 0)
    assert (bill.cep_samples, bill.score_samples, bill.evaluation_samples) == (50, 34, 20)
    # Trained on: 1000 samples at 3 passes of 10. Gradients for scores: 4 images, 48
    # passes (GraSP has 12 each). Forward alone: 50 + 30 + 20 at 1. The proxy: 999.
    assert bill.flops == 30_000 + 480 + 1000 + 999
    assert (bill.seconds, bill.joules, bill.energy_source) == (13.0, 7.0, "RAPL")
    assert (bill.judging_steps, bill.judging_samples) == (60, 600)
    assert bill.judging_flops == 600 * 30 + 33 * 10
    assert (bill.judging_seconds, bill.judging_joules) == (3.0, 2.0)


def test_energy_that_one_stage_could_not_measure_is_not_known() -> None:
    told = "processors not measured: no counters"
    dark = dataclasses.replace(COSTS["scores"], joules=None, energy_source=told)
    bill = make_bill(*_proxy_graph(), _made(scores=dark), forward_flops=10)
    assert bill.joules is None
    assert bill.energy_source == told
    assert bill.flops == 30_000 + 480 + 1000 + 999
    assert bill.judging_joules == pytest.approx(2.0)
