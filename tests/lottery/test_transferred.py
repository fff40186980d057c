"""What "transferred" means: the target's sets are the source's sets under the same method."""

from __future__ import annotations

import pytest
from support.requests import make_request

from prac.config.methods import METHODS, find_method
from prac.config.recipes import digits
from prac.config.sections import SelectConfig
from prac.config.values import RewindPoint
from prac.lottery.compose import build_graph
from prac.lottery.graph import Graph, SearchStages
from prac.lottery.search import search
from prac.models.catalogue import Format
from prac.models.cost import dense_flops

SOURCE, TARGET = "conv4", "resnet8"


def searches_of(graph: Graph) -> dict[tuple[str, str], SearchStages]:
    return {(s.architecture, s.method): s for s in graph.searches}


@pytest.mark.parametrize("score", ["critical", "el2n", "proxy"])
def test_every_method_takes_the_source_s_sets_of_its_own(score: str) -> None:
    every = tuple(name for name in METHODS if name != "prac")
    request = make_request(
        compare=every, transfer_from=SOURCE, select=SelectConfig(score=score, fraction=0.3)
    )
    graph = build_graph(request)
    found = searches_of(graph)
    for method in ("prac", *every):
        source, target = found[SOURCE, method], found[TARGET, method]
        assert target.samples == source.samples, method
        assert target.proxy == source.proxy, method  # what chose the sets is on the bill of both
        if find_method(method).data == "fresh":
            # As many samples as PrAC's sets have, drawn anew.
            assert target.samples == found[SOURCE, "prac"].samples, method
    # A set has one maker, and none of them reads the target.
    for stage in graph.stages.values():
        if stage.kind in ("select", "subset", "score", "reduce"):
            assert stage.architecture in (SOURCE, ""), stage.name
            assert all(graph.stages[n].architecture != TARGET for n in stage.inputs.values())


def test_methods_by_a_score_and_by_chance_on_the_digits() -> None:
    recipe = digits()
    recipe = recipe.replace(
        compare=("el2n", "random-subset"),
        train=recipe.train.with_epochs(2),
        search=type(recipe.search)(rounds=2, rewind=recipe.search.rewind),
    )
    found = search(
        recipe, data="digits", network=(SOURCE, TARGET), transfer_from=SOURCE, judge="none"
    )
    digests = {}
    for method in ("prac", "el2n", "random-subset"):
        source, target = found[f"{SOURCE}:{method}"], found[f"{TARGET}:{method}"]
        digests[method] = [chosen.digest for chosen in source.sets]
        assert [chosen.digest for chosen in target.sets] == digests[method]
        # The target trains on them, its masks are its own.
        sizes = [one.facts.set_size for one in target.rounds if one.facts is not None]
        assert sizes == [len(chosen) for chosen in target.sets[:2]]
        assert target.masks[1].keys() != source.masks[1].keys()
    # Other methods have other sets of the same sizes.
    for k in (1, 2):
        assert len({digests[method][k] for method in digests}) == 3
        assert len({len(found[f"{SOURCE}:{method}"].sets[k]) for method in digests}) == 1


def test_what_the_source_s_model_was_asked_costs_the_source_s_flops() -> None:
    recipe = digits()
    recipe = recipe.replace(
        compare=("entropy",),
        train=recipe.train.with_epochs(1),
        search=type(recipe.search)(rounds=1, rewind=RewindPoint("init")),
    )
    found = search(
        recipe, data="digits", network=(SOURCE, TARGET), transfer_from=SOURCE, judge="none"
    )
    once = dense_flops(SOURCE, Format(10, (8, 8, 1)))
    for network in (SOURCE, TARGET):
        bill = found[f"{network}:entropy"].bill
        assert bill.score_samples > 0
        assert bill.other_flops == bill.score_samples * once
