"""The kinds of stages: one row each, read by whoever plans, runs, keeps or cleans up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import Any, Literal

from prac.lottery.outputs import (
    BEST,
    NEXT_MASK,
    RESULTS,
    REWIND,
    SCORES,
    SET,
    STATISTICS,
    SWEEP,
    TICKET,
    TRAINED,
    CountFacts,
    Facts,
    File,
    JudgeFacts,
    MaskFacts,
    RoundFacts,
    ScoreFacts,
    SetFacts,
    TicketFacts,
    TrainedFacts,
)

Keeps = Literal["nothing", "events"]
Lasts = Literal["pipeline", "tickets"]
Needs = Literal["moments", "a device", "workers"]


@dataclass(frozen=True, kw_only=True)
class StageKind:
    """One kind of stage.

    name: on the wire: in keys, manifests, stages' names. version: rises when the code changes what
    a stage makes, so that old results are not found any more. run: `module:function` in
    `prac.lottery.steps`, named and not imported: a plan needs no torch; None where no step makes it
    (the report is made by who asked for the pipeline). facts: what its outputs tell. leaves: the
    files that every one of them has; a manifest that lists fewer is not trusted.
    needs: `workers` of data-parallel training, or a `device` with threads for passes through a
    network; a stage of `moments` waits behind nobody who trains. priority: 0
    goes first: a set or a mask in time keeps every chain of rounds busy. works: it has a folder of
    checkpoints and events while it runs; keeps: what stays there once it is finished. lasts: until
    when its files are kept: while a `pipeline` that needs it is, or until its `tickets` are let go.
    """

    name: str
    version: int
    run: str | None
    facts: type[Facts]
    leaves: tuple[File[Any], ...]
    needs: Needs
    priority: int
    works: bool = False
    keeps: Keeps = "nothing"
    lasts: Lasts = "pipeline"

    def step(self) -> Callable[..., Any]:
        if self.run is None:
            raise TypeError(f"no step makes a {self.name}")
        module, _, name = self.run.partition(":")
        step: Callable[..., Any] = getattr(import_module(f"prac.lottery.steps.{module}"), name)
        return step


_ROWS = (
    StageKind(name="dense", version=2, run="training:train_stage", facts=RoundFacts,
              leaves=(NEXT_MASK, BEST), needs="workers", priority=1, works=True, keeps="events"),
    StageKind(name="reduce", version=2, run="sets:reduce_stage", facts=CountFacts,
              leaves=(STATISTICS,), needs="moments", priority=0),
    StageKind(name="select", version=2, run="sets:select_stage", facts=SetFacts,
              leaves=(SET,), needs="moments", priority=0),
    StageKind(name="proxy", version=2, run="training:proxy_stage", facts=TrainedFacts,
              leaves=(BEST,), needs="a device", priority=1, works=True),
    StageKind(name="score", version=2, run="sets:score_stage", facts=ScoreFacts,
              leaves=(SCORES,), needs="a device", priority=0),
    StageKind(name="subset", version=3, run="sets:subset_stage", facts=SetFacts,
              leaves=(SET,), needs="moments", priority=0),
    StageKind(name="round", version=2, run="training:train_stage", facts=RoundFacts,
              leaves=(NEXT_MASK, BEST), needs="a device", priority=2, works=True),
    StageKind(name="prune", version=2, run="masks:prune_stage", facts=MaskFacts,
              leaves=(NEXT_MASK,), needs="a device", priority=1),
    StageKind(name="start", version=2, run="masks:start_stage", facts=Facts,
              leaves=(REWIND,), needs="moments", priority=0),
    StageKind(name="judge", version=2, run="training:judge_stage", facts=JudgeFacts,
              leaves=(TRAINED,), needs="a device", priority=3, works=True),
    StageKind(name="ticket", version=3, run="tickets:ticket_stage", facts=TicketFacts,
              leaves=(TICKET,), needs="moments", priority=4, lasts="tickets"),
    StageKind(name="report", version=2, run=None, facts=Facts,
              leaves=(RESULTS,), needs="moments", priority=5),
    StageKind(name="sweep", version=2, run=None, facts=Facts,
              leaves=(SWEEP,), needs="moments", priority=5),
)  # fmt: skip
KINDS: Mapping[str, StageKind] = MappingProxyType({kind.name: kind for kind in _ROWS})
"""By name."""
