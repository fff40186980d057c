"""Searches whose weights go on, and whose tickets are tested as their own rounds left them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from support.searches import TOY, Searched, searched
from torch import nn

from prac import judge, search
from prac.cli import main
from prac.config.values import RewindPoint
from prac.data.batches import DeviceImages
from prac.data.dataset import ImageDataset
from prac.errors import ConfigError
from prac.lottery.compose import build_graph
from prac.lottery.outputs import BEST, JudgeFacts, TicketFacts
from prac.ticket.format import Ticket
from prac.tracking.ticket_run import registered_tags, ticket_shown

RECIPE = TOY.set(
    prune={"fraction": 0.5},
    select={"soft": 0.25},
    search={"rounds": 2, "rewind": RewindPoint("learning-rate")},
).replace(compare=("vanilla", "random-subset", "one-shot", "snip"))


@pytest.fixture(scope="module")
def dataset(toy_data: Callable[..., ImageDataset]) -> ImageDataset:
    return toy_data(200, noise=140)


@pytest.fixture(scope="module")
def found(dataset: ImageDataset) -> Searched:
    return searched(RECIPE, dataset, judge="auto")


@pytest.mark.parametrize("method", ["prac", "vanilla", "random-subset", "one-shot"])
def test_a_ticket_is_what_its_own_round_left_with_the_steps_of_that_round(
    found: Searched, dataset: ImageDataset, method: str
) -> None:
    images = DeviceImages(dataset, RECIPE.augment)
    pictures, labels = images.test(0, images.num_test), images.test_labels

    def tested(network: nn.Module) -> float:
        with torch.no_grad():
            return (network.eval()(pictures).argmax(1) == labels).float().mean().item()

    stages, result = found.stages(method), found.result[method]
    # A mask that one-shot makes on the way is trained by no round.
    indices = (2,) if method == "one-shot" else (1, 2)
    assert tuple(stages.tickets) == indices
    full = result.rounds[0].steps
    for index in indices:
        (name,), ticket = stages.judgements[index], found.result[method].tickets[index]
        judged = found.made(name)
        assert (judged.cost.steps, judged.known(JudgeFacts).as_found) == (0, True)
        assert ticket.trained is not None
        left = found.made(stages.all_rounds[index])
        assert all(torch.equal(left[BEST][n], w) for n, w in ticket.trained.items())
        by_hand = tested(ticket.build(trained=True))
        assert result.rounds[index].test_accuracies == (pytest.approx(by_hand),)
        trained = dict.fromkeys(stages.all_rounds[: index + 1])
        paid = sum(found.made(n).cost.steps for n in trained)
        told = ticket.lineage
        assert told["test_accuracy"] == pytest.approx(by_hand)
        assert told["search_steps"] == paid == result.steps_to_find(index)
        # Vanilla trains as often, each time on everything.
        assert told["steps_saved"] == pytest.approx(1 - paid / (full * (index + 1)))
        assert told["as_found"] is True
        assert "found_steps" not in told
        assert told["dense_test_accuracy"] == found.result.rounds[0].test_accuracies[0]
    saved = result.tickets[2].lineage["steps_saved"]
    assert (saved == 0) if method == "vanilla" else (saved > 0)


def test_the_dense_network_is_tested_as_it_was_trained(found: Searched) -> None:
    (name,) = found.stages().judgements[0]
    assert found.graph.stages[name].inputs == {"rewind": found.stages().rounds[0]}
    assert all(0 not in found.stages(m).judgements for m in ("vanilla", "random-subset"))


def test_a_method_whose_weights_do_not_go_on_is_judged_alone(found: Searched) -> None:
    stages = found.stages("snip")
    assert set(stages.judgements) == {2}
    (name,) = stages.judgements[2]
    steps = found.made(name).cost.steps
    assert steps > 0
    told = found.result["snip"].tickets[2].lineage
    assert "as_found" not in told
    # As the others have it, its training is among its steps: one of the three that vanilla takes.
    assert told["search_steps"] == steps == found.result["snip"].steps_to_find(2)
    assert told["steps_saved"] == pytest.approx(2 / 3)


def test_trained_again_it_is_no_longer_as_found(found: Searched, dataset: ImageDataset) -> None:
    ticket = found.result.ticket
    again = judge(ticket, data=dataset, recipe=RECIPE).ticket
    assert "as_found" not in again.lineage
    assert again.trained is not None
    assert ticket.trained is not None
    assert any(not torch.equal(again.trained[n], w) for n, w in ticket.trained.items())


def test_a_mask_on_the_way_that_nothing_was_trained_under_has_no_training_of_its_own(
    found: Searched,
) -> None:
    # One-shot prunes twice after its dense run, and trains the last mask alone.
    stages = found.stages("one-shot")
    assert (stages.as_found, stages.budgets(1), stages.budgets(2)) == ((2,), 1, 3)
    assert stages.trainings(1) == stages.rounds[:1]


def test_the_weights_as_found_are_those_that_it_was_judged_by(found: Searched) -> None:
    ticket = found.result.ticket
    one, other = (ticket.build(**{part: True}).state_dict() for part in ("found", "trained"))
    assert all(torch.equal(one[name], other[name]) for name in other)


def test_a_dense_run_that_may_stop_is_no_reference(dataset: ImageDataset) -> None:
    recipe = RECIPE.replace(compare=()).set(
        prune={"tolerance": 0.9, "patience": 1, "record_at_once": True}, search={"rounds": 1}
    )
    found = searched(recipe, dataset, judge="auto")
    first = found.result.rounds[0]
    assert first.facts is not None
    assert first.facts.stopped_early
    assert found.stages().as_found == (1,)
    (name,) = found.stages().judgements[0]
    dense = found.made(name)
    assert dense.known(JudgeFacts).epochs == RECIPE.train.epochs
    told = found.result.ticket.lineage
    assert told["dense_test_accuracy"] == dense.known(JudgeFacts).test_accuracy
    # What the ticket cost is of the search alone.
    assert told["search_steps"] == first.steps + found.result.rounds[1].steps


def test_weights_as_found_are_kept_where_nothing_is_tested(dataset: ImageDataset) -> None:
    recipe = RECIPE.replace(compare=()).set(search={"rounds": 1})
    found = searched(recipe, dataset, judge="none")
    ticket, last = found.result.ticket, found.result.rounds[1]
    assert ticket.found is not None
    assert ticket.trained is None
    assert last.facts is not None
    told = ticket.lineage
    assert told["found_validation_accuracy"] == last.facts.best_accuracy
    assert told["found_steps"] == told["search_steps"] + last.steps
    assert "found_test_accuracy" not in told


def test_a_saved_ticket_says_so(found: Searched, tmp_path: Path) -> None:
    again = Ticket.load(found.result.ticket.save(tmp_path / "ticket"))
    assert again.lineage["as_found"] is True


def test_more_seeds_train_tickets_alone(dataset: ImageDataset) -> None:
    one = RECIPE.replace(compare=()).set(search={"rounds": 1})
    found = search(one, data=dataset, seeds=2)
    assert len(found.rounds[1].test_accuracies) == 2
    assert found.rounds[1].found_test_accuracy is not None
    assert found.ticket.lineage["search_steps"] == found.rounds[0].steps


def test_repeats_are_tested_as_found_too(found: Searched) -> None:
    graph = build_graph(dataclasses.replace(found.request, searches=2))
    (repeat, *_), ours = graph.repeats[0], graph.searches[0]
    assert repeat.as_found == ours.as_found == (0, 1, 2)
    assert set(repeat.judgements) == set(ours.judgements) == {0, 1, 2}
    assert not repeat.tickets
    assert {graph.stages[n].config.as_found for (n,) in repeat.judgements.values()} == {True}


def test_one_method_is_searched_alone(dataset: ImageDataset) -> None:
    recipe = RECIPE.replace(compare=("vanilla",))
    alone = searched(recipe, dataset, judge="auto", only=("vanilla",))
    assert {stage.method for stage in alone.graph.needed() if stage.kind == "round"} == {"vanilla"}
    both = searched(recipe, dataset, judge="auto")
    ours, theirs = alone.result["vanilla"], both.result["vanilla"]
    assert [r.test_accuracies for r in ours.rounds] == [r.test_accuracies for r in theirs.rounds]
    assert ours.bill.steps == theirs.bill.steps
    # What was not asked for is no answer.
    assert alone.result.method == "vanilla"
    assert "vanilla" in repr(alone.result)
    assert alone.result["resnet8"].method == "vanilla"
    with pytest.raises(ConfigError, match="search 'prac' is not known; known: resnet8:vanilla"):
        alone.result["prac"]
    named = search(recipe, data=dataset, only="vanilla")
    assert named.ticket.lineage["method"] == "vanilla"


def test_lists_and_tags_tell_it_from_one_that_was_trained_alone(
    found: Searched, dataset: ImageDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = RECIPE.set(search={"rounds": 1}).replace(compare=("snip",))
    search(recipe, data=dataset, store=tmp_path / "prac-runs")
    assert main(["tickets", "list", "--home", str(tmp_path), "--json"]) == 0
    listed = json.loads(capsys.readouterr().out.splitlines()[-1])["tickets"]
    assert {t["method"]: t["as_found"] for t in listed} == {"prac": True, "snip": False}
    assert main(["tickets", "list", "--home", str(tmp_path)]) == 0
    words = " ".join(capsys.readouterr().out.split())
    assert "as found" in words
    assert "trained alone" in words
    for method, told in (("prac", {"as_found": "true"}), ("snip", {})):
        facts = found.made(found.stages(method).tickets[2]).known(TicketFacts)
        tags = registered_tags(facts)
        assert {name: tags[name] for name in ("as_found",) if name in tags} == told
        assert ticket_shown(facts).tags.get("as_found") == told.get("as_found")
