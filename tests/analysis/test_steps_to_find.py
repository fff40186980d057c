"""What a ticket cost to find is one number, wherever it is told."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from support.played import plain_made, played_context

from prac import Mask, global_magnitude
from prac.analysis.outcome import collect_results
from prac.analysis.summary import summary_json
from prac.config.sections import SelectConfig
from prac.data.dataset import ImageDataset
from prac.lottery.compose import build_graph
from prac.lottery.env import Work
from prac.lottery.graph import Graph
from prac.lottery.kinds import KINDS
from prac.lottery.outputs import NEXT_MASK, REWIND, SET, TRAINED, Made, MaskFacts, TicketFacts
from prac.lottery.request import Request
from prac.models.registry import build_model
from prac.pruning.prunable import prunable_weights
from prac.report.csv_files import write_csv
from prac.report.tables import result_row
from prac.selection.prac_set import PracSet
from prac.sweep.union import Trial, Union, trial_graph

# Round 0, round 1, and the network that chose the sets.
STEPS = {"dense": 60, "round": 28, "proxy": 1000, "judge": 336}
TO_FIND = {0: 0, 1: 60, 2: 60 + 28 + 1000}


@pytest.fixture
def asked(request_for: Callable[..., Request], digits_data: ImageDataset) -> Request:
    """Two rounds on sets that a proxy chose."""
    return request_for(
        data=digits_data.fingerprint,
        architectures=("conv4",),
        rounds=2,
        compare=(),
        judge="all",
        select=SelectConfig(score="proxy", fraction=0.3, options={"proxy": "resnet8"}),
    )


def _made(graph: Graph, dataset: ImageDataset, storage: Path) -> dict[str, Made]:
    """What the stages made: by hand, but for the tickets, which their own step binds."""
    model = build_model("conv4", num_classes=10, image_shape=dataset.image_shape, seed=0)
    masks = [Mask.dense(model)]
    context = played_context(storage, dataset=dataset)
    made: dict[str, Made] = {}
    for name, stage in graph.stages.items():
        if stage.kind == "report":
            continue
        if stage.kind == "ticket":
            keys = {role: graph.stages[other].key for role, other in stage.inputs.items()}
            inputs = {role: made[other] for role, other in stage.inputs.items()}
            made[name] = KINDS["ticket"].step()(stage.config, Work(stage, context, keys), **inputs)
            continue
        plain = plain_made(stage, steps=STEPS.get(stage.kind, 0))
        if isinstance(plain.facts, MaskFacts):
            masks.append(global_magnitude(prunable_weights(model), masks[-1], 0.2))
            alive = {"next_weights_alive": masks[-1].num_alive, "weights": masks[-1].size}
            files = {NEXT_MASK: masks[-1], REWIND: model.state_dict()}
            facts = dataclasses.replace(plain.facts, **alive)
            plain = dataclasses.replace(plain, facts=facts, files=files)
        if stage.kind == "subset":
            files = {SET: PracSet.everything(dataset.training_ids[:388])}
            plain = dataclasses.replace(plain, files=files)
        if stage.kind == "judge":
            zeros = {weight: t.new_zeros(t.shape) for weight, t in model.state_dict().items()}
            plain = dataclasses.replace(plain, files={TRAINED: zeros})
        made[name] = plain
    return made


def test_all_who_tell_it_tell_the_same(
    asked: Request, digits_data: ImageDataset, tmp_path: Path
) -> None:
    graph = build_graph(asked)
    made = _made(graph, digits_data, tmp_path)
    (search,) = graph.searches
    assert search.proxy == "proxy:resnet8"
    tickets = {k: made[name].known(TicketFacts) for k, name in search.tickets.items()}
    results = collect_results(asked, graph, made, (), dataset=digits_data, link=None, locations={})
    assert {row.round: row.search_steps for row in results.rows} == TO_FIND
    assert {k: facts.search_steps for k, facts in tickets.items()} == {1: 60, 2: 1088}
    assert {k: facts.steps_saved for k, facts in tickets.items()} == {
        row.round: row.steps_saved for row in results.rows if row.round
    }
    (told,) = summary_json(results, {})["searches"]
    assert {row["round"]: row["search_steps"] for row in told["rounds"]} == TO_FIND
    assert [result_row(results, r)["steps to find"] for r in results.rows] == ["0", "60", "1,088"]
    paths = {path.stem: path for path in write_csv(results, tmp_path / "tables")}
    with paths["rounds"].open(newline="") as file:
        rows = {int(row["round"]): int(row["search_steps"]) for row in csv.DictReader(file)}
    assert rows == TO_FIND
    # The bill holds what the last set cost too, and judging is apart.
    assert results.bills[0].steps == 1088


@pytest.mark.parametrize("rounds", [1, 2])
def test_a_sweep_s_trial_tells_it_too(
    asked: Request, digits_data: ImageDataset, tmp_path: Path, rounds: int
) -> None:
    values = {"select.fraction": 0.3}
    graph = trial_graph(asked, values)
    union = Union(stage.key for stage in graph.stages.values())
    names = union.add(graph, values)
    trial = Trial(number=1, values=values, graph=graph, names=names, full_steps=336)
    made = _made(graph, digits_data, tmp_path)
    if rounds == 1:  # round 1 is still to come
        made = {name: one for name, one in made.items() if ":1" not in name}
    (row,) = trial.rows(made)
    assert (row.rounds, row.search_steps) == (rounds, TO_FIND[rounds])
    assert row.steps_saved == pytest.approx(1 - TO_FIND[rounds] / (336 * rounds))
    metrics = {value.name: value.value for value in trial.metrics(made)}
    assert metrics["search_steps"] == TO_FIND[rounds]
    assert trial.report(rounds - 1, made)["steps"] == TO_FIND[rounds]
