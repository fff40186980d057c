"""What a trial says of its judgements and its steps, from stages drawn by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
from support.played import plain_made

from prac.analysis.trials import TrialRow
from prac.config.recipes import digits
from prac.config.values import RewindPoint
from prac.lottery.graph import Graph
from prac.lottery.outputs import JudgeFacts, Made, RoundFacts
from prac.lottery.request import Request
from prac.sweep.union import Trial, Union, trial_graph

JUDGE = "judge:conv4:prac:2"


def trial_of(request: Request) -> Trial:
    """A trial that varies nothing that matters here."""
    values = {"select.threshold": 0}
    graph = trial_graph(request, values)
    every = Union(stage.key for stage in graph.stages.values())
    return Trial(
        number=1, values=values, graph=graph, names=every.add(graph, values), full_steps=336
    )


def judged(graph: Graph, *accuracies: float) -> dict[str, Made]:
    """All that ran of a graph; the last ticket's test accuracies by seed, as far as given."""
    made = {name: plain_made(s) for name, s in graph.stages.items() if not name.startswith(JUDGE)}
    names = graph.searches[0].judgements[2]
    for name, accuracy in zip(names, accuracies, strict=False):
        plain = plain_made(graph.stages[name])
        facts = dataclasses.replace(plain.known(JudgeFacts), test_accuracy=accuracy)
        made[name] = dataclasses.replace(plain, facts=facts)
    return made


@pytest.fixture
def two_seeds(request_for: Callable[..., Request]) -> Trial:
    return trial_of(request_for(architectures=("conv4",), rounds=2, compare=(), seeds=2))


def row_of(trial: Trial, made: dict[str, Made]) -> TrialRow:
    (row,) = trial.rows(made)
    return row


def test_accuracies_are_means_over_the_seeds(two_seeds: Trial) -> None:
    row = row_of(two_seeds, judged(two_seeds.graph, 0.9, 0.8))
    assert row.test_accuracy == (0.9 + 0.8) / 2
    assert row.validation_accuracy == 0.9


def test_nothing_is_said_before_all_seeds_are_judged(two_seeds: Trial) -> None:
    for accuracies in ((0.9,), ()):
        row = row_of(two_seeds, judged(two_seeds.graph, *accuracies))
        assert (row.test_accuracy, row.validation_accuracy) == (None, None)


def test_no_row_before_a_round_and_no_ticket_before_the_last(two_seeds: Trial) -> None:
    row = row_of(two_seeds, {})
    assert (row.rounds, row.search_steps, row.steps_saved, row.set_size) == (0, 0, None, None)
    made = judged(two_seeds.graph, 0.9, 0.8)
    del made["round:conv4:prac:1"]
    row = row_of(two_seeds, made)
    assert (row.rounds, row.search_steps, row.set_size) == (1, 100, 40)
    assert row.steps_saved == pytest.approx(1 - 100 / 336)
    assert row.test_accuracy is None


def test_a_ticket_as_found_has_the_steps_and_the_budget_of_its_own_round(
    request_for: Callable[..., Request],
) -> None:
    recipe = digits()
    request = request_for(
        architectures=("conv4",), rounds=2, compare=(), judge="auto",
        rewind=RewindPoint("learning-rate"),
        prune=dataclasses.replace(recipe.prune, tolerance=None),
    )  # fmt: skip
    trial = trial_of(request)
    made = {name: plain_made(stage) for name, stage in trial.graph.stages.items()}
    row = row_of(trial, made)
    # Three trainings of 100 steps, where vanilla spends 336 on each of as many.
    assert (row.rounds, row.search_steps) == (2, 300)
    assert row.steps_saved == pytest.approx(1 - 300 / (3 * 336))
    charted = {(m.name, m.step) for m in trial.metrics(made)}
    assert ("round_steps", 2) in charted
    # Before its own round there are the masks' alone.
    last = trial.graph.searches[0].last
    assert last == "round:conv4:prac:2"
    del made[last], made["judge:conv4:prac:2:as-found"]
    row = row_of(trial, made)
    assert (row.search_steps, row.rounds) == (200, 2)
    assert row.steps_saved == pytest.approx(1 - 200 / (2 * 336))


def test_a_trial_whose_rounds_make_their_own_masks(request_for: Callable[..., Request]) -> None:
    request = request_for(
        architectures=("conv4",), rounds=2, compare=(), judge="auto",
        rewind=RewindPoint("learning-rate"),
        prune=dataclasses.replace(digits().prune, gradual=0.5),
    )  # fmt: skip
    trial = trial_of(request)
    dense, first, last = trial.graph.searches[0].all_rounds
    made = {name: plain_made(stage) for name, stage in trial.graph.stages.items()}
    row = row_of(trial, made)
    assert (row.rounds, row.search_steps, row.steps_saved) == (2, 300, 1 - 300 / (3 * 336))
    assert row.sparsity == made[last].known(RoundFacts).next_sparsity
    del made[last], made["judge:conv4:prac:2:as-found"]
    row = row_of(trial, made)
    # m_1 took the round under it, vanilla's too.
    assert (row.rounds, row.search_steps, row.steps_saved) == (1, 200, 1 - 200 / (2 * 336))
    assert row.sparsity == made[first].known(RoundFacts).next_sparsity
    # After the dense run there is no mask.
    row = row_of(trial, {dense: made[dense]})
    assert (row.rounds, row.search_steps, row.steps_saved, row.sparsity) == (0, 100, None, None)
