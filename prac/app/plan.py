"""The graph printed: each stage, cached or to run, SGD steps to go, what it waits for."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.text import Text

from prac.lottery.graph import Graph, Stage
from prac.lottery.stage_config import RoundConfig
from prac.report.fitting import make_table, print_fitting


def print_plan(graph: Graph, finished: Iterable[str], console: Console) -> None:
    """Print what a run would do. Steps are upper bounds: a set's size is known only when made."""
    done = set(finished)
    to_run = graph.to_run(done)
    names = {stage.name for stage in to_run}
    columns = ("stage", "state", "SGD steps", "events", "waits for")
    table = make_table("plan", {column: column == "SGD steps" for column in columns})
    for stage in graph.needed():
        state = "to run" if stage.name in names else "cached" if stage.key in done else "not needed"
        steps = f"<= {stage.max_steps:,}" if stage.max_steps and state == "to run" else ""
        waits = [i for i in dict.fromkeys(stage.inputs.values()) if i in names]
        table.add_row(
            Text(stage.name), state, steps, _events(stage), Text(_shortened(waits, stage))
        )
    print_fitting(table, console)
    total = sum(stage.max_steps for stage in to_run)
    cached = sum(stage.key in done for stage in graph.needed())
    console.print(
        f"{len(to_run)} stages to run, {cached} cached; at most {total:,} SGD steps to go "
        "(early stops and smaller sets make it fewer)",
        highlight=False,
    )


def _events(stage: Stage) -> str:
    config = stage.config
    if not isinstance(config, RoundConfig):
        return ""
    return "recorded" if config.records_events else "none"


def _shortened(waits: list[str], stage: Stage) -> str:
    if stage.kind == "report" and len(waits) > 3:
        return f"all {len(waits)} stages that run"
    if len(waits) > 3:
        return f"{', '.join(waits[:2])} and {len(waits) - 2} more"
    return ", ".join(waits)
