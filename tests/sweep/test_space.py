"""Points of a sweep, and its graphs laid over each other: nothing twice."""

from __future__ import annotations

import pytest

from prac.config.recipes import digits
from prac.errors import ConfigError
from prac.lottery.graph import Graph
from prac.lottery.request import Request
from prac.sweep.space import Axis, Space, label, short_label, varied
from prac.sweep.union import Trial, Union, swept_stages, trial_graph

THRESHOLDS = Axis(field="select.threshold", values=(0, 1, 2))
CEP = Axis(field="select.cep", values=(True, False))


def request_for(**more: object) -> Request:
    recipe = digits().replace(architectures=("resnet8",), compare=())
    values = {
        "recipe": recipe,
        "data": "d" * 32,
        "data_name": "digits",
        "num_training": 1000,
        "precision": "fp32",
    }
    return Request(**{**values, **more})  # type: ignore[arg-type]


def test_a_grid_is_every_combination_once() -> None:
    points = Space(axes=(THRESHOLDS, CEP)).points()
    assert len({label(p) for p in points}) == len(points) == 6
    doubled = Axis(field="select.threshold", values=(0, 1, 0))
    assert len(Space(axes=(doubled,)).points()) == 2


def test_random_points_differ_and_repeat_with_the_seed() -> None:
    tolerance = Axis(field="prune.tolerance", low=0.02, high=0.2)
    space = Space(axes=(THRESHOLDS, tolerance), sampler="random", trials=7, seed=3)
    assert space.points() == space.points()
    assert len({label(p) for p in space.points()}) == 7
    assert all(0.02 <= p["prune.tolerance"] <= 0.2 for p in space.points())
    other = Space(axes=(THRESHOLDS, tolerance), sampler="random", trials=7, seed=4)
    assert other.points() != space.points()


def test_random_points_of_a_small_grid_are_each_tried_once() -> None:
    space = Space(axes=(THRESHOLDS,), sampler="random", trials=50)
    assert sorted(p["select.threshold"] for p in space.points()) == [0, 1, 2]
    ranged = Axis(field="select.threshold", low=0, high=3, whole=True)
    points = Space(axes=(ranged,), sampler="random", trials=50).points()
    assert sorted(p["select.threshold"] for p in points) == [0, 1, 2, 3]


def test_the_size_of_a_space() -> None:
    whole = Axis(field="select.threshold", low=0, high=3, whole=True)
    tolerance = Axis(field="prune.tolerance", low=0.02, high=0.2)
    doubled = Axis(field="select.threshold", values=(0, 1, 0))
    assert Space(axes=(THRESHOLDS, CEP)).size == 6
    assert Space(axes=(doubled,)).size == 2
    assert Space(axes=(whole, CEP), sampler="random", trials=8).size == 8
    assert Space(axes=(whole, tolerance), sampler="random", trials=8).size is None
    small = {t: Space(axes=(whole,), sampler="random", trials=t).small_size for t in (3, 4, 5)}
    assert small == {3: None, 4: None, 5: 4}


def test_words_of_a_point() -> None:
    point = {"select.cep": False, "prune.tolerance": None, "prune.fraction": 0.1235}
    assert label(point) == "select.cep=false prune.tolerance=none prune.fraction=0.1235"
    assert short_label({"select.threshold": 2, "select.cep": True}) == "threshold=2,cep=true"


def test_listed_values_are_tried_as_they_were_asked_for() -> None:
    """Only what is drawn from a range is rounded."""
    listed = Axis(field="prune.tolerance", values=(0.12341, 0.12344))
    ranged = Axis(field="prune.fraction", low=0.123411, high=0.9)
    assert [p["prune.tolerance"] for p in Space(axes=(listed,)).points()] == [0.12341, 0.12344]
    for point in Space(axes=(listed, ranged), sampler="random", trials=9).points():
        assert point["prune.tolerance"] in listed.values
        assert point["prune.fraction"] == float(f"{point['prune.fraction']:.4g}")


def test_a_value_that_a_field_refuses_is_an_error() -> None:
    assert varied(digits(), {"prune.patience": 2, "prune.fraction": 0.5}).prune.patience == 2
    with pytest.raises(ConfigError, match=r"select\.threshold"):
        varied(digits(), {"select.threshold": -1})


def laid_over(space: Space, request: Request) -> tuple[Union, list[Trial]]:
    probes = [swept_stages(trial_graph(request, values)) for values in space.probes()]
    common = set.intersection(*({s.key for s in stages} for stages in probes))
    union = Union(common)
    union.add(Graph({s.name: s for s in probes[0] if s.key in common}, ()), {})
    trials = []
    for number, values in enumerate(space.points(), 1):
        graph = trial_graph(request, values)
        names = union.add(graph, values)
        trial = Trial(number=number, values=values, graph=graph, names=names, full_steps=336)
        trials.append(trial)
    return union, trials


def test_every_key_is_one_stage() -> None:
    union, trials = laid_over(Space(axes=(THRESHOLDS, CEP)), request_for())
    keys = [stage.key for stage in union.stages.values()]
    assert len(set(keys)) == len(keys)
    assert {s.key for t in trials for s in swept_stages(t.graph)} == set(keys)
    assert sum(s.kind == "dense" for s in union.stages.values()) == 1
    assert all(name == stage.name for name, stage in union.stages.items())
    order = list(union.stages)
    for name, stage in union.stages.items():
        assert all(order.index(other) < order.index(name) for other in stage.inputs.values())


def test_what_all_trials_share_keeps_its_plain_name() -> None:
    union, _ = laid_over(Space(axes=(THRESHOLDS,)), request_for())
    shared = [name for name in union.stages if "threshold=" not in name]
    assert shared == ["dense:resnet8:prac", "reduce:resnet8:prac", "judge:resnet8:prac:0"]


def test_scores_and_samplers_share_the_dense_run_and_the_scores() -> None:
    score = Axis(field="select.score", values=("el2n", "margin"))
    sampler = Axis(field="select.sampler", values=("top", "ccs"))
    size = Axis(field="select.fraction", values=(0.2, 0.4))
    union, trials = laid_over(Space(axes=(score, sampler, size)), request_for())
    kinds = [stage.kind for stage in union.stages.values()]
    assert len(trials) == 8
    assert (kinds.count("dense"), kinds.count("score")) == (1, 2)
    # Two scores by two samplers by two sizes, in every round.
    assert kinds.count("subset") == 8 * trials[0].rounds


def test_of_critical_sets_there_is_one_whatever_the_sizes() -> None:
    score = Axis(field="select.score", values=("el2n", "critical"))
    size = Axis(field="select.fraction", values=(0.2, 0.4))
    union, trials = laid_over(Space(axes=(score, size)), request_for())
    kinds = [stage.kind for stage in union.stages.values()]
    rounds = trials[0].rounds
    assert len(trials) == 4
    assert (kinds.count("dense"), kinds.count("score"), kinds.count("reduce")) == (1, 1, 1)
    assert kinds.count("subset") == 2 * rounds
    assert kinds.count("select") == rounds
    # They have no sampler: such a trial is refused before any other is trained.
    sampler = Axis(field="select.sampler", values=("top", "ccs"))
    with pytest.raises(ConfigError, match="'ccs' takes samples by a score"):
        laid_over(Space(axes=(score, sampler, size)), request_for())


def test_a_tolerance_changes_the_dense_run_too() -> None:
    axis = Axis(field="prune.tolerance", values=(None, 0.05))
    union, _ = laid_over(Space(axes=(axis,)), request_for())
    assert sum(s.kind == "dense" for s in union.stages.values()) == 2


def test_a_vanilla_comparison_is_shared_by_all() -> None:
    request = request_for()
    request = request_for(recipe=request.recipe.replace(compare=("vanilla",)))
    union, _ = laid_over(Space(axes=(THRESHOLDS,)), request)
    vanilla = [name for name, s in union.stages.items() if s.method == "vanilla"]
    assert vanilla
    assert not any("threshold=" in name for name in vanilla)


def test_goals_are_rounds_then_everything() -> None:
    _, trials = laid_over(Space(axes=(THRESHOLDS,)), request_for())
    last = trials[-1]
    assert last.stages_for(0) == ["dense:resnet8:prac"]
    assert last.stages_for(1) == ["round:resnet8:prac:1:threshold=2"]
    assert set(last.stages_for(last.rounds)) == set(last.names.values())


def test_what_a_space_holds() -> None:
    listed = Axis(field="select.threshold", values=(0, None, "top"))
    whole = Axis(field="prune.patience", low=2, high=5, whole=True)
    share = Axis(field="prune.fraction", low=0.123456, high=0.4)
    space = Space(axes=(listed, whole, share), sampler="random", trials=50, seed=3)
    assert all(space.holds(point) for point in space.points())
    point = {"select.threshold": 0, "prune.patience": 2, "prune.fraction": 0.2}
    assert space.holds(point)
    assert space.holds({**point, "select.threshold": None, "prune.fraction": 0.4})
    wrong = [("select.threshold", 1), ("select.threshold", False), ("prune.patience", 6)]
    wrong += [("prune.patience", 2.5), ("prune.patience", True), ("prune.patience", None)]
    wrong += [("prune.fraction", 0.41), ("prune.fraction", "0.2"), ("prune.fraction", float("nan"))]
    for field, value in [*wrong, ("train.epochs", 3)]:
        assert not space.holds({**point, field: value}), (field, value)
    del point["prune.patience"]
    assert not space.holds(point)
