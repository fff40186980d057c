"""What MLflow shows of a stage: parameters, metrics, tags, text and pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from prac.analysis.metric import Metric
from prac.lottery.graph import Stage
from prac.lottery.outputs import Made

_BY_ROUND = ("set_size", "cet_size", "cep_size", "overlap")
"""Metrics of a set, whose step is the round."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A PNG that the tracker shows; step counts rounds, with a slider where there are several."""

    key: str
    png: bytes
    step: int = 0


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What a run's page shows. pictures can be made again and are in no manifest."""

    title: str
    note: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    metrics: Sequence[Metric] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    pictures: Sequence[Picture] = ()


def shown(stage: Stage, made: Made) -> Shown:
    """What is shown of any stage."""
    tags = {"architecture": stage.architecture, "method": stage.method, "kind": stage.kind}
    if stage.kind in ("select", "subset"):
        tags["round"] = str(stage.round_index)
    return Shown(
        title=stage.name,
        parameters=dict(parameters(stage.config)),
        metrics=list(_metrics(stage, made)),
        tags={name: value for name, value in tags.items() if value},
    )


def parameters(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The fields of a configuration, those of its sections as `section.field`."""
    for each in dataclasses.fields(config):
        value = getattr(config, each.name)
        name = prefix + each.name
        if each.name in ("train", "prune", "augment", "budget") and dataclasses.is_dataclass(value):
            yield from parameters(value, f"{name}.")
        elif isinstance(value, Mapping):
            yield from ((f"{name}.{key}", inner) for key, inner in value.items())
        elif isinstance(value, tuple) and value and isinstance(value[0], str):
            yield name, value[0]  # a strategy's name; its source is in the key
        else:
            yield name, "" if value is None else value


def _metrics(stage: Stage, made: Made) -> Iterator[Metric]:
    facts = made.facts
    for name, column in getattr(facts, "curves", {}).items():
        for epoch, value in enumerate(column, 1):
            yield Metric(name=f"epoch/{name}", value=value, step=epoch)
    for epoch, distance in enumerate(getattr(facts, "distances", ()), 2):
        yield Metric(name="epoch/mask_distance", value=distance, step=epoch)
    judged = stage.kind == "judge"
    for each in dataclasses.fields(facts):
        value = getattr(facts, each.name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            by_round = judged or (stage.kind in ("select", "subset") and each.name in _BY_ROUND)
            step = stage.round_index if by_round else 0
            yield Metric(name=each.name, value=float(value), step=step)
    if made.cost.steps:
        step = stage.round_index if judged else 0
        yield Metric(name="steps", value=made.cost.steps, step=step)
