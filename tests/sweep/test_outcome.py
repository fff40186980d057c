"""What a sweep's run and its last line are made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import pytest
from support.played import plain_made

from prac.analysis.trials import SweepResults, TrialRow
from prac.config.recipes import digits
from prac.config.values import RewindPoint
from prac.lottery.compose import build_graph
from prac.lottery.graph import Stage
from prac.lottery.outputs import JudgeFacts, Made
from prac.lottery.request import Request
from prac.sweep.outcome import best_configuration, dense_accuracies


def _made(stages: Mapping[str, Stage], judged: Mapping[str, float]) -> dict[str, Made]:
    """All stages; any other judgement, as found or of a ticket, would move the mean."""
    made = {name: plain_made(stage) for name, stage in stages.items()}
    for name, stage in stages.items():
        if stage.kind == "judge":
            facts = made[name].known(JudgeFacts)
            facts = dataclasses.replace(facts, test_accuracy=judged.get(name, 0.1))
            made[name] = dataclasses.replace(made[name], facts=facts)
    return made


def test_the_dense_network_is_that_which_was_judged(request_for: Callable[..., Request]) -> None:
    asked = request_for(
        architectures=("conv4", "resnet8"), rounds=2, judge="all", seeds=2,
        rewind=RewindPoint("learning-rate"),
    )  # fmt: skip
    stages = build_graph(asked).stages
    assert "judge:conv4:prac:0:as-found" in stages
    made = _made(stages, {"judge:conv4:prac:0": 0.8, "judge:conv4:prac:0:seed-1": 0.9})
    del made["judge:resnet8:prac:0"]
    found = dense_accuracies(stages.values(), made)
    assert found == {"conv4": pytest.approx(0.85), "resnet8": pytest.approx(0.1)}
    assert dense_accuracies(stages.values(), {}) == {}


def test_the_dense_network_is_as_found_where_tickets_are(
    request_for: Callable[..., Request],
) -> None:
    goes_on = {"architectures": ("conv4",), "rounds": 2, "rewind": RewindPoint("learning-rate")}
    whole = dataclasses.replace(digits().prune, tolerance=None)
    stages = build_graph(request_for(**goes_on, judge="auto", prune=whole)).stages
    made = _made(stages, {"judge:conv4:prac:0:as-found": 0.7})
    assert dense_accuracies(stages.values(), made) == {"conv4": pytest.approx(0.7)}
    # Tickets that are trained alone are held against no dense network that was not.
    stages = build_graph(request_for(**goes_on, judge=(2,), prune=whole)).stages
    assert "judge:conv4:prac:0:as-found" in stages
    assert dense_accuracies(stages.values(), made) == {}


def test_the_best_is_a_command_though_its_values_have_spaces() -> None:
    label = "prune.layers=conv1 layer*.0 select.threshold=2"
    row = TrialRow(trial=0, label=label, architecture="conv4", state="finished", rounds=1)
    results = SweepResults(sweep="0" * 32, title="", num_training_samples=9, rows=(row,),
                           dense_test_accuracy={}, best=0)  # fmt: skip
    found = best_configuration(results, lambda settings: "; ".join(settings.values()))
    assert found is not None
    assert found["settings"] == {"prune.layers": "conv1 layer*.0", "select.threshold": "2"}
    assert found["command"] == "conv1 layer*.0; 2"
