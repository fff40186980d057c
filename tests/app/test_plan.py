"""The printed plan: each stage's state, bound and what it waits for."""

from __future__ import annotations

import io

from rich.console import Console

from prac.app.plan import print_plan
from prac.lottery.compose import build_graph
from prac.lottery.graph import Graph


def _plan(graph: Graph, done: list[str]) -> dict[str, str]:
    """Its lines by stage name; the last line under `total`."""
    console = Console(file=io.StringIO(), width=200)
    print_plan(graph, [graph.stages[name].key for name in done], console)
    text = console.file.getvalue()
    lines = {}
    heads = next(line for line in text.splitlines() if line.startswith("stage "))
    # Every number is shorter than its heading, so that columns begin where headings do.
    starts = [heads.index(head) for head in ("stage", "state", "SGD steps", "events", "waits for")]
    for line in text.splitlines():
        ends = zip(starts, [*starts[1:], None], strict=True)
        cells = [line[start:end].strip() for start, end in ends]
        if cells[0] in graph.stages:
            lines[cells[0]] = cells[1:]
    return {**lines, "total": text.strip().splitlines()[-1]}


def _graph(request_for) -> Graph:
    recipe_changes = {"architectures": ("conv4",), "compare": (), "rounds": 2}
    return build_graph(request_for(**recipe_changes))


def _bound(request_for) -> int:
    return request_for().recipe.train.epochs * 21  # batches of 64 in 1,294 samples


def test_at_first_all_is_to_run(request_for) -> None:
    graph = _graph(request_for)
    plan = _plan(graph, [])
    assert plan.keys() == {*graph.stages, "total"}
    bound = _bound(request_for)
    state, steps, events, waits = plan["dense:conv4:prac"]
    assert (state, steps, events, waits) == ("to run", f"<= {bound:,}", "recorded", "")
    assert plan["reduce:conv4:prac"] == ["to run", "", "", "dense:conv4:prac"]
    assert plan["round:conv4:prac:1"][3] == "dense:conv4:prac, select:conv4:prac:1"
    assert plan["judge:conv4:prac:2"][1] == f"<= {bound:,}"
    others = len(graph.stages) - 1
    assert plan["report"][3] == f"all {others} stages that run"
    # Dense, one round, two judgements.
    assert plan["total"].startswith(
        f"{others + 1} stages to run, 0 cached; at most {4 * bound:,} SGD steps to go"
    )


def test_cached_stages_are_waited_for_by_none(request_for) -> None:
    graph = _graph(request_for)
    done = ["dense:conv4:prac", "reduce:conv4:prac", "select:conv4:prac:1"]
    plan = _plan(graph, done)
    for name in done:
        assert plan[name][0] == "cached"
        assert plan[name][1] == ""
    assert plan["round:conv4:prac:1"] == ["to run", f"<= {_bound(request_for):,}", "recorded", ""]
    assert plan["select:conv4:prac:2"][3] == "round:conv4:prac:1"
    assert f"{len(graph.stages) - 3} stages to run, 3 cached" in plan["total"]


def test_at_the_end_nothing_is_to_run(request_for) -> None:
    graph = _graph(request_for)
    plan = _plan(graph, list(graph.stages))
    assert {cells[0] for name, cells in plan.items() if name != "total"} == {"cached"}
    assert plan["total"].startswith(f"0 stages to run, {len(graph.stages)} cached; at most 0 SGD")


def test_what_nobody_reads_is_not_needed(request_for) -> None:
    graph = _graph(request_for)
    done = [name for name in graph.stages if name != "reduce:conv4:prac"]
    plan = _plan(graph, done)
    assert plan["reduce:conv4:prac"][0] == "not needed"


def test_transfer_targets_record_no_events(request_for) -> None:
    request = request_for(transfer_from="conv4", compare=())
    plan = _plan(build_graph(request), [])
    assert plan["dense:conv4:prac"][2] == "recorded"
    assert plan["dense:resnet8:prac"][2] == "none"
    assert plan["round:resnet8:prac:2"][2] == "none"
    assert plan["round:resnet8:prac:2"][3] == (
        "round:resnet8:prac:1, dense:resnet8:prac, select:conv4:prac:2"
    )


def test_only_some_kinds_plan_only_these(request_for) -> None:
    graph = _graph(request_for).only(["dense", "reduce"])
    assert _plan(graph, []).keys() == {"dense:conv4:prac", "reduce:conv4:prac", "total"}
