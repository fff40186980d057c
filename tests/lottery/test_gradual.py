"""Rounds and tickets that are pruned in the course of their own training."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support.searches import TOY, Searched, Trainer, searched
from torch import nn

from prac import Method, PruneConfig, get_recipe
from prac.analysis.stops import Stops, replayed_search
from prac.config.recipe import Recipe
from prac.config.values import RewindPoint
from prac.data.batches import DeviceImages
from prac.data.dataset import ImageDataset
from prac.errors import ConfigError, PracError
from prac.lottery.bill import own_stages
from prac.lottery.compose import build_graph
from prac.lottery.method_config import prune_for
from prac.lottery.outputs import BEST, REWIND, JudgeFacts, RoundFacts
from prac.lottery.rounds import RoundOutcome, RoundTask, run_round
from prac.lottery.search import Local, search
from prac.lottery.stage_config import round_config
from prac.lottery.starts import initial_model
from prac.lottery.steps.training import judge_stage
from prac.storage import Folder

ON = {"rewind": RewindPoint("learning-rate"), "rounds": 2}
OWN = ("prac", "vanilla", "random-subset")


@pytest.fixture(scope="module")
def dataset(toy_data: Callable[..., ImageDataset]) -> ImageDataset:
    return toy_data(200, noise=140)


def _run(
    recipe: Recipe, dataset: ImageDataset, folder: Path, judge: str = "auto"
) -> tuple[Searched, dict[str, RoundTask]]:
    trainer = Trainer(DeviceImages(dataset, recipe.augment), folder)
    found = searched(recipe, dataset, trainer=trainer, judge=judge)
    return found, {task.run: task for task in trainer.tasks}


Ran = tuple[Searched, dict[str, RoundTask]]


@pytest.fixture(scope="module")
def going_on(dataset: ImageDataset, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    recipe = TOY.set(search=ON, prune={"gradual": 0.5}).replace(
        compare=("vanilla", "random-subset", "random-tickets", "one-shot", "gradual", "snip")
    )
    return _run(recipe, dataset, tmp_path_factory.mktemp("on"))


@pytest.fixture(scope="module")
def rewound(dataset: ImageDataset, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    recipe = TOY.set(search={"rounds": 2}).replace(compare=("vanilla", "gradual"))
    return _run(recipe, dataset, tmp_path_factory.mktemp("rewound"), judge="all")


def _task(ran: Ran, name: str) -> RoundTask:
    return ran[1][ran[0].graph.stages[name].key]


def _tested(network: nn.Module, dataset: ImageDataset) -> float:
    """Its test accuracy, by hand."""
    images = DeviceImages(dataset, TOY.augment)
    with torch.no_grad():
        given = network.eval()(images.test(0, images.num_test)).argmax(1)
    return (given == images.test_labels).float().mean().item()


@pytest.mark.parametrize("method", OWN)
def test_a_round_makes_its_own_mask_from_that_of_the_round_before(
    going_on: Ran, dataset: ImageDataset, method: str
) -> None:
    found, _ = going_on
    stages, rounds = found.stages(method), found.result[method].rounds
    assert len(stages.all_rounds) == 3
    assert stages.masks == stages.all_rounds[1:]
    assert _task(going_on, stages.rounds[0]).config.prune.gradual == 0
    for index, (before, name) in enumerate(pairwise(stages.all_rounds), start=1):
        task, made = _task(going_on, name), found.made(name)
        assert (task.config.prune.gradual, task.config.cuts) == (0.5, 1)
        assert task.weights is not None
        kept = found.made(before)[BEST]
        assert all(torch.equal(task.weights[n], w) for n, w in kept.items())
        starts = None if index == 1 else rounds[index - 1].mask
        assert (task.mask is None) == (starts is None)
        assert task.mask is None or task.mask == starts
        mask = rounds[index].mask
        assert mask.is_subset_of(rounds[index - 1].mask)
        alive = rounds[index - 1].mask.num_alive
        assert mask.num_alive == alive - round(0.4 * alive)
        # The network that it leaves is the one that was trained under it.
        assert all(not made[BEST][n][~alive].any() for n, alive in mask.items())
        told = made.known(RoundFacts)
        assert (told.distances, told.stopped_early) == ((), False)
        assert told.best_epoch >= told.epochs // 2 - 1


def test_twins_have_equal_steps_and_counts(going_on: Ran) -> None:
    found, _ = going_on
    prac = found.result["prac"].rounds
    for method in ("random-subset", "vanilla", "gradual", "one-shot", "random-tickets", "snip"):
        theirs = found.result[method].rounds
        assert [r.mask.num_alive for r in theirs] == [r.mask.num_alive for r in prac], method
    twin = found.result["random-subset"].rounds
    assert [r.steps for r in twin] == [r.steps for r in prac]


def test_tickets_are_told_as_found_with_all_rounds_that_made_them(
    going_on: Ran, dataset: ImageDataset
) -> None:
    found, _ = going_on
    full = found.result.rounds[0].steps
    for method in OWN:
        stages, result = found.stages(method), found.result[method]
        for index in (1, 2):
            ticket = result.tickets[index]
            ticket.verify()
            assert ticket.mask == result.rounds[index].mask
            paid = sum(r.steps for r in result.rounds[: index + 1])
            assert ticket.lineage["search_steps"] == paid == result.steps_to_find(index)
            assert ticket.lineage["steps_saved"] == pytest.approx(1 - paid / (full * (index + 1)))
            assert ticket.lineage["test_accuracy"] == pytest.approx(
                _tested(ticket.build(trained=True), dataset)
            )
            (judge,) = stages.judgements[index]
            assert found.made(judge).known(JudgeFacts).as_found
    assert found.result["vanilla"].tickets[2].lineage["steps_saved"] == 0


def test_the_method_trains_each_ticket_once_from_the_initial_weights(
    going_on: Ran, dataset: ImageDataset
) -> None:
    found, _ = going_on
    stages, result = found.stages("gradual"), found.result["gradual"]
    assert stages.rounds[0] == found.stages().rounds[0]
    full = found.result["vanilla"].rounds[0].steps
    initial = initial_model(_task(going_on, stages.rounds[0]).config, DeviceImages(
        dataset, TOY.augment))  # fmt: skip
    for index in (1, 2):
        name = stages.all_rounds[index]
        task, ticket = _task(going_on, name), result.tickets[index]
        assert found.graph.stages[name].inputs == {}
        assert (task.mask, task.weights, task.config.cuts) == (None, None, index)
        assert len(task.sample_ids) == len(dataset.training_ids)
        assert ticket.lineage["search_steps"] == full == result.steps_to_find(index)
        assert ticket.lineage["steps_saved"] == pytest.approx(1 - 1 / (index + 1))
        assert ticket.lineage["as_found"] is True
        ticket.verify()
        for weight, drawn in zip(
            ticket.weights.values(), initial.state_dict().values(), strict=True
        ):
            assert torch.equal(weight, drawn) or not weight[weight != drawn].any()
    # One a ticket: the dense run is PrAC's.
    assert result.bill.steps == 2 * full
    assert own_stages(stages, found.graph, 2) == [stages.all_rounds[2]]


def test_masks_made_beside_the_training_are_cut_at_once(going_on: Ran) -> None:
    found, _ = going_on
    stages = found.stages("one-shot")
    assert {found.graph.stages[name].kind for name in stages.masks} == {"prune"}
    assert stages.last is not None
    last = _task(going_on, stages.last)
    assert last.config.prune.gradual == 0
    assert last.mask == found.result["one-shot"].rounds[2].mask
    # Random tickets have PrAC's masks, the last one's round among what they cost.
    random = found.result["random-tickets"]
    assert random.rounds[2].mask == found.result.rounds[2].mask
    own = found.made(found.stages("random-tickets").judgements[2][0]).cost.steps
    paid = sum(r.steps for r in found.result.rounds) + own
    assert random.steps_to_find(2) == paid
    # Vanilla trains three times for its last ticket; SNIP's is trained once.
    full = found.result["vanilla"].rounds[0].steps
    saved = {m: found.result[m].tickets[2].lineage["steps_saved"] for m in ("snip", "one-shot")}
    assert saved == {"snip": pytest.approx(2 / 3), "one-shot": pytest.approx(1 / 3)}
    assert random.tickets[2].lineage["steps_saved"] == pytest.approx(1 - paid / (3 * full))


def test_beside_tickets_that_rewind_it_is_judged_as_they_are(
    rewound: Ran, dataset: ImageDataset
) -> None:
    found, _ = rewound
    stages, result = found.stages("gradual"), found.result["gradual"]
    dense = found.made(stages.rounds[0])
    for index in (1, 2):
        (name,) = stages.judgements[index]
        judge = found.graph.stages[name]
        assert judge.inputs == {"rewind": stages.rounds[0], "before": stages.all_rounds[index]}
        assert found.made(name).cost.steps > 0
        ticket = result.tickets[index]
        assert all(
            torch.equal(w, dense[REWIND][n] * ticket.mask[n] if n in ticket.mask else w)
            for n, w in ticket.weights.items()
        )
        trained = found.made(stages.all_rounds[index])
        # Its mask, and the dense run that the weights are of.
        paid = dense.cost.steps + trained.cost.steps
        assert ticket.lineage["search_steps"] == paid == result.steps_to_find(index)
        assert ticket.lineage["found_steps"] == trained.cost.steps
        assert ticket.found is not None
        assert all(torch.equal(ticket.found[n], w) for n, w in trained[BEST].items())
        assert result.rounds[index].found_test_accuracy == pytest.approx(
            _tested(ticket.build(found=True), dataset)
        )
    # The dense run is PrAC's, and leaves what tickets rewind to.
    assert set(stages.found) == {1, 2}


def test_as_found_a_network_is_tested_by_its_best_weights(
    rewound: Ran, dataset: ImageDataset
) -> None:
    found, _ = rewound
    dense = found.made(found.stages().rounds[0])
    assert REWIND in dense.files  # which are others
    judge = found.graph.stages[found.stages("gradual").found[1]].config
    images = DeviceImages(dataset, TOY.augment)
    work: Any = SimpleNamespace(env=SimpleNamespace(dataset=lambda: dataset, images=lambda: images))
    task = _task(rewound, found.stages().rounds[0])
    for part in (BEST, REWIND):
        network = initial_model(task.config, images)
        network.load_state_dict(dict(dense[part]))
        told = judge_stage(judge, work, rewind=dense).known(JudgeFacts).test_accuracy
        assert (told == pytest.approx(_tested(network, dataset))) == (part is BEST)


def test_where_tickets_rewind_to_the_beginning_no_dense_run_is_paid(
    rewound: Ran, dataset: ImageDataset
) -> None:
    recipe = rewound[0].request.recipe.set(search={"rewind": RewindPoint("init")})
    graph = build_graph(dataclasses.replace(rewound[0].request, recipe=recipe))
    stages = next(s for s in graph.searches if s.method == "gradual")
    for index in (1, 2):
        assert stages.trainings(index) == (stages.all_rounds[index],)
        start = graph.stages[stages.judgements[index][0]].inputs["rewind"]
        assert graph.stages[start].kind == "start"


def test_a_stop_of_rounds_that_wait_for_no_mask_is_not_replayed(going_on: Ran) -> None:
    found, _ = going_on
    made = {name: found.made(name) for name in found.stages().all_rounds}
    for method in ("prac", "gradual"):
        stages = found.stages(method)
        made |= {name: found.made(name) for name in stages.all_rounds}
        tried = Stops(tolerances=(0.1,), patience=1, record_at_once=True)
        assert replayed_search(stages, found.graph, made, 144, tried) is None


def test_a_dense_run_of_which_nobody_asks_a_mask_is_not_stopped_for_it() -> None:
    recipe = TOY.set(search=ON, prune={"gradual": 0.5, "tolerance": 0.1})
    made = round_config(recipe, "resnet8", 0, precision="fp32", records_events=True)
    assert (made.prune.tolerance, made.prune.gradual) == (None, 0)


def test_such_a_dense_run_is_the_dense_network_and_is_not_trained_once_more(going_on: Ran) -> None:
    request = going_on[0].request
    recipe = request.recipe.set(prune={"tolerance": 0.1}).replace(compare=())
    graph = build_graph(dataclasses.replace(request, recipe=recipe))
    (stages,) = graph.searches
    (judge,) = stages.judgements[0]
    assert graph.stages[judge].config.as_found
    assert graph.stages[judge].inputs == {"rewind": stages.rounds[0]}


def test_a_proxy_is_among_what_trained_the_first_network_on_its_set(going_on: Ran) -> None:
    recipe = TOY.set(search=ON, select={"proxy": "conv4", "proxy_epochs": 1})
    asked = dataclasses.replace(going_on[0].request, recipe=recipe.replace(compare=("proxy",)))
    graph = build_graph(dataclasses.replace(asked, judge="last"))
    stages = next(s for s in graph.searches if s.method == "proxy")
    dense, first, last = stages.all_rounds
    assert stages.proxy is not None
    # m_1 is the dense run's; what is trained under it is trained on the proxy's set.
    assert stages.trainings(1) == (dense,)
    assert set(stages.trained_as_found(1)) == {dense, stages.proxy, first}
    assert set(stages.trained_as_found(2)) == {dense, stages.proxy, first, last}
    assert stages.trained_as_found(0) == (dense,)


def test_a_trainer_of_the_user_s_that_prunes_nothing_is_told_so(
    dataset: ImageDataset, tmp_path: Path
) -> None:
    recipe = TOY.set(search={**ON, "rounds": 1}, prune={"gradual": 0.5}).replace(compare=())
    images = DeviceImages(dataset, recipe.augment)

    def one_cut(task: RoundTask) -> RoundOutcome:
        prune = dataclasses.replace(task.config.prune, gradual=0.0)
        config = dataclasses.replace(task.config, prune=prune)
        folder = Folder(tmp_path / task.run)
        return run_round(dataclasses.replace(task, config=config), images, folder)

    with pytest.raises(PracError, match=r"round 1 left weights that its mask prunes; prune\.grad"):
        search(recipe, data=dataset, how=Local(device="cpu", train_round=one_cut))


def test_keys_of_rounds_that_do_not_prune_as_they_go_are_as_before(going_on: Ran) -> None:
    found, _ = going_on
    plain = TOY.set(search=ON).replace(compare=("vanilla",))
    graph = build_graph(dataclasses.replace(found.request, recipe=plain))
    name = found.stages().rounds[0]
    assert graph.stages[name].key == found.graph.stages[name].key
    last = found.stages().last or ""
    assert graph.stages[last].key != found.graph.stages[last].key


def test_what_is_not_allowed(dataset: ImageDataset) -> None:
    with pytest.raises(ConfigError, match=r"prune\.gradual 1\.5 is not allowed; allowed: 0 to 1"):
        PruneConfig(gradual=1.5)
    with pytest.raises(ConfigError, match=r"search\.rewind is epoch:1; allowed: search\.rewind=l"):
        TOY.set(prune={"gradual": 0.5})
    recipe = TOY.set(search=ON, prune={"gradual": 0.5, "criterion": "snip"})
    with pytest.raises(ConfigError, match=r"prune\.criterion snip reads no trained weights, but"):
        searched(recipe, dataset)
    with pytest.raises(ConfigError, match=r"allowed: select\.cep_model=round"):
        TOY.set(search=ON, prune={"gradual": 0.5}, select={"cep_model": "pruned"})
    own = Method(name="own", summary="", data="everything", trains="tickets", prunes="random")
    with pytest.raises(ConfigError, match="random reads no trained weights, but own prunes"):
        prune_for(own, PruneConfig())
    recipe = TOY.set(prune={"criterion": "random"}).replace(compare=("gradual",))
    with pytest.raises(ConfigError, match="but gradual prunes little by little"):
        searched(recipe, dataset)
    assert get_recipe("cifar10_fast").prune.gradual == 0
