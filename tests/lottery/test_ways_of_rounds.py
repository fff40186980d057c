"""Rounds whose weights go on, on soft sets, on the hardest of batches: from where, on how many."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from support.searches import TOY, Searched, Trainer, searched
from torch import Tensor, nn

from prac.config.recipe import Recipe
from prac.config.values import RewindPoint
from prac.data.batches import DeviceImages
from prac.data.dataset import ImageDataset
from prac.errors import TicketError
from prac.lottery.bill import flops
from prac.lottery.compose import build_graph
from prac.lottery.outputs import BEST, REWIND, SET, STATISTICS, TICKET, RoundFacts, SetFacts
from prac.lottery.rounds import RoundTask
from prac.lottery.search import search
from prac.lottery.starts import initial_model
from prac.models.catalogue import Format
from prac.models.cost import dense_flops
from prac.ticket.format import Ticket

RECIPE = TOY.replace(
    compare=("vanilla", "random-subset", "rs2", "random-pruning", "random-tickets", "snip")
)


@pytest.fixture(scope="module")
def dataset(toy_data: Callable[..., ImageDataset]) -> ImageDataset:
    # So noisy that sets are neither empty nor everything.
    return toy_data(200, noise=140)


def _run(recipe: Recipe, dataset: ImageDataset, folder: Path) -> tuple[Searched, list[RoundTask]]:
    trainer = Trainer(DeviceImages(dataset, recipe.augment), folder)
    found = searched(recipe, dataset, trainer=trainer, judge="all")
    return found, trainer.tasks


@pytest.fixture(scope="module")
def going_on(
    dataset: ImageDataset, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Searched, list[RoundTask]]:
    recipe = RECIPE.set(search={"rewind": RewindPoint("learning-rate")})
    return _run(recipe, dataset, tmp_path_factory.mktemp("on"))


@pytest.fixture(scope="module")
def soft(
    dataset: ImageDataset, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Searched, list[RoundTask]]:
    recipe = RECIPE.set(select={"soft": 0.25})
    return _run(recipe, dataset, tmp_path_factory.mktemp("soft"))


@pytest.fixture(scope="module")
def filtered(
    dataset: ImageDataset, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Searched, list[RoundTask]]:
    recipe = RECIPE.set(select={"filter": 0.4}).replace(compare=(*RECIPE.compare, "el2n"))
    return _run(recipe, dataset, tmp_path_factory.mktemp("filter"))


def _same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


@pytest.mark.parametrize("method", ["prac", "vanilla", "random-subset", "rs2"])
def test_each_round_goes_on_from_the_best_weights_of_the_one_before(
    going_on: tuple[Searched, list[RoundTask]], method: str
) -> None:
    found, tasks = going_on
    by_run = {task.run: task for task in tasks}
    names = found.stages(method).all_rounds
    assert len(names) == 4
    for before, name in pairwise(names):
        task, made = by_run[found.graph.stages[name].key], found.made(before)
        assert REWIND not in made.files
        assert task.weights is not None
        assert _same(task.weights, made[BEST])
    ticket = found.made(found.stages(method).tickets[3])[TICKET]
    alive = ticket.mask
    trained = found.made(names[2])[BEST]
    for name, weight in ticket.weights.items():
        expected = trained[name] * alive[name] if name in alive else trained[name]
        assert torch.equal(weight, expected), name


@pytest.mark.parametrize("method", ["prac", "vanilla", "random-subset", "rs2"])
def test_a_round_s_network_is_a_ticket_as_found(
    going_on: tuple[Searched, list[RoundTask]], dataset: ImageDataset, method: str
) -> None:
    found, tasks = going_on
    by_run = {task.run: task for task in tasks}
    stages, result = found.stages(method), found.result[method]
    # m_3 is trained too, of which no mask or set is made.
    assert set(stages.found) == {0, 1, 2, 3}
    assert [r.found_test_accuracy is None for r in result.rounds] == [False] * 4
    readers = [s for s in found.graph.stages.values() if stages.last in s.inputs.values()]
    assert not {"reduce", "select", "prune"} & {stage.kind for stage in readers}
    images = DeviceImages(dataset, RECIPE.augment)
    pictures, labels = images.test(0, images.num_test), images.test_labels

    def tested(network: nn.Module) -> float:
        with torch.no_grad():
            return (network.eval()(pictures).argmax(1) == labels).float().mean().item()

    paid = 0
    for index, name in enumerate(stages.all_rounds):
        made = found.made(name)
        paid += made.cost.steps
        if index == 0:
            # The dense network, as it was trained.
            network = initial_model(by_run[found.graph.stages[name].key].config, images)
            network.load_state_dict(dict(made[BEST]))
            assert result.rounds[0].found_test_accuracy == pytest.approx(tested(network))
            continue
        judged = found.made(stages.found[index])
        assert (judged.cost.steps, judged.cost.samples) == (0, 0)
        ticket = found.made(stages.tickets[index])[TICKET]
        assert ticket.found is not None
        assert _same(ticket.found, made[BEST])
        by_hand = tested(ticket.build(found=True))
        assert result.rounds[index].found_test_accuracy == pytest.approx(by_hand)
        told = ticket.lineage
        assert told["found_test_accuracy"] == pytest.approx(by_hand)
        assert told["found_validation_accuracy"] == made.known(RoundFacts).best_accuracy
        assert told["found_steps"] == paid == told["search_steps"] + made.cost.steps
        # The judged one is trained further, from the weights of the round before.
        assert ticket.trained is not None
        assert not _same(ticket.trained, ticket.found)


def test_what_was_found_is_read_again_from_a_folder(dataset: ImageDataset, tmp_path: Path) -> None:
    recipe = RECIPE.set(search={"rewind": RewindPoint("learning-rate"), "rounds": 2})
    recipe = recipe.replace(compare=())
    first = search(recipe, data=dataset, judge=(), store=tmp_path)
    found = [one.found_test_accuracy for one in first.rounds]
    assert [one is None for one in found] == [False, False, False]
    again = search(recipe, data=dataset, judge=(), store=tmp_path)
    assert [one.found_test_accuracy for one in again.rounds] == found


def test_as_found_is_told_where_weights_go_on_alone(
    going_on: tuple[Searched, list[RoundTask]],
    soft: tuple[Searched, list[RoundTask]],
    tmp_path: Path,
) -> None:
    # Of random masks the dense network and the last one alone were trained.
    for method, indices in (("random-pruning", {0, 3}), ("random-tickets", set()), ("snip", set())):
        assert set(going_on[0].stages(method).found) == indices
    rewound = soft[0]
    assert not any(search.found for search in rewound.graph.searches)
    ticket = rewound.made(rewound.stages().tickets[2])[TICKET]
    assert not any(name.startswith("found") for name in ticket.lineage)
    with pytest.raises(TicketError, match="no weights as found"):
        ticket.build(found=True)
    going = going_on[0].made(going_on[0].stages().tickets[2])[TICKET]
    again = Ticket.load(going.save(tmp_path / "going"))
    assert again.found is not None
    assert _same(again.found, going.found)
    again.verify()
    name = next(iter(again.mask))
    changed = {**again.found, name: again.found[name] + 1}
    with pytest.raises(TicketError, match="pruned found weights"):
        dataclasses.replace(again, found=changed).verify()
    # Nothing is tested where nothing was asked to be judged.
    request = dataclasses.replace(going_on[0].request, judge="none")
    assert not any(search.found for search in build_graph(request).searches)


def test_the_dense_network_beside_its_tickets_is_trained_once_from_the_beginning(
    going_on: tuple[Searched, list[RoundTask]], dataset: ImageDataset
) -> None:
    found, tasks = going_on
    graph, (judge,) = found.graph, found.stages().judgements[0]
    start = graph.stages[judge].inputs["rewind"]
    assert graph.stages[start].kind == "start"
    initial = initial_model(tasks[0].config, DeviceImages(dataset, RECIPE.augment))
    assert _same(found.made(start)[REWIND], initial.state_dict())


def test_methods_that_train_no_rounds_start_where_they_have_weights(
    going_on: tuple[Searched, list[RoundTask]],
) -> None:
    found = going_on[0]
    for method, kind in (
        ("random-pruning", "dense"),
        ("random-tickets", "start"),
        ("snip", "start"),
    ):
        tickets = found.stages(method).tickets
        assert set(tickets) == {1, 2, 3}
        starts = {found.graph.stages[t].inputs["rewind"] for t in tickets.values()}
        assert {found.graph.stages[s].kind for s in starts} == {kind}, method


def test_soft_rounds_have_the_set_and_a_share_of_the_rest(
    soft: tuple[Searched, list[RoundTask]], dataset: ImageDataset
) -> None:
    found, tasks = soft
    by_run = {task.run: task for task in tasks}
    everything = len(dataset.training_ids)
    for method in ("prac", "random-subset"):
        stages = found.stages(method)
        for index in (1, 2):
            task = by_run[found.graph.stages[stages.rounds[index]].key]
            chosen = found.made(stages.samples[index - 1])[SET].sample_ids
            assert task.soft is not None
            assert np.array_equal(task.soft.critical, chosen)
            assert 0 < len(chosen) < everything
            assert task.epoch_size == len(chosen) + round(0.25 * (everything - len(chosen)))
    first = by_run[found.graph.stages[found.stages().rounds[0]].key]
    assert first.soft is None
    assert all(t.soft is None for t in tasks if len(t.sample_ids) == t.epoch_size)


def test_the_twins_of_soft_rounds_have_their_steps_and_samples(
    soft: tuple[Searched, list[RoundTask]],
) -> None:
    found = soft[0]
    prac = [(m.cost.steps, m.cost.samples) for m in found.trained()]
    for method in ("random-subset", "rs2"):
        assert [(m.cost.steps, m.cost.samples) for m in found.trained(method)] == prac
    vanilla = found.trained("vanilla")
    assert all(m.cost.steps == vanilla[0].cost.steps for m in vanilla)


def test_the_next_set_is_of_what_was_presented(
    soft: tuple[Searched, list[RoundTask]], dataset: ImageDataset
) -> None:
    found = soft[0]
    stages = found.stages()
    statistics = found.made(stages.rounds[1])[STATISTICS]
    critical = found.made(stages.samples[0])[SET].sample_ids
    presented = statistics["sample_id"].to_numpy()
    assert set(critical.tolist()) < set(presented.tolist()) <= set(dataset.training_ids.tolist())
    times = dict(zip(presented.tolist(), statistics["presentations"].to_pylist(), strict=True))
    epochs = max(times.values())
    assert all(times[sample] == epochs for sample in critical.tolist())
    assert min(times.values()) < epochs
    cet = found.made(stages.samples[1]).known(SetFacts).cet_size
    forgotten = statistics["forgotten"].to_numpy() > 0
    assert cet == int(np.sum(forgotten | statistics["first_learned"].is_null().to_numpy(False)))


def test_filtered_rounds_train_on_a_share_of_their_set(
    filtered: tuple[Searched, list[RoundTask]], dataset: ImageDataset
) -> None:
    found, tasks = filtered
    by_run = {task.run: task for task in tasks}
    for method, hardest in (("prac", True), ("el2n", True), ("random-subset", False)):
        stages = found.stages(method)
        for index in (1, 2):
            task = by_run[found.graph.stages[stages.rounds[index]].key]
            chosen = found.made(stages.samples[index - 1])[SET].sample_ids
            assert np.array_equal(task.sample_ids, chosen)
            assert (task.epoch_size, task.hardest) == (round(0.4 * len(chosen)), hardest)
    for name in (found.stages().rounds[0], *found.stages("vanilla").rounds):
        task = by_run[found.graph.stages[name].key]
        assert (task.epoch_size, task.hardest) == (len(dataset.training_ids), False)


def test_twins_of_filtered_rounds_have_their_steps_and_pay_no_forward_passes(
    filtered: tuple[Searched, list[RoundTask]],
) -> None:
    found = filtered[0]
    prac = [m.cost for m in found.trained()]
    for method in ("random-subset", "rs2"):
        theirs = [m.cost for m in found.trained(method)]
        assert [(c.steps, c.samples) for c in theirs] == [(c.steps, c.samples) for c in prac]
        assert all(cost.score_samples == 0 for cost in theirs)
    sets = [found.made(name).known(SetFacts).set_size for name in found.stages().samples]
    epochs = [m.known(RoundFacts).epochs for m in found.trained()]
    assert [c.score_samples for c in prac] == [0, sets[0] * epochs[1], sets[1] * epochs[2]]
    assert [c.samples for c in prac[1:]] == [
        round(0.4 * size) * count for size, count in zip(sets[:2], epochs[1:], strict=True)
    ]
    # A bill counts a forward pass for each, beside three for what is trained on.
    extra = 3 * sum(c.samples for c in prac) + sum(c.cep_samples for c in prac)
    extra += sum(c.score_samples + c.evaluation_samples for c in prac)
    once = dense_flops("resnet8", Format(3, (8, 8, 1)))
    assert found.result.bill.score_samples == prac[1].score_samples + prac[2].score_samples
    assert flops([found.result.bill], once) == once * extra


def test_the_next_set_is_of_all_that_was_presented(
    filtered: tuple[Searched, list[RoundTask]],
) -> None:
    found = filtered[0]
    stages = found.stages()
    statistics = found.made(stages.rounds[1])[STATISTICS]
    assert np.array_equal(
        statistics["sample_id"].to_numpy(), found.made(stages.samples[0])[SET].sample_ids
    )
    epochs = found.trained()[1].known(RoundFacts).epochs
    assert set(statistics["presentations"].to_pylist()) == {epochs}


def test_the_last_mask_is_trained_for_its_whole_budget_where_weights_go_on(
    dataset: ImageDataset, tmp_path: Path
) -> None:
    # Every round that looks for a mask stops at once.
    recipe = RECIPE.set(
        search={"rewind": RewindPoint("learning-rate"), "rounds": 2},
        prune={"tolerance": 0.9, "patience": 1, "record_at_once": True},
    ).replace(compare=("vanilla", "random-subset", "one-shot"))
    found, tasks = _run(recipe, dataset, tmp_path)
    by_run = {task.run: task for task in tasks}
    for method in ("prac", "vanilla", "random-subset", "one-shot"):
        stages, rounds = found.stages(method), found.result[method].rounds
        assert stages.last is not None
        task, last = by_run[found.graph.stages[stages.last].key], rounds[2]
        assert not task.config.records_events
        assert task.config.predicts_with is None
        assert last.facts is not None
        assert not last.facts.stopped_early
        assert last.facts.epochs == last.facts.budget_epochs
        assert task.mask is not None
        assert all(torch.equal(task.mask[n], last.mask[n]) for n in last.mask)
        # It is on the bill, and no part of what the mask cost.
        own = found.result[method]
        assert own.bill.steps == own.steps_to_find(2) + last.steps == sum(r.steps for r in rounds)
    assert found.result.rounds[1].facts is not None
    assert found.result.rounds[1].facts.stopped_early
    # One-shot trains its mask from the dense network's weights, on everything.
    shot = by_run[found.graph.stages[found.stages("one-shot").last or ""].key]
    assert shot.weights is not None
    assert _same(shot.weights, found.made(found.stages("one-shot").rounds[0])[BEST])
    assert len(shot.sample_ids) == len(dataset.training_ids)
