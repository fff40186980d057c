"""From a request to the graph: which stages there are, what each reads, which are shared."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from prac.config import Recipe, TrainConfig
from prac.distributed.graph import Graph, Kind, Request, SearchStages, Stage
from prac.fingerprint import stage_key
from prac.methods import PRAC, Method
from prac.stage_config import JudgeConfig, round_config
from prac.training.schedule import full_budget

VERSIONS: Mapping[Kind, int] = {
    "dense": 1,
    "reduce": 1,
    "select": 1,
    "subset": 1,
    "round": 1,
    "judge": 1,
    "ticket": 2,
    "report": 1,
}
"""Raised when a stage's code changes what it makes: its old results are then not found any more."""


@dataclass
class _Builder:
    request: Request
    stages: dict[str, Stage] = field(default_factory=dict)
    searches: list[SearchStages] = field(default_factory=list)
    dense_judgements: dict[str, str] = field(default_factory=dict)

    def add(
        self,
        kind: Kind,
        name: str,
        *,
        architecture: str = "",
        method: str = "",
        round_index: int = 0,
        config: Mapping[str, Any] | None = None,
        inputs: Mapping[str, str] | None = None,
        max_steps: int = 0,
    ) -> str:
        """Add a stage and return its name; a stage with the same key is the same stage."""
        inputs = inputs or {}
        config = {"data": self.request.data, **(config or {})}
        input_keys = {role: self.stages[other].key for role, other in inputs.items()}
        key = stage_key(kind, VERSIONS[kind], config, input_keys)
        for other in self.stages.values():
            if other.key == key:
                return other.name
        self.stages[name] = Stage(
            name=name,
            kind=kind,
            architecture=architecture,
            method=method,
            round_index=round_index,
            config=config,
            inputs=inputs,
            key=key,
            max_steps=max_steps,
        )
        return name


def build_graph(request: Request) -> Graph:
    """The whole pipeline for a request."""
    builder = _Builder(request)
    sets: dict[str, list[str]] = {}
    architectures = list(request.recipe.architectures)
    if request.transfer_from is not None:
        # The source comes first: the targets' stages refer to its sets.
        architectures.sort(key=lambda a: a != request.transfer_from)
    for architecture in architectures:
        for method in request.methods:
            borrowed = None
            if request.transfer_from is not None and architecture != request.transfer_from:
                borrowed = sets[request.transfer_from]
            _add_search(builder, architecture, method, borrowed, sets)
    report = builder.add(
        "report",
        "report",
        config={"recipe": _without_path(request), "transfer_from": request.transfer_from},
        inputs={name: name for name in builder.stages},
    )
    return Graph(stages=builder.stages, targets=(report,), searches=tuple(builder.searches))


def _without_path(request: Request) -> Recipe:
    """The recipe with the data set's name for its path, which is in no key."""
    data = dataclasses.replace(request.recipe.data, source=request.data_name)
    return request.recipe.replace(data=data)


def _add_search(
    builder: _Builder,
    architecture: str,
    method: Method,
    borrowed: list[str] | None,
    sets: dict[str, list[str]],
) -> None:
    """One architecture under one method. `sets` gains the PrAC sets made."""
    request = builder.request
    recipe = request.recipe
    label = f"{architecture}:{method.name}"
    full_steps = full_budget(recipe.train, request.num_training).steps
    own_sets = method.records_events and borrowed is None

    def config_of(round_index: int) -> dict[str, Any]:
        return {
            "round": round_config(
                recipe,
                architecture,
                round_index,
                method=method,
                precision=request.precision,
                # Who borrows from PrAC has its dense run too, so that it is trained once.
                records_events=borrowed is None
                and (method.records_events or (method.borrows != "nothing" and round_index == 0)),
            )
        }

    dense = builder.add(
        "dense",
        f"dense:{label}",
        architecture=architecture,
        method=method.name,
        config={**config_of(0), "workers": request.workers},
        max_steps=full_steps,
    )
    rounds, made = [dense], list(borrowed or ())
    used: list[str] = []
    for index in range(1, recipe.search.rounds + 1):
        before = rounds[index - 1]
        if own_sets:
            made.append(_add_selection(builder, label, architecture, index, dense, before))
        samples = _samples_for(builder, label, architecture, method, index, made, sets)
        used += samples.values()
        if index == recipe.search.rounds:
            break
        inputs = {"before": before, "rewind": dense, **samples}
        rounds.append(
            builder.add(
                "round",
                f"round:{label}:{index}",
                architecture=architecture,
                method=method.name,
                round_index=index,
                config=config_of(index),
                inputs=inputs,
                max_steps=full_steps,
            )
        )
    if own_sets:
        sets[architecture] = made
    elif method is PRAC:
        sets[architecture] = list(borrowed or ())
    judgements, tickets = _add_tickets(builder, label, architecture, method, rounds, used)
    builder.searches.append(
        SearchStages(
            architecture=architecture,
            method=method.name,
            rounds=tuple(rounds),
            samples=tuple(used),
            judgements=judgements,
            tickets=tickets,
        )
    )


def _add_selection(
    builder: _Builder, label: str, architecture: str, index: int, dense: str, before: str
) -> str:
    """What makes D_k out of what round k - 1 left."""
    select = builder.request.recipe.select
    config = {"threshold": select.threshold, "cet": select.cet, "cep": select.cep}
    inputs = {"before": before}
    if index == 1:
        statistics = builder.add(
            "reduce",
            f"reduce:{label}",
            architecture=architecture,
            method="prac",
            inputs={"dense": dense},
        )
        inputs = {"statistics": statistics}
    elif select.cep:
        inputs["dense"] = dense
    return builder.add(
        "select",
        f"select:{label}:{index}",
        architecture=architecture,
        method="prac",
        round_index=index,
        config=config,
        inputs=inputs,
    )


def _samples_for(
    builder: _Builder,
    label: str,
    architecture: str,
    method: Method,
    index: int,
    made: list[str],
    sets: dict[str, list[str]],
) -> dict[str, str]:
    """The input that brings D_k; none where it is everything."""
    if method.selects == "everything":
        return {}
    if method.borrows == "nothing":
        return {"samples": made[index - 1]}
    subset = builder.add(
        "subset",
        f"subset:{label}:{index}",
        architecture=architecture,
        method=method.name,
        round_index=index,
        config={"seed": builder.request.recipe.search.seed, "round": index},
        inputs={"prac": sets[architecture][index - 1]},
    )
    return {"samples": subset}


def _add_tickets(
    builder: _Builder,
    label: str,
    architecture: str,
    method: Method,
    rounds: list[str],
    samples: list[str],
) -> tuple[dict[int, tuple[str, ...]], dict[int, str]]:
    """Judgements and tickets of one search: every PrAC ticket, and all that are judged.

    A ticket carries the network that its first judgement trained, whatever the number of seeds.
    """
    request = builder.request
    recipe = request.recipe
    judged = set(request.judged_rounds)
    judgements: dict[int, tuple[str, ...]] = {}
    tickets: dict[int, str] = {}
    for index in range(recipe.search.rounds + 1):
        judgement = None
        if index in judged and (index > 0 or method is PRAC):
            judgements[index] = _add_judgements(builder, label, architecture, method, rounds, index)
            judgement = judgements[index][0]
            if index == 0:
                builder.dense_judgements[architecture] = judgement
        if index == 0 or (method is not PRAC and judgement is None):
            continue
        inputs = {f"round-{k}": name for k, name in enumerate(rounds[:index])}
        if samples:
            inputs["samples"] = samples[index - 1]
        if judgement is not None:
            inputs["judge"] = judgement
            if architecture in builder.dense_judgements:
                inputs["dense-judge"] = builder.dense_judgements[architecture]
        tickets[index] = builder.add(
            "ticket",
            f"ticket:{label}:{index}",
            architecture=architecture,
            method=method.name,
            round_index=index,
            config={
                "method": method.name,
                "dense": builder.stages[rounds[0]].config["round"],
                "data_name": request.data_name,
                "recipe": recipe.name,
                "transfer_from": request.transfer_from,
            },
            inputs=inputs,
        )
    return judgements, tickets


def _add_judgements(
    builder: _Builder,
    label: str,
    architecture: str,
    method: Method,
    rounds: list[str],
    index: int,
) -> tuple[str, ...]:
    """The judgements of one ticket, one for each seed; they differ in nothing else."""
    request = builder.request
    recipe = request.recipe
    train: TrainConfig = dataclasses.replace(recipe.train, precision=request.precision)
    inputs = {"rewind": rounds[0]}
    if index > 0:
        inputs["before"] = rounds[index - 1]
    return tuple(
        builder.add(
            "judge",
            f"judge:{label}:{index}" + (f":seed-{seed}" if place else ""),
            architecture=architecture,
            method=method.name,
            round_index=index,
            config={
                "judge": JudgeConfig(
                    architecture=architecture, train=train, augment=recipe.augment, seed=seed
                )
            },
            inputs=inputs,
            max_steps=full_budget(recipe.train, request.num_training).steps,
        )
        for place, seed in enumerate(request.judging_seeds)
    )
