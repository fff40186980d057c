"""The graph as a value: keys that change with what they read and with nothing else."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import pytest

from prac.config.recipes import digits
from prac.config.sections import BudgetConfig, DataConfig, PruneConfig, SelectConfig
from prac.config.values import RewindPoint, Share
from prac.errors import ConfigError
from prac.lottery.compose import build_graph
from prac.lottery.graph import Graph, Stage
from prac.lottery.request import Request
from prac.lottery.stage_config import RoundConfig


def _keys(request: Request) -> dict[str, str]:
    return {name: stage.key for name, stage in build_graph(request).stages.items()}


def _changed(before: Request, after: Request) -> set[str]:
    """The stages of both whose keys differ."""
    old, new = _keys(before), _keys(after)
    return {name for name in old.keys() & new.keys() if old[name] != new[name]}


def _kinds(names: set[str]) -> set[str]:
    return {name.partition(":")[0] for name in names}


def test_keys_are_distinct_and_in_order(request_for) -> None:
    graph = build_graph(request_for(judge="all"))
    assert len({stage.key for stage in graph.stages.values()}) == len(graph.stages)
    assert all(len(stage.key) == 32 for stage in graph.stages.values())
    seen: set[str] = set()
    for name, stage in graph.stages.items():
        assert stage.name == name
        assert set(stage.inputs.values()) <= seen
        seen.add(name)
    assert graph.targets == ("report",)


def test_the_same_request_has_the_same_keys(request_for) -> None:
    assert _keys(request_for()) == _keys(request_for())


def test_one_more_round_leaves_earlier_keys(request_for) -> None:
    before, after = request_for(judge="all"), request_for(rounds=4, judge="all")
    assert _keys(before).keys() < _keys(after).keys()
    assert _changed(before, after) == {"report"}


def test_more_judgements_change_only_their_tickets(request_for) -> None:
    changed = _changed(request_for(judge="none"), request_for(judge="last"))
    assert changed == {"ticket:resnet8:prac:3", "ticket:conv4:prac:3", "report"}


def test_the_threshold_changes_what_follows_the_selection(request_for) -> None:
    before = request_for()
    changed = _changed(before, request_for(select=SelectConfig(threshold=2)))
    unchanged = build_graph(before).stages.keys() - changed
    assert _kinds(unchanged) == {"dense", "reduce", "round", "judge", "ticket"}
    assert {name for name in unchanged if not name.startswith(("dense", "reduce"))} == {
        # The dense judgement, and all of vanilla.
        *(f"judge:{a}:prac:0" for a in ("resnet8", "conv4")),
        *(f"round:{a}:vanilla:{k}" for a in ("resnet8", "conv4") for k in (1, 2)),
        *(f"{kind}:{a}:vanilla:3" for a in ("resnet8", "conv4") for kind in ("judge", "ticket")),
    }


def test_a_late_threshold_leaves_the_sets_before_it(request_for) -> None:
    late = SelectConfig(late_threshold=2, late_from=2)
    changed = _changed(request_for(), request_for(select=late))
    ours = {name for name in changed if name.startswith("select:")}
    assert ours == {f"select:{a}:prac:{k}" for a in ("resnet8", "conv4") for k in (2, 3)}


def test_easy_samples_follow_their_share_and_the_seed(request_for) -> None:
    easy = SelectConfig(easy=0.25)
    changed = _changed(request_for(), request_for(select=easy))
    assert "select:resnet8:prac:1" in changed
    assert not changed & {"dense:resnet8:prac", "reduce:resnet8:prac"}
    config = build_graph(request_for(select=easy)).stages["select:resnet8:prac:2"].config
    assert (config.easy, config.draw) == (0.25, (0, 2))
    again = request_for(select=easy, seed=5)
    assert build_graph(again).stages["select:resnet8:prac:2"].config.draw == (5, 2)
    # Sets without them are the same for every seed, but for what they are made of.
    plain = [request_for(seed=seed) for seed in (0, 5)]
    assert len({build_graph(r).stages["select:resnet8:prac:2"].config for r in plain}) == 1


def test_transfer_takes_the_source_s_easy_samples(request_for) -> None:
    easy = SelectConfig(easy=0.25)
    graph = build_graph(request_for(select=easy, transfer_from="resnet8"))
    assert graph.stages["round:conv4:prac:2"].inputs["samples"] == "select:resnet8:prac:2"
    assert graph.stages["select:resnet8:prac:2"].config.easy == 0.25


def test_the_cep_model_changes_pruned_rounds_not_the_dense_run(request_for) -> None:
    changed = _changed(request_for(), request_for(select=SelectConfig(cep_model="pruned")))
    assert "dense:resnet8:prac" not in changed
    assert "select:resnet8:prac:1" not in changed
    assert {"round:resnet8:prac:1", "select:resnet8:prac:2"} <= changed


def test_shares_change_everything(request_for) -> None:
    before = request_for()
    train = dataclasses.replace(before.recipe.train, shares=1)
    assert _changed(before, request_for(train=train)) == build_graph(before).stages.keys()


@pytest.mark.parametrize(
    "change", [{"data": "e" * 32}, {"seed": 1}, {"precision": "bf16"}], ids=lambda c: str(c)
)
def test_data_seed_and_precision_change_everything(request_for, change) -> None:
    before = request_for()
    assert _changed(before, request_for(**change)) == build_graph(before).stages.keys()


def test_pruning_changes_dense(request_for) -> None:
    changed = _changed(request_for(), request_for(prune=PruneConfig(tolerance=0.07)))
    assert "dense:resnet8:prac" in changed
    # Vanilla stops no round early: the tolerance is nothing it reads.
    assert "dense:resnet8:vanilla" not in changed


@pytest.mark.parametrize(
    "budget", [{"scaling": "steps"}, {"min_round_epochs": 3}, {"min_round_steps": Share(0.5)}]
)
def test_budgets_of_sets_are_nothing_that_trainings_on_everything_read(request_for, budget) -> None:
    changed = _changed(request_for(), request_for(budget=BudgetConfig(**budget)))
    assert "round:resnet8:prac:1" in changed
    assert not {n for n in changed if n.startswith(("dense:", "reduce:", "judge:resnet8:prac:0"))}
    assert not {name for name in changed if ":vanilla:" in name}


def test_paths_are_in_no_key(request_for) -> None:
    here, there = (
        request_for(data=f"{1:032}", data_name="faces", recipe=_recipe_of(f"folder:/{where}/faces"))
        for where in ("here", "there")
    )
    assert _changed(here, there) == set()


def _recipe_of(source: str):
    return digits().replace(data=DataConfig(source=source))


def test_machinery_has_no_place_in_a_request() -> None:
    names = {field.name for field in dataclasses.fields(Request)}
    machinery = {"storage", "home", "tracking_uri", "workers", "cpus_per_round", "gpus_per_round"}
    assert not names & machinery


def test_the_random_subset_shares_the_dense_run(request_for) -> None:
    graph = build_graph(request_for())
    rounds = {(s.architecture, s.method): s.rounds for s in graph.searches}
    assert rounds["conv4", "random-subset"][0] == rounds["conv4", "prac"][0] == "dense:conv4:prac"
    assert rounds["conv4", "vanilla"][0] == "dense:conv4:vanilla"
    assert "dense:conv4:random-subset" not in graph.stages


def test_the_dense_network_is_judged_once_per_architecture(request_for) -> None:
    graph = build_graph(request_for(judge="all"))
    dense = [n for n, s in graph.stages.items() if s.kind == "judge" and s.round_index == 0]
    assert dense == ["judge:resnet8:prac:0", "judge:conv4:prac:0"]
    ticket = graph.stages["ticket:conv4:vanilla:3"]
    assert ticket.inputs["dense_judge"] == "judge:conv4:prac:0"


def test_every_prac_ticket_is_kept_and_others_where_judged(request_for) -> None:
    graph = build_graph(request_for(judge=(2,)))
    tickets = {(s.architecture, s.method): tuple(s.tickets) for s in graph.searches}
    assert tickets["conv4", "prac"] == (1, 2, 3)
    assert tickets["conv4", "vanilla"] == tickets["conv4", "random-subset"] == (2,)


def test_what_each_stage_reads(request_for) -> None:
    stages = build_graph(request_for()).stages
    expected: Mapping[str, Mapping[str, str]] = {
        "dense:conv4:prac": {},
        "reduce:conv4:prac": {"dense": "dense:conv4:prac"},
        "select:conv4:prac:1": {"statistics": "reduce:conv4:prac"},
        "round:conv4:prac:1": {
            "before": "dense:conv4:prac",
            "rewind": "dense:conv4:prac",
            "samples": "select:conv4:prac:1",
        },
        "select:conv4:prac:2": {
            "statistics": "round:conv4:prac:1",
            "dense": "dense:conv4:prac",
            "pruned": "round:conv4:prac:1",
        },
        "subset:conv4:random-subset:2": {"size": "select:conv4:prac:2"},
        "round:conv4:vanilla:2": {
            "before": "round:conv4:vanilla:1",
            "rewind": "dense:conv4:vanilla",
        },
        "judge:conv4:prac:3": {"rewind": "dense:conv4:prac", "before": "round:conv4:prac:2"},
        "judge:conv4:prac:0": {"rewind": "dense:conv4:prac"},
    }
    for name, inputs in expected.items():
        assert stages[name].inputs == inputs, name


def test_without_cep_the_selection_reads_no_predictions_of_dense(request_for) -> None:
    stages = build_graph(request_for(select=SelectConfig(cep=False))).stages
    assert stages["select:conv4:prac:2"].inputs == {"statistics": "round:conv4:prac:1"}


def _config(stage: Stage) -> RoundConfig | None:
    return stage.config if isinstance(stage.config, RoundConfig) else None


def test_transfer_targets_take_the_source_s_sets(request_for) -> None:
    graph = build_graph(request_for(transfer_from="conv4"))
    targets = [s for s in graph.stages.values() if s.architecture == "resnet8"]
    assert not [s.name for s in targets if s.kind in ("reduce", "select")]
    assert not [s.name for s in targets if _config(s) and _config(s).records_events]
    rounds = {s.round_index: s for s in targets if (s.kind, s.method) == ("round", "prac")}
    assert {k: s.inputs["samples"] for k, s in rounds.items()} == {
        1: "select:conv4:prac:1",
        2: "select:conv4:prac:2",
    }
    subsets = [s for s in targets if s.kind == "subset"]
    # A random subset of the same size and seed is the same for all architectures.
    assert subsets == []
    assert graph.stages["round:resnet8:random-subset:1"].inputs["samples"] == (
        "subset:conv4:random-subset:1"
    )
    samples = {(s.architecture, s.method): s.samples for s in graph.searches}
    assert samples["resnet8", "prac"] == samples["conv4", "prac"]


def test_transfer_shares_the_source_s_own_stages(request_for) -> None:
    alone = _keys(request_for())
    source = {
        name: key
        for name, key in _keys(request_for(transfer_from="resnet8")).items()
        if ":resnet8:" in name and not name.startswith("ticket")
    }
    assert source.items() <= alone.items()


def test_round_0_and_rounds_that_make_sets_record_events(request_for) -> None:
    stages = build_graph(request_for()).stages.values()
    recorded = {s.name for s in stages if _config(s) and _config(s).records_events}
    assert recorded == {
        f"{kind}:{architecture}:{name}"
        for architecture in ("resnet8", "conv4")
        for kind, name in (
            ("dense", "prac"),
            ("dense", "vanilla"),
            ("round", "prac:1"),
            ("round", "prac:2"),
        )
    }


def _names(stages: list[Stage]) -> list[str]:
    return [stage.name for stage in stages]


def test_all_has_to_run_at_first_and_nothing_at_the_end(request_for) -> None:
    graph = build_graph(request_for())
    assert _names(graph.to_run([])) == list(graph.stages)
    assert graph.to_run([graph.stages["report"].key]) == []
    assert _names(graph.to_run([s.key for s in graph.stages.values() if s.kind != "report"])) == [
        "report"
    ]


def _done_but(graph: Graph, *names: str) -> list[str]:
    return [stage.key for name, stage in graph.stages.items() if name not in names]


def test_only_what_is_missing_runs(request_for) -> None:
    graph = build_graph(request_for())
    missing = ("judge:conv4:prac:3", "ticket:conv4:prac:3", "report")
    assert _names(graph.to_run(_done_but(graph, *missing))) == list(missing)


def test_what_nobody_reads_any_more_is_left_out(request_for) -> None:
    graph = build_graph(request_for()).only(["select"])
    # All selections are there; that the dense run is gone troubles nobody.
    assert graph.to_run([s.key for s in graph.stages.values() if s.kind == "select"]) == []
    # The last is missing: it needs round 2 and dense again, not the other selections.
    missing = _done_but(
        graph, "select:conv4:prac:3", "round:conv4:prac:2", "dense:conv4:prac", "report"
    )
    assert _names(graph.to_run(missing)) == [
        "dense:conv4:prac",
        "round:conv4:prac:2",
        "select:conv4:prac:3",
    ]


def test_only_some_kinds(request_for) -> None:
    graph = build_graph(request_for(judge="none")).only(["dense", "reduce"])
    assert {stage.kind for stage in graph.to_run([])} == {"dense", "reduce"}
    assert "report" not in graph.targets


def test_steps_are_bounded_by_the_full_budget(request_for) -> None:
    request = request_for()
    stages = build_graph(request).stages
    steps = request.recipe.train.epochs * 21  # batches of 64 in 1,294 samples
    for stage in stages.values():
        expected = steps if stage.kind in ("dense", "round", "judge") else 0
        assert stage.max_steps == expected, stage.name


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"transfer_from": "vgg8s"}, "allowed: resnet8, conv4"),
        ({"judge": (0, 4)}, "rounds 0 to 3"),
        ({"judge": (-1,)}, "rounds 0 to 3"),
        ({"judge": "lst"}, "--judge 'lst' is not allowed; allowed: auto, found, last, all, none,"),
        ({"judge": ""}, "--judge '' is not allowed"),
        ({"judge": 3}, "--judge 3 is not allowed"),
        ({"judge": (1.5,)}, "rounds 0 to 3"),
        ({"seeds": 0}, "--seeds 0 is not allowed; allowed: 1 to 100"),
    ],
)
def test_requests_that_are_refused(request_for, change, said) -> None:
    with pytest.raises(ConfigError, match=said):
        request_for(**change)


def test_more_seeds_add_judgements_and_change_nothing_else(request_for) -> None:
    before, after = request_for(seed=5), request_for(seed=5, seeds=3)
    assert _changed(before, after) == {"report"}
    added = _keys(after).keys() - _keys(before).keys()
    assert added == {
        f"{stage.name}:seed-{seed}"
        for stage in build_graph(before).stages.values()
        if stage.kind == "judge"
        for seed in (6, 7)
    }


def test_judgements_of_all_searches_are_paired_by_seed(request_for) -> None:
    graph = build_graph(request_for(seed=5, seeds=3))
    for search in graph.searches:
        assert set(search.judgements) == ({0, 3} if search.method == "prac" else {3})
        for names in search.judgements.values():
            configs = [graph.stages[name].config for name in names]
            assert [config.seed for config in configs] == [5, 6, 7]
            assert len({dataclasses.replace(config, seed=0) for config in configs}) == 1
            assert len({tuple(graph.stages[name].inputs.items()) for name in names}) == 1
    ticket = graph.stages["ticket:conv4:prac:3"]
    assert ticket.inputs["judge"] == "judge:conv4:prac:3"


def test_judged_rounds(request_for) -> None:
    assert request_for(judge="last").judged_rounds == (0, 3)
    assert request_for(judge="all").judged_rounds == (0, 1, 2, 3)
    assert request_for(judge="none").judged_rounds == ()
    assert request_for(judge=(3, 1, 3)).judged_rounds == (1, 3)


def test_tickets_are_tested_as_found_where_weights_go_on(request_for) -> None:
    goes_on = RewindPoint("learning-rate")
    assert request_for(rewind=goes_on, judge="auto").as_found
    assert request_for(rewind=goes_on, judge="found").as_found
    # Weights that go back, several trainings of a ticket, and whoever asks for judgements.
    assert not request_for(judge="auto").as_found
    assert not request_for(rewind=goes_on, judge="auto", seeds=3).as_found
    for judge in ("last", "all", "none", (3,)):
        assert not request_for(rewind=goes_on, judge=judge).as_found
    assert request_for(judge="auto").judged_rounds == (0, 3)
    with pytest.raises(ConfigError, match=r"search.rewind=epoch:1 takes back; allowed: last"):
        request_for(judge="found")
    with pytest.raises(ConfigError, match="--seeds 2 has nothing to vary"):
        request_for(rewind=goes_on, judge="found", seeds=2)


def test_a_method_by_itself_has_what_it_borrows_and_no_more(request_for) -> None:
    request = request_for(compare=("vanilla", "random-subset"))
    graph = build_graph(dataclasses.replace(request, searches=2))
    vanilla = graph.by(("vanilla",)).needed()
    trained = [stage.name for stage in vanilla if stage.kind in ("dense", "round")]
    # Of both searches. PrAC's dense run, which may stop early, is what a ticket is held against.
    assert trained == [
        *("dense:resnet8:prac", "dense:resnet8:vanilla"),
        *("round:resnet8:vanilla:1", "round:resnet8:vanilla:2"),
        *("dense:conv4:prac", "dense:conv4:vanilla"),
        *("round:conv4:vanilla:1", "round:conv4:vanilla:2"),
        "dense:resnet8:vanilla:search-1",
        *(f"round:resnet8:vanilla:search-1:{k}" for k in (1, 2)),
        "dense:conv4:vanilla:search-1",
        *(f"round:conv4:vanilla:search-1:{k}" for k in (1, 2)),
    ]
    assert {s.name for s in vanilla if s.kind == "ticket"} == {
        "ticket:resnet8:vanilla:3", "ticket:conv4:vanilla:3"
    }  # fmt: skip
    # Sizes are borrowed: PrAC's rounds are needed, its tickets are not.
    control = {stage.name for stage in graph.by(("random-subset",)).needed()}
    assert "round:resnet8:prac:2" in control
    assert not [name for name in control if name.startswith("ticket:resnet8:prac")]
    assert "report" not in control
    every = graph.by(("prac", "vanilla", "random-subset")).needed()
    assert {s.name for s in every} == {s.name for s in graph.needed()} - {"report"}
    with pytest.raises(ConfigError, match="searched method 'snip' is not known; known: prac"):
        graph.by(("snip",))


def test_repeats_of_a_search_have_judgements_and_no_tickets(request_for) -> None:
    one, three = (
        build_graph(dataclasses.replace(request_for(), searches=number)) for number in (1, 3)
    )
    for searches in three.repeats:
        assert all(search.judgements and not search.tickets for search in searches)
    tickets = [
        {name for name, stage in graph.stages.items() if stage.kind == "ticket"}
        for graph in (one, three)
    ]
    assert tickets[0] == tickets[1]
