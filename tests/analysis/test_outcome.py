"""From finished stages to rows, by hand: two rounds of one architecture under two methods."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from prac.analysis.outcome import collect_results
from prac.analysis.results import Results, results_from_json, results_to_json
from prac.analysis.summary import summary_json
from prac.config.values import RewindPoint
from prac.lottery.compose import build_graph
from prac.lottery.outputs import (
    Cost,
    CountFacts,
    Facts,
    JudgeFacts,
    Made,
    RoundFacts,
    SetFacts,
    TicketFacts,
)
from prac.report.tables import bill_table, result_row
from prac.report.verdict import verdicts


def _trained(steps: int, alive: int, epochs: int, accuracy: float) -> Made:
    return Made(
        facts=RoundFacts(
            set_size=0,
            epochs=epochs,
            budget_epochs=10,
            stopped_early=epochs < 10,
            best_epoch=epochs - 1,
            best_accuracy=accuracy,
            distances=(0.5, 0.25),
            next_weights_alive=alive,
            next_sparsity=1 - alive / 1000,
            weights=1000,
        ),
        cost=Cost(
            steps=steps, samples=100 * epochs, cep_samples=7, evaluation_samples=3, seconds=1.5
        ),
    )


def _set(size: int, cet: int, cep: int, overlap: int) -> Made:
    facts = SetFacts(set_size=size, cet_size=cet, cep_size=cep, overlap=overlap, digest="d")
    return Made(facts=facts, cost=Cost(seconds=0.25))


def _judged(test: float, validation: float) -> Made:
    facts = JudgeFacts(
        epochs=10, budget_epochs=10, best_epoch=9, best_accuracy=validation, test_accuracy=test
    )
    return Made(facts=facts, cost=Cost(steps=200))


def _found(test: float, validation: float) -> Made:
    facts = JudgeFacts(
        epochs=0, budget_epochs=0, best_epoch=2, best_accuracy=validation, test_accuracy=test
    )
    return Made(facts=facts, cost=Cost(evaluation_samples=360))


def _ticket(flops: int = 0, size: int = 0) -> Made:
    whole: dict[str, Any] = dict.fromkeys(f.name for f in dataclasses.fields(TicketFacts))
    # 200 of the 1,000 prunable ones are gone, which are half of all.
    told = {"weights": 1000, "weights_alive": 800, "parameters": 2000}
    told |= {"flops_sparse": flops, "bytes_sparse": size}
    return Made(facts=TicketFacts(**{**whole, **told}))


# PrAC: 150 + 30 steps against vanilla's 336 + 336, the recipe's whole budget of 16 epochs of 21.
MADE = {
    "dense:conv4:prac": _trained(150, 800, 8, 0.9),
    "reduce:conv4:prac": Made(facts=CountFacts(events=800), cost=Cost(seconds=0.5)),
    "select:conv4:prac:1": _set(60, 60, 0, 0),
    "round:conv4:prac:1": _trained(30, 640, 3, 0.85),
    "select:conv4:prac:2": _set(50, 40, 20, 10),
    "judge:conv4:prac:0": _judged(0.95, 0.96),
    "judge:conv4:prac:2": _judged(0.94, 0.93),
    "dense:conv4:vanilla": _trained(336, 800, 10, 0.91),
    "round:conv4:vanilla:1": _trained(336, 640, 10, 0.89),
    "judge:conv4:vanilla:2": _judged(0.955, 0.95),
    "ticket:conv4:prac:1": _ticket(800_000, 3_200),
    "ticket:conv4:prac:2": _ticket(640_000, 2_560),
    "ticket:conv4:vanilla:2": _ticket(2, 2),
}

# Of a search whose weights go on.
AS_FOUND = {
    "judge:conv4:prac:0:as-found": _found(0.91, 0.9),
    "judge:conv4:prac:1:as-found": _found(0.92, 0.85),
    "round:conv4:prac:2": _trained(25, 640, 3, 0.84),
    "judge:conv4:prac:2:as-found": _found(0.91, 0.84),
    "judge:conv4:vanilla:0:as-found": _found(0.9, 0.91),
    "judge:conv4:vanilla:1:as-found": _found(0.93, 0.89),
    "round:conv4:vanilla:2": _trained(336, 640, 10, 0.88),
    "judge:conv4:vanilla:2:as-found": _found(0.92, 0.88),
    "start:conv4:prac": Made(facts=Facts()),
}


def _made(name: str) -> Made:
    """What a stage made; each further seed of a judgement is a hundredth worse."""
    first, _, seed = name.partition(":seed-")
    made = {**MADE, **AS_FOUND}[first]
    if not seed:
        return made
    judged = made.known(JudgeFacts)
    worse = dataclasses.replace(judged, test_accuracy=judged.test_accuracy - int(seed) / 100)
    return dataclasses.replace(made, facts=worse)


@pytest.fixture
def results(request_for, digits_data) -> Results:
    return _collect(request_for, digits_data)


def test_the_test_split_s_commonest_class_is_counted(request_for, digits_data) -> None:
    labels = np.array([0, 2, 2, 1, 2, 0, 2, 1])
    few = dataclasses.replace(
        digits_data, test_labels=labels, test_images=digits_data.test_images[:8]
    )
    assert _collect(request_for, few).commonest_share == 0.5


def _collect(request_for, digits_data, seeds: int = 1, **more: Any) -> Results:
    request = request_for(
        architectures=("conv4",), rounds=2, compare=("vanilla",), seeds=seeds, **more
    )
    graph = build_graph(request)

    return collect_results(
        request,
        graph,
        {name: _made(name) for name in graph.stages if name != "report"},
        {"round:conv4:prac:1"},
        dataset=digits_data,
        link="http://x/#/experiments/3",
        locations={graph.stages["ticket:conv4:prac:2"].key: "models:/m/4"},
    )


def _row(results: Results, method: str, index: int):
    (row,) = (r for r in results.rows if (r.method, r.round) == (method, index))
    return row


def test_rows_of_prac(results: Results) -> None:
    assert [(r.method, r.round) for r in results.rows] == [
        *(("prac", k) for k in range(3)),
        *(("vanilla", k) for k in range(3)),
    ]
    dense, first, last = (_row(results, "prac", k) for k in range(3))
    assert [r.trained for r in (dense, first, last)] == [True, True, False]
    assert [r.weights_left for r in (dense, first, last)] == [1000, 800, 640]
    assert [r.sparsity for r in (dense, first, last)] == pytest.approx([0, 0.2, 0.36])
    assert [r.set_size for r in (dense, first, last)] == [1294, 60, 50]
    assert (last.cet_size, last.cep_size, last.overlap) == (40, 20, 10)
    assert (dense.cet_size, dense.cep_size, dense.overlap) == (None, None, None)
    assert [r.steps for r in (dense, first, last)] == [150, 30, 0]
    assert [r.search_steps for r in (dense, first, last)] == [0, 150, 180]
    assert [r.steps_saved for r in (dense, first, last)] == [
        None,
        pytest.approx(1 - 150 / 336),
        pytest.approx(1 - 180 / 672),
    ]
    assert [r.validation_accuracy for r in (dense, first, last)] == [0.9, 0.85, None]
    assert [r.test_accuracy for r in (dense, first, last)] == [0.95, None, 0.94]
    assert [r.ticket for r in (dense, first, last)] == [None, None, "models:/m/4"]
    assert [r.flops_sparse for r in (dense, first, last)] == [None, 800_000, 640_000]
    assert [r.bytes_sparse for r in (dense, first, last)] == [None, 3_200, 2_560]
    assert [r.sparsity_of_all for r in (dense, first)] == [None, 0.1]


def test_rows_of_vanilla(results: Results) -> None:
    last = _row(results, "vanilla", 2)
    assert (last.set_size, last.cet_size, last.search_steps) == (1294, None, 672)
    assert last.steps_saved == 0
    assert last.test_accuracy == 0.955
    assert _row(results, "vanilla", 0).test_accuracy is None


def test_wall_time_stands_beside_steps(results: Results) -> None:
    ours, vanilla = ([_row(results, m, k) for k in range(3)] for m in ("prac", "vanilla"))
    # Round 0; then the events counted, a set chosen, and round 1. The last set is for no mask yet.
    assert [r.search_seconds for r in ours] == [0, 1.5, 1.5 + 0.5 + 0.25 + 1.5]
    assert [r.search_seconds for r in vanilla] == [0, 1.5, 3.0]
    # 73 % of the steps saved, and none of the time.
    assert [r.seconds_saved for r in ours] == [None, 0, 1 - 3.75 / 3]
    assert [r.seconds_saved for r in vanilla] == [None, 0, 0]
    assert not any(r.borrowed_from for r in results.rows)
    told = summary_json(results, {})
    assert told["searches"][0]["rests_on"] == {"searches": [], "steps": 0}
    assert told["seconds"][0] == {
        "architecture": "conv4",
        "method": "prac",
        "to_find": [0, 1.5, 3.75],
        "saved": -0.25,
        "rests_on": 0,
    }
    saved = "73.2 %", "3.8 s", "−25.0 %"
    row = result_row(results, results.rows[2])
    assert (row["saved"], row["time to find"], row["time saved"]) == saved
    (verdict,) = verdicts(results)
    assert "73 % fewer SGD steps than vanilla in 25 % more time" in verdict.text
    assert "found in 672 SGD steps (3.0 s)" in verdict.text


def test_whose_steps_a_saving_rests_on(request_for, digits_data) -> None:
    networks = ("resnet8", "conv4")
    request = request_for(architectures=networks, rounds=2, transfer_from="resnet8", compare=())
    graph = build_graph(request)
    names = [name for name in graph.stages if name != "report"]
    made = {name: _made(name.replace("resnet8", "conv4")) for name in names}
    results = collect_results(
        request, graph, made, set(), dataset=digits_data, link=None, locations={}
    )
    giver, taker = ([r for r in results.rows if r.architecture == name][-1] for name in networks)
    assert (giver.borrowed_steps, giver.borrowed_from) == (0, ())
    # Its mask m_2 had set D_1, which resnet8's round 0 made.
    assert (taker.search_steps, taker.borrowed_steps, taker.borrowed_seconds) == (180, 150, 1.5)
    assert taker.borrowed_from == ("resnet8:prac",)
    told = summary_json(results, {})
    assert told["searches"][1]["rests_on"] == {"searches": ["resnet8:prac"], "steps": 150}
    assert told["seconds"][1]["rests_on"] == 1.5
    bill = results.bills[1]
    assert (bill.borrowed_steps, bill.borrowed_seconds) == (180, 3.0)
    assert bill_table(results)[1]["steps of others"] == "180 (PrAC on resnet8)"
    said = verdicts(results)[1].text
    assert "rests on 150 SGD steps (1.5 s) that are on another bill: PrAC on resnet8." in said
    assert "another bill" not in verdicts(results)[0].text
    assert results_from_json(results_to_json(results)) == results


def test_bills_distances_and_stages(results: Results) -> None:
    prac, vanilla = results.bills
    assert (prac.method, prac.steps, prac.samples, prac.cep_samples) == ("prac", 180, 1100, 14)
    assert (vanilla.method, vanilla.steps, vanilla.seconds) == ("vanilla", 672, 3.0)
    # The first distance is between the masks of the first and the second epoch.
    distances = [d for d in results.distances if (d.method, d.round) == ("prac", 1)]
    assert [(d.epoch, d.distance) for d in distances] == [(2, 0.5), (3, 0.25)]
    assert {s.name for s in results.stages if not s.cached} == {"round:conv4:prac:1"}
    assert {s.name for s in results.stages} == set(MADE)
    assert results.dense_test_accuracy == {"conv4": 0.95}


def test_results_survive_json(results: Results) -> None:
    assert results_from_json(results_to_json(results)) == results


def test_flops_by_hand(results: Results) -> None:
    # Conv-4 on 8 x 8 x 1: 3 x 3 convolutions 1-64-64 on 64 pixels, 64-128-128 on 16, 128-10.
    products = 64 * 64 * 9 * (1 + 64) + 16 * 128 * 9 * (64 + 128) + 128 * 10
    assert results.forward_flops == {"conv4": 2 * products}
    # 800 + 300 samples forward and backward; 7 + 7 predicted for CEP, 3 + 3 for validation.
    assert results.bills[0].flops == 2 * products * (3 * 1100 + 14 + 6)


def test_seeds_by_hand(request_for, digits_data) -> None:
    results = _collect(request_for, digits_data, seeds=3)
    last = _row(results, "prac", 2)
    assert last.test_accuracies == pytest.approx((0.94, 0.93, 0.92))
    assert last.test_accuracy == pytest.approx(0.93)
    assert last.test_std == pytest.approx(0.01)
    assert results.dense_test_accuracies["conv4"] == pytest.approx((0.95, 0.94, 0.93))
    assert results.dense_validation_accuracies["conv4"] == pytest.approx((0.96, 0.96, 0.96))
    assert results.dense_test_accuracy["conv4"] == pytest.approx(0.94)
    assert results.judging_seeds == (0, 1, 2)
    assert results.num_seeds == 3
    assert results_from_json(results_to_json(results)) == results
    told = summary_json(results, {})["searches"][0]["rounds"][2]
    assert told["test_accuracies"] == pytest.approx([0.94, 0.93, 0.92])
    assert told["test_std"] == pytest.approx(0.01)
    # Judging is apart: three judgements of round 0 and of round 2, 200 steps each.
    assert results.bills[0].judging_steps == 1200
    assert results.bills[0].steps == 180


def test_the_last_line(results: Results) -> None:
    summary = summary_json(results, {"mlflow": "http://x", "run_id": "r", "report": "/r.html"})
    assert summary == json.loads(json.dumps(summary))
    assert summary["mlflow"] == "http://x"
    assert summary["dense_test_accuracy"] == {"conv4": 0.95}
    prac, vanilla = summary["searches"]
    assert (prac["architecture"], prac["method"]) == ("conv4", "prac")
    assert prac["iterations_saved"] == pytest.approx(1 - 180 / 672)
    assert vanilla["iterations_saved"] == 0
    wanted = {"sparsity", "set_size", "steps", "validation_accuracy", "test_accuracy"}
    assert all(wanted <= row.keys() for s in summary["searches"] for row in s["rounds"])
    assert prac["rounds"][2] == {
        "round": 2,
        "trained": False,
        "sparsity": 0.36,
        "set_size": 50,
        "steps": 0,
        "search_steps": 180,
        "validation_accuracy": None,
        "test_accuracy": 0.94,
        "test_accuracies": [0.94],
        "test_std": None,
        "found_test_accuracy": None,
        "found_steps": None,
        "as_found": False,
    }


def test_settings_name_what_matters_and_no_path(results: Results) -> None:
    assert results.settings["train.shares"] == "2"
    assert results.settings["precision"] == "fp32"
    assert results.settings["search.rounds"] == "2"
    assert "data.source" not in results.settings


def test_networks_as_found_where_weights_go_on(request_for, digits_data) -> None:
    found = _collect(request_for, digits_data, rewind=RewindPoint("learning-rate"))
    told = {
        (row.method, row.round): (row.found_test_accuracy, row.found_steps)
        for row in found.rows
        if row.found_test_accuracy is not None
    }
    assert told == {
        ("prac", 0): (0.91, 150),
        ("prac", 1): (0.92, 180),
        ("prac", 2): (0.91, 205),
        ("vanilla", 0): (0.9, 336),
        ("vanilla", 1): (0.93, 672),
        ("vanilla", 2): (0.92, 1008),
    }
    # The last mask cost what was trained before it; its own training is of the network as found.
    assert [row.search_steps for row in found.rows if row.round == 2] == [180, 672]
    # Testing them takes no step, and is on the bill of judging.
    steps = {
        bill.method: (bill.judging_steps, bill.judging_evaluation_samples) for bill in found.bills
    }
    assert steps == {"prac": (400, 1080), "vanilla": (200, 1080)}
    assert results_from_json(results_to_json(found)).rows == found.rows
    printed = summary_json(found, {})["searches"][0]["rounds"]
    assert [row["found_test_accuracy"] for row in printed] == [0.91, 0.92, 0.91]
    assert printed[1]["found_steps"] == 180
