"""The graph with every method: the right stages, and what can be shared is one stage."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from prac.cli.options import with_settings
from prac.config.methods import METHODS
from prac.config.sections import PruneConfig, SelectConfig
from prac.errors import ConfigError
from prac.lottery.bill import borrowed_stages, own_stages
from prac.lottery.compose import build_graph
from prac.lottery.graph import Graph
from prac.lottery.method_config import sampler_settings, score_settings
from prac.selection.scores import Evidence
from prac.selection.subsets import score_samples, take_by_score

ALL = tuple(name for name in METHODS if name != "prac")
CCS = ("el2n-ccs", "margin-ccs", "dual-ccs", "forgets-ccs")
N = 3


@pytest.fixture
def graph(request_for) -> Graph:
    return build_graph(request_for(architectures=("resnet8",), compare=ALL, judge="all"))


def rounds_of(graph: Graph, architecture: str = "resnet8") -> dict[str, tuple[str, ...]]:
    return {s.method: s.rounds for s in graph.searches if s.architecture == architecture}


def test_every_method_has_a_search_and_its_stages(graph: Graph) -> None:
    assert [search.method for search in graph.searches] == list(METHODS)
    for search in graph.searches:
        assert len(search.rounds) == len(search.masks) == N
        assert len(search.samples) in (0, N)
        assert set(search.judgements) == {1, 2, 3} | ({0} if search.method == "prac" else set())
        assert set(search.tickets) == {1, 2, 3}
        for names in (search.rounds, search.masks, search.samples):
            assert all(name in graph.stages for name in names)


def test_dense_runs_that_are_the_same_are_one_stage(graph: Graph) -> None:
    first = {method: rounds[0] for method, rounds in rounds_of(graph).items()}
    vanilla = {"vanilla", "random-pruning", "random-erk", "one-shot", "no-early-stop"}
    untrained = {"snip", "grasp", "synflow"}
    for method, name in first.items():
        if method in untrained:
            assert name == f"prune:resnet8:{method}:0"
        else:
            owner = "vanilla" if method in vanilla else "prac"
            assert name == f"dense:resnet8:{owner}", method
    assert Counter(s.kind for s in graph.stages.values())["dense"] == 2


def test_random_tickets_share_the_whole_search(graph: Graph) -> None:
    searches = {s.method: s for s in graph.searches}
    prac, random = searches["prac"], searches["random-tickets"]
    assert (random.rounds, random.masks, random.samples) == (prac.rounds, prac.masks, prac.samples)
    own = [s.name for s in graph.stages.values() if s.method == "random-tickets"]
    assert Counter(name.partition(":")[0] for name in own) == {"start": 1, "judge": 3, "ticket": 3}
    judge = graph.stages[random.judgements[2][0]]
    assert judge.inputs == {"rewind": "start:resnet8:random-tickets", "before": prac.rounds[1]}
    ticket = graph.stages[random.tickets[2]]
    assert ticket.inputs["rewind"] == "start:resnet8:random-tickets"
    assert graph.stages[prac.tickets[2]].inputs["rewind"] == prac.rounds[0]


def test_what_each_stage_reads(graph: Graph) -> None:
    a = "resnet8"
    expected = {
        f"prune:{a}:random-pruning:0": {},
        f"prune:{a}:random-pruning:1": {"before": f"prune:{a}:random-pruning:0"},
        f"select:{a}:cet-only:2": {"statistics": f"round:{a}:cet-only:1"},
        f"select:{a}:cep-only:2": {
            "statistics": f"round:{a}:cep-only:1",
            "dense": f"dense:{a}:prac",
            "pruned": f"round:{a}:cep-only:1",
        },
        f"select:{a}:no-early-stop:1": {"statistics": f"reduce:{a}:no-early-stop"},
        f"reduce:{a}:no-early-stop": {"dense": f"dense:{a}:vanilla"},
        f"round:{a}:rs2:2": {
            "before": f"round:{a}:rs2:1",
            "rewind": f"dense:{a}:prac",
            "size": f"select:{a}:prac:2",
            "epochs": f"round:{a}:prac:2",
        },
        f"round:{a}:random-subset:2": {
            "before": f"round:{a}:random-subset:1",
            "rewind": f"dense:{a}:prac",
            "samples": f"subset:{a}:random-subset:2",
            "epochs": f"round:{a}:prac:2",
        },
        f"score:{a}:entropy:2": {"model": f"round:{a}:entropy:1"},
        f"subset:{a}:entropy:2": {"size": f"select:{a}:prac:2", "scores": f"score:{a}:entropy:2"},
        f"score:{a}:el2n": {"dense": f"dense:{a}:prac"},
        f"subset:{a}:el2n-ccs:3": {"size": f"select:{a}:prac:3", "scores": f"score:{a}:el2n"},
        f"subset:{a}:el2n:3": {"size": f"select:{a}:prac:3", "scores": f"score:{a}:el2n"},
        "proxy:resnet8": {},
        "score:proxy": {"model": "proxy:resnet8"},
        f"subset:{a}:proxy:1": {"size": f"select:{a}:prac:1", "scores": "score:proxy"},
        f"prune:{a}:snip:0": {},
        f"prune:{a}:snip:2": {"before": f"prune:{a}:snip:1"},
        f"judge:{a}:snip:3": {"rewind": f"start:{a}:snip", "before": f"prune:{a}:snip:2"},
        f"judge:{a}:random-pruning:3": {
            "rewind": f"dense:{a}:vanilla",
            "before": f"prune:{a}:random-pruning:2",
        },
    }
    for name, inputs in expected.items():
        assert graph.stages[name].inputs == inputs, name
    ticket = graph.stages[f"ticket:{a}:random-pruning:2"].inputs
    assert ticket["mask"] == f"prune:{a}:random-pruning:1"
    assert ticket["training_0"] == f"dense:{a}:vanilla"
    assert f"round:{a}:random-pruning:1" not in graph.stages


def test_before_training_there_is_nothing_to_train(graph: Graph) -> None:
    for method in ("snip", "grasp", "synflow"):
        mine = {s.kind for s in graph.stages.values() if s.method == method}
        assert mine == {"prune", "start", "judge", "ticket"} - ({"start"} if method != "snip" else
                                                                set())  # fmt: skip
    # The initial weights are the same for all of them.
    starts = [s.name for s in graph.stages.values() if s.kind == "start"]
    assert starts == ["start:resnet8:random-tickets", "start:resnet8:snip"]


def test_scores_and_masks_are_on_the_bill_of_who_asked(graph: Graph) -> None:
    beside = {
        search.method: [
            name
            for name in own_stages(search, graph)
            if name.partition(":")[0] in ("proxy", "score", "prune")
        ]
        for search in graph.searches
    }
    assert beside["entropy"] == [f"score:resnet8:entropy:{k}" for k in (1, 2, 3)]
    assert beside["proxy"] == ["proxy:resnet8", "score:proxy"]
    assert beside["dual"] == ["score:resnet8:dual"]
    for method in ("random-pruning", "random-erk", "one-shot", "snip", "grasp", "synflow"):
        assert beside[method] == [f"prune:resnet8:{method}:{k}" for k in range(3)]
    for method in ("prac", "vanilla", "random-subset", "random-tickets", "cet-only", "rs2"):
        assert beside[method] == []
    # PrAC's rounds are borrowed, but for those who have them as their own.
    borrowed = {s.method: borrowed_stages(s, graph) for s in graph.searches}
    assert borrowed["rs2"] == ["round:resnet8:prac:1", "round:resnet8:prac:2"]
    assert borrowed["random-tickets"] == borrowed["vanilla"] == borrowed["snip"] == []


def test_one_proxy_serves_all_architectures(request_for) -> None:
    graph = build_graph(request_for(architectures=("resnet8", "conv4"), compare=("proxy",)))
    assert [s.name for s in graph.stages.values() if s.kind in ("proxy", "score")] == [
        "proxy:resnet8",
        "score:proxy",
    ]


def keys(graph: Graph) -> dict[str, str]:
    return {name: stage.key for name, stage in graph.stages.items()}


def test_another_method_changes_no_key_of_the_others(request_for) -> None:
    alone = keys(build_graph(request_for(compare=("vanilla",))))
    together = keys(build_graph(request_for(compare=ALL)))
    # Dense judgements and the report list what there is.
    changed = {n for n in alone.keys() & together.keys() if alone[n] != together[n]}
    assert changed == {"report"}
    assert alone.keys() - together.keys() == set()


@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        ({"select": SelectConfig(options={"window": 4})},
         {("score", "dual"), ("subset", "dual"), ("subset", "dual-ccs"),
          ("score", "dyn-unc"), ("subset", "dyn-unc"),
          ("score", "tdds"), ("subset", "tdds")}),
        ({"select": SelectConfig(options={"strata": 7})}, {("subset", m) for m in CCS}),
        ({"select": SelectConfig(options={"score_epochs": 4})},
         {(k, m) for m in ("el2n", "margin", "dual", "dyn-unc", "tdds", "forgets")
          for k in ("score", "subset")}
         | {("subset", m) for m in ("el2n-balanced", *CCS)}),
        ({"select": SelectConfig(options={"proxy_epochs": 4})},
         {("proxy", ""), ("score", ""), ("subset", "proxy")}),
        ({"prune": PruneConfig(iterations=4)},
         {("prune", m) for m in ("snip", "grasp", "synflow")}),
        ({"prune": PruneConfig(scoring_samples=4)}, {("prune", m) for m in ("snip", "grasp")}),
    ],
)  # fmt: skip
def test_a_setting_changes_what_reads_it_and_no_more(request_for, change, kinds) -> None:
    before, after = (
        build_graph(request_for(architectures=("resnet8",), compare=ALL, **c))
        for c in ({"prune": PruneConfig()}, {"prune": PruneConfig(), **change})
    )
    old, new = keys(before), keys(after)
    changed = [before.stages[n] for n in old if old[n] != new[n]]
    followers = ("round", "judge", "ticket", "report")
    assert {(s.kind, s.method) for s in changed if s.kind not in followers} == kinds


def test_prac_s_sampler_changes_its_sets_and_neither_scores_nor_controls(request_for) -> None:
    compare = ("random-subset", "entropy", "proxy", "el2n", "el2n-ccs")
    before, after = (
        build_graph(request_for(architectures=("resnet8",), compare=compare, select=select))
        for select in (
            SelectConfig(score="margin", fraction=0.3),
            SelectConfig(score="margin", fraction=0.3, sampler="ccs"),
        )
    )
    changed = {n for n, key in keys(before).items() if keys(after)[n] != key}
    assert {"subset:resnet8:prac:1", "round:resnet8:prac:1"} <= changed
    assert "score:resnet8:prac" not in changed
    # A control has PrAC's sizes, so its sets follow PrAC's; how they are drawn does not.
    for method in compare:
        config, other = (g.stages[f"subset:resnet8:{method}:1"].config for g in (before, after))
        assert config == other, method
        expected = "ccs" if method == "el2n-ccs" else "top"
        assert config.sampler["sampler"] == (expected,), method


def test_a_control_s_sets_are_the_same_beside_whatever_others(request_for) -> None:
    alone = keys(build_graph(request_for(compare=("el2n",))))
    beside = keys(build_graph(request_for(compare=("el2n", "el2n-ccs", "el2n-balanced"))))
    assert {n: beside[n] for n in alone if n != "report"} == {
        n: key for n, key in alone.items() if n != "report"
    }
    kinds = Counter(name.partition(":")[0] for name in beside)
    assert kinds["score"] == 2  # one for each network, whatever the samplers


def test_prac_s_own_search_by_a_score(request_for) -> None:
    select = SelectConfig(score="margin", fraction=0.3)
    graph = build_graph(request_for(architectures=("resnet8",), compare=(), select=select))
    assert graph.stages["subset:resnet8:prac:2"].inputs == {"scores": "score:resnet8:prac"}
    assert graph.stages["subset:resnet8:prac:2"].config.fraction == 0.3
    assert not [s for s in graph.stages.values() if s.kind == "select"]
    # Nothing selects by the statistics; the report shows the samples that were never learned.
    reduced = [s for s in graph.stages.values() if s.kind == "reduce"]
    assert [(s.name, s.inputs) for s in reduced] == [
        ("reduce:resnet8:prac", {"dense": "dense:resnet8:prac"})
    ]
    with pytest.raises(ConfigError, match=r"needs select.fraction"):
        build_graph(request_for(select=SelectConfig(score="margin")))


def test_transfer_takes_the_same_method_s_sets_of_the_source(request_for) -> None:
    graph = build_graph(
        request_for(architectures=("conv4", "resnet8"), compare=ALL, transfer_from="conv4")
    )
    samples = {(s.architecture, s.method): s.samples for s in graph.searches}
    for method in METHODS:
        assert samples["resnet8", method] == samples["conv4", method]
    target = [s for s in graph.stages.values() if s.architecture == "resnet8"]
    assert not {"select", "subset", "score", "reduce"} & {s.kind for s in target}
    assert graph.stages["round:resnet8:rs2:2"].inputs["size"] == "select:conv4:prac:2"
    # Epochs are those of the same architecture's rounds.
    for method in ("rs2", "random-subset", "entropy", "proxy", "el2n", "margin", "dual"):
        inputs = graph.stages[f"round:resnet8:{method}:2"].inputs
        assert inputs["epochs"] == "round:resnet8:prac:2", method


def test_a_method_of_the_user_s(
    request_for, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "users_method.py"
    text = (
        "from prac.selection.scores import scorer\n"
        "@scorer(reads='events')\n"
        "def mine(evidence, select):\n"
        "    return -evidence.sample_ids\n"
    )
    file.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    request = request_for(architectures=("resnet8",), compare=("users_method:mine", "vanilla"))
    assert [method.name for method in request.methods] == ["prac", "vanilla", "users_method:mine"]
    before = keys(build_graph(request))
    file.write_text(text.replace("-evidence", "evidence"))
    with pytest.raises(ConfigError, match="is another on disk than this process has imported"):
        build_graph(request)
    importlib.reload(sys.modules["users_method"])
    after = keys(build_graph(request))
    changed = {name for name in before if before[name] != after[name]}
    assert "score:resnet8:users_method:mine" in changed
    assert not [name for name in changed if ":prac" in name or ":vanilla" in name]
    with pytest.raises(ConfigError, match="can't be imported"):
        request_for(compare=("no.such:thing",)).methods  # noqa: B018


OWN_OPTIONS = """
from dataclasses import dataclass
from prac.selection.samplers import sampler
from prac.selection.scores import scorer

@dataclass(frozen=True, kw_only=True)
class Bounds:
    lowest: float = 0.5

@dataclass(frozen=True, kw_only=True)
class Steps:
    step: int = 2

@scorer(reads="nothing", options=Bounds)
def bounded(evidence, options):
    return evidence.sample_ids * options.lowest

@sampler(options=Steps)
def stepping(draw):
    return draw.order[:: draw.options.step][: draw.size]
"""


def test_options_of_a_user_s_score_and_sampler(
    request_for, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "users_options.py").write_text(OWN_OPTIONS)
    monkeypatch.syspath_prepend(tmp_path)
    own = {"score": "users_options:bounded", "sampler": "users_options:stepping", "fraction": 0.25}
    typed = [(f"select.{name}", str(value)) for name, value in own.items()]
    recipe = with_settings(request_for().recipe, [*typed, ("select.lowest", "0.75")])
    assert recipe.select == SelectConfig(**own, options={"lowest": 0.75})

    ids, labels = np.arange(4, dtype=np.int32), np.zeros(4, np.int64)
    evidence = Evidence(sample_ids=ids, labels=labels, num_classes=1, seed=(0,))
    scores = score_samples(score_settings(recipe.select), evidence)
    assert scores.tolist() == [0.0, 0.75, 1.5, 2.25]
    for told, taken in (({}, [1, 3]), ({"step": 3}, [0, 3])):
        settings = sampler_settings(recipe.set(select=told).select)
        found = take_by_score(settings, scores, ids, labels, 2, seed=0, round_index=1)
        assert found.sample_ids.tolist() == taken

    def kinds_that_change(told: dict[str, object]) -> set[str]:
        one, other = (
            keys(build_graph(request_for(select=each.select, compare=("el2n",))))
            for each in (recipe, recipe.set(select=told))
        )
        return {name.partition(":")[0] for name in one if one[name] != other[name]}

    assert {"subset", "report"} <= kinds_that_change({"step": 3})
    assert "dense" not in kinds_that_change({"step": 3})
    assert kinds_that_change({"step": 2}) == {"report"}  # as by default
    with pytest.raises(ConfigError, match=r"option of select 'stepp'.*did you mean 'step'"):
        kinds_that_change({"stepp": 3})
    with pytest.raises(ConfigError, match=r"select\.lowest 'low' is not allowed; allowed: float"):
        kinds_that_change({"lowest": "low"})


def test_what_a_method_of_the_user_s_borrows(
    request_for, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "users_loans.py").write_text(
        "from prac.config.methods import Method\n"
        "steps = Method(name='', summary='', selects='el2n', borrows='steps')\n"
        "sizes = Method(name='', summary='', selects='el2n', borrows='sizes')\n"
        "fresh = Method(name='', summary='', data='fresh', borrows='sizes')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    names = ("users_loans:steps", "users_loans:sizes", "users_loans:fresh")
    graph = build_graph(request_for(architectures=("resnet8",), compare=names))
    steps, sizes, fresh = (
        graph.stages[rounds_of(graph)[name][2]].inputs.get("epochs") for name in names
    )
    assert (steps, sizes, fresh) == ("round:resnet8:prac:2", None, None)
    # Sets of PrAC's sizes, whether its steps are borrowed or not.
    subset = graph.stages["subset:resnet8:users_loans:steps:2"]
    assert subset.inputs["size"] == "select:resnet8:prac:2"
    assert subset.config.fraction is None


def test_a_graph_is_made_without_torch() -> None:
    program = (
        "import sys, prac.lottery.method_config, prac.selection.scores, prac.pruning.criteria\n"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
