"""What Optuna proposes is tried once, and all of a small space is tried."""

from __future__ import annotations

from typing import Any

import pytest

from prac.sweep.space import Axis, Space, Values, label

pytest.importorskip("optuna")

from prac.sweep.proposer import Proposer

THRESHOLD = Axis(field="select.threshold", low=0, high=3, whole=True)
CEP = Axis(field="select.cep", values=(True, False))
TOLERANCE = Axis(field="prune.tolerance", low=0.02, high=0.2)


def space_of(*axes: Axis, trials: int = 20, seed: int = 0) -> Space:
    return Space(axes=axes, sampler="optuna", trials=trials, seed=seed)


def tried(proposer: Proposer, most: int, *, told: bool = True) -> list[Values]:
    """The points of at most so many trials; the third is the best that there can be."""
    points: list[Values] = []
    while len(points) < most and (proposed := proposer.propose()) is not None:
        proposal, values = proposed
        points.append(values)
        if told:
            proposer.tell(proposal, 0.99 if len(points) == 3 else 0.5, 100)
    return points


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("told", [True, False], ids=["one by one", "all at once"])
def test_every_point_of_a_small_space_is_tried_once(seed: int, told: bool) -> None:
    space = space_of(THRESHOLD, CEP, seed=seed)
    points = tried(Proposer(space), 20, told=told)
    assert len(points) == len({label(p) for p in points}) == space.size == 8
    assert {label(p) for p in points} == {label(p) for p in space.every_point()}


@pytest.mark.parametrize("trials", [1, 2, 3, 4])
def test_three_trials_are_three_points(trials: int) -> None:
    points = tried(Proposer(space_of(THRESHOLD)), trials)
    assert len({label(p) for p in points}) == trials


def test_a_seed_says_all() -> None:
    def points(seed: int) -> list[Values]:
        return tried(Proposer(space_of(THRESHOLD, CEP, TOLERANCE, seed=seed)), 30)

    assert points(3) == points(3) != points(4)
    assert len({label(p) for p in points(3)}) == 30
    assert all(0.02 <= p["prune.tolerance"] <= 0.2 for p in points(3))


def test_it_learns_from_what_it_is_told() -> None:
    """Of 101 thresholds, the lower the better: the later half is far lower than chance."""
    axis = Axis(field="select.threshold", low=0, high=100, whole=True)
    proposer = Proposer(space_of(axis))
    points: list[int] = []
    for _ in range(40):
        proposed = proposer.propose()
        assert proposed is not None
        proposal, values = proposed
        points.append(values["select.threshold"])
        proposer.tell(proposal, 1 - points[-1] / 100, 100 + points[-1])
    assert len(set(points)) == 40
    assert sum(points[20:]) / 20 < 35


def test_what_was_begun_comes_first() -> None:
    started: list[Values] = [{"select.threshold": 2}, {"select.threshold": 0}]
    points = tried(Proposer(space_of(THRESHOLD), started), 9)
    assert points[:2] == started
    assert sorted(p["select.threshold"] for p in points) == [0, 1, 2, 3]


def test_what_was_begun_may_be_rounded_past_the_end_of_a_range() -> None:
    axis = Axis(field="prune.tolerance", low=0.02, high=0.123449)
    started: list[Values] = [{"prune.tolerance": 0.1234}, {"prune.tolerance": 0.1235}]
    points = tried(Proposer(space_of(axis), started), 1)
    assert points == started[:1]


def test_a_point_that_failed_is_not_tried_again() -> None:
    proposer = Proposer(space_of(THRESHOLD))
    found = []
    while (proposed := proposer.propose()) is not None:
        found.append(proposed[1]["select.threshold"])
        proposer.give_up(proposed[0])
    assert sorted(found) == [0, 1, 2, 3]


def test_a_space_without_an_end_that_has_a_few_points_ends() -> None:
    narrow = Axis(field="prune.tolerance", low=0.1, high=0.10015)
    points = tried(Proposer(space_of(narrow)), 20)
    assert 1 <= len(points) <= 3
    assert len({label(p) for p in points}) == len(points)


def test_tune_s_side_ends_where_nothing_is_left() -> None:
    tune: Any = pytest.importorskip("ray.tune.search")
    from prac.distributed.sweep.trials import ProposedPoints

    searcher = ProposedPoints(Proposer(space_of(THRESHOLD)))
    found = []
    for number in range(4):
        config = searcher.suggest(str(number))
        found.append(config["values"]["select.threshold"])
        result = {"accuracy": 0.9, "steps": 100} if number else None
        searcher.on_trial_complete(str(number), result, error=not number)
    assert sorted(found) == [0, 1, 2, 3]
    assert searcher.suggest("5") == tune.Searcher.FINISHED
