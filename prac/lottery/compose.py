"""From a request to the graph: which stages there are, what each reads, which are shared."""

from __future__ import annotations

import dataclasses
from typing import Any

from prac.config.methods import PRAC, Method
from prac.config.sections import Recipe, RewindPoint, TrainConfig
from prac.lottery.builder import Builder
from prac.lottery.compose_sets import Line, add_set
from prac.lottery.graph import Graph, Request, SearchStages
from prac.lottery.method_config import (
    MaskConfig,
    StartConfig,
    predicts,
    prune_for,
    records_events,
    select_for,
)
from prac.lottery.stage_config import JudgeConfig, round_config
from prac.pruning.criteria import find_criterion
from prac.training.schedule import full_budget


def build_graph(request: Request) -> Graph:
    """The whole pipeline for a request."""
    builder = Builder(request)
    architectures = list(request.recipe.architectures)
    if request.transfer_from is not None:
        # The source comes first: the targets' stages refer to its sets.
        architectures.sort(key=lambda a: a != request.transfer_from)
    for architecture in architectures:
        for method in request.methods:
            _add_search(builder, architecture, method)
    report = builder.add(
        "report",
        "report",
        config={"recipe": _without_path(request), "transfer_from": request.transfer_from},
        inputs={name: name for name in builder.stages},
    )
    searches = tuple(builder.searches.values())
    return Graph(stages=builder.stages, targets=(report,), searches=searches)


def _without_path(request: Request) -> Recipe:
    """The recipe with the data set's name for its path, which is in no key."""
    data = dataclasses.replace(request.recipe.data, source=request.data_name)
    return request.recipe.replace(data=data)


def _add_search(builder: Builder, architecture: str, method: Method) -> None:
    """One architecture under one method."""
    recipe = builder.request.recipe
    line = Line(
        architecture=architecture,
        source=builder.request.transfer_from or architecture,
        method=method,
        select=select_for(method, recipe.select),
        prune=prune_for(method, recipe.prune),
    )
    if method.borrows == "rounds":
        prac = builder.searches[architecture, PRAC.name]
        line.rounds, line.masks = list(prac.rounds), list(prac.masks)
        line.samples = list(prac.samples)
    else:
        _add_rounds(builder, line)
    builder.samples[architecture, method.name] = line.samples
    start = _add_start(builder, line)
    judgements, tickets = _add_tickets(builder, line, start)
    builder.searches[architecture, method.name] = SearchStages(
        architecture=architecture,
        method=method.name,
        rounds=tuple(line.rounds),
        masks=tuple(line.masks),
        samples=tuple(line.samples),
        judgements=judgements,
        tickets=tickets,
    )


def _add_rounds(builder: Builder, line: Line) -> None:
    """Rounds 0 to N - 1 with the sets and masks between them, to D_N and m_N."""
    rounds = builder.request.recipe.search.rounds
    for index in range(rounds):
        trained = line.method.trains_round(index)
        if trained:
            line.rounds.append(_add_round(builder, line, index))
        line.masks.append(_add_mask(builder, line, index))
        if not trained:
            line.rounds.append(line.masks[-1])
        add_set(builder, line, index + 1)


def _add_round(builder: Builder, line: Line, index: int) -> str:
    """What trains m_k, k = `index`: the dense run, or a round on its set."""
    request, method = builder.request, line.method
    config: dict[str, Any] = {
        "round": round_config(
            request.recipe,
            line.architecture,
            index,
            method=method,
            precision=request.precision,
            records_events=records_events(method, line.select, index, transferred=line.transferred),
            predicts=predicts(method, line.select, index, transferred=line.transferred),
        )
    }
    steps = full_budget(request.recipe.train, request.num_training).steps
    if index == 0:
        return builder.add(
            "dense",
            f"dense:{line.label}",
            architecture=line.architecture,
            method=method.name,
            config={**config, "workers": request.workers},
            max_steps=steps,
        )
    inputs = {"before": line.masks[index - 1], "rewind": line.rounds[0]}
    if method.data == "selected":
        inputs["samples"] = line.samples[index - 1]
    elif method.data == "fresh":
        # As many samples an epoch as PrAC's round had.
        inputs["size"] = line.samples[index - 1]
    if method.borrows == "steps":
        # As many epochs as PrAC's round had.
        inputs["epochs"] = builder.searches[line.architecture, PRAC.name].rounds[index]
    return builder.add(
        "round",
        f"round:{line.label}:{index}",
        architecture=line.architecture,
        method=method.name,
        round_index=index,
        config=config,
        inputs=inputs,
        max_steps=steps,
    )


def _add_mask(builder: Builder, line: Line, index: int) -> str:
    """What makes m_{k+1}, k = `index`: the round itself, or a stage beside it."""
    if find_criterion(line.prune.criterion).reads == "trained":
        return line.rounds[index]
    request = builder.request
    mask = MaskConfig.of(
        line.prune, line.architecture, seed=request.recipe.search.seed, round_index=index
    )
    return builder.add(
        "prune",
        f"prune:{line.label}:{index}",
        architecture=line.architecture,
        method=line.method.name,
        round_index=index,
        config={
            "mask": mask,
            # What a round of vanilla spends, to which a search's cost is compared.
            "budget_steps": full_budget(request.recipe.train, request.num_training).steps,
        },
        inputs={"before": line.masks[index - 1]} if index else {},
    )


def _add_start(builder: Builder, line: Line) -> str:
    """What leaves the weights that the tickets start from."""
    if line.method.starts == "rewind":
        return line.rounds[0]
    start = StartConfig(
        architecture=line.architecture,
        start=line.method.starts,
        seed=builder.request.recipe.search.seed,
    )
    return builder.add(
        "start",
        f"start:{line.label}",
        architecture=line.architecture,
        method=line.method.name,
        config={"start": start},
    )


def _add_tickets(
    builder: Builder, line: Line, start: str
) -> tuple[dict[int, tuple[str, ...]], dict[int, str]]:
    """Judgements and tickets of one search: every PrAC ticket, and all that are judged.

    A ticket carries the network that its first judgement trained, whatever the number of seeds.
    """
    request = builder.request
    recipe = request.recipe
    architecture, method, label = line.architecture, line.method, line.label
    judged = set(request.judged_rounds)
    judgements: dict[int, tuple[str, ...]] = {}
    tickets: dict[int, str] = {}
    for index in range(recipe.search.rounds + 1):
        judgement = None
        if index in judged and (index > 0 or method is PRAC):
            judgements[index] = _add_judgements(builder, line, start, index)
            judgement = judgements[index][0]
            if index == 0:
                builder.dense_judgements[architecture] = judgement
        if index == 0 or (method is not PRAC and judgement is None):
            continue
        inputs = _ticket_inputs(line, index, start)
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
                "dense": _dense_config(request, line),
                "data_name": request.data_name,
                "recipe": recipe.name,
                "transfer_from": request.transfer_from,
            },
            inputs=inputs,
        )
    return judgements, tickets


def _add_judgements(builder: Builder, line: Line, start: str, index: int) -> tuple[str, ...]:
    """The judgements of one ticket, one for each seed; they differ in nothing else."""
    request = builder.request
    recipe = request.recipe
    train: TrainConfig = dataclasses.replace(recipe.train, precision=request.precision)
    inputs = {"rewind": start}
    if index > 0:
        inputs["before"] = line.masks[index - 1]
    return tuple(
        builder.add(
            "judge",
            f"judge:{line.label}:{index}" + (f":seed-{seed}" if place else ""),
            architecture=line.architecture,
            method=line.method.name,
            round_index=index,
            config={
                "judge": JudgeConfig(
                    architecture=line.architecture, train=train, augment=recipe.augment, seed=seed
                )
            },
            inputs=inputs,
            max_steps=full_budget(recipe.train, request.num_training).steps,
        )
        for place, seed in enumerate(request.judging_seeds)
    )


def _ticket_inputs(line: Line, index: int, start: str) -> dict[str, str]:
    """What a ticket with m_k, k = `index`, is put together from."""
    inputs = {f"round-{k}": name for k, name in enumerate(line.rounds[:index])}
    if start != line.rounds[0]:
        inputs["rewind"] = start
    if line.masks[index - 1] != line.rounds[index - 1]:
        inputs["mask"] = line.masks[index - 1]
    if line.samples:
        role = "size" if line.method.data == "fresh" else "samples"
        inputs[role] = line.samples[index - 1]
    if line.proxy is not None and index > 1:
        # Its steps are the ticket's, from the first mask of a round on a set that it chose.
        inputs["proxy"] = line.proxy
    return inputs


def _dense_config(request: Request, line: Line) -> Any:
    """Round 0's configuration, with where the ticket's weights are from."""
    config = round_config(
        request.recipe,
        line.architecture,
        0,
        method=line.method,
        precision=request.precision,
        records_events=records_events(line.method, line.select, 0, transferred=line.transferred),
    )
    if line.method.starts == "rewind":
        return config
    return dataclasses.replace(config, rewind=RewindPoint("init"))
