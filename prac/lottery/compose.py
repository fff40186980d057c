"""From a request to the graph: which stages there are, what each reads, which are shared.

A method is a value (`prac.config.methods`): nothing here knows one by its name but PrAC, which the
others are compared with and borrow from.
"""

from __future__ import annotations

import dataclasses

from prac.config.methods import PRAC, Start
from prac.config.sections import ModelConfig
from prac.config.values import RewindPoint
from prac.lottery.compose_sets import add_set
from prac.lottery.graph import Graph, SearchStages
from prac.lottery.line import Line, Stages
from prac.lottery.method_config import check_options, predicts, records_events, select_for
from prac.lottery.request import Request
from prac.lottery.stage_config import (
    JudgeConfig,
    MaskConfig,
    ReportConfig,
    StartConfig,
    TicketStageConfig,
    round_config,
)
from prac.pruning.criteria import find_criterion


def build_graph(request: Request) -> Graph:
    """The whole pipeline for a request."""
    select = request.recipe.select
    check_options(select_for(method, select) for method in request.methods)
    stages = Stages(request)
    searches = _searches(stages, request)
    repeats = tuple(
        _searches(stages, request.repeated(place)) for place in range(1, request.searches)
    )
    # The data set's name stands for its path, which is in no key; nor is that of its test split.
    data = dataclasses.replace(request.recipe.data, source=request.data_name, test=None)
    recipe = request.recipe.replace(data=data, model=ModelConfig())
    report = stages.add(
        "report",
        "report",
        ReportConfig(recipe=recipe, transfer_from=request.transfer_from, margin=request.margin),
        {name: name for name in stages.by_name},
    )
    return Graph(stages=stages.by_name, targets=(report,), searches=searches, repeats=repeats)


def _searches(stages: Stages, request: Request) -> tuple[SearchStages, ...]:
    """All architectures under all methods, of one search seed."""
    lines: dict[tuple[str, str], Line] = {}
    architectures = list(request.recipe.architectures)
    if request.transfer_from is not None:
        # The source comes first: the targets' stages refer to its sets.
        architectures.sort(key=lambda a: a != request.transfer_from)
    for architecture in architectures:
        for method in request.methods:
            line = Line(stages, request, lines, architecture, method)
            lines[architecture, method.name] = line
            _add_search(line)
    return tuple(line.named() for line in lines.values())


def _add_search(line: Line) -> None:
    """Its rounds, then judgements and tickets."""
    _add_rounds(line)
    if _starts(line) != "rewind":
        _start(line, 1)  # whatever is judged
    judged = set(line.request.judged_rounds)
    for index in range(line.request.recipe.search.rounds + 1):
        tested = index > 0 or line.method is PRAC
        if tested and _is_judged_as_found(line, index):
            line.judgements[index] = (_judge_as_found(line, index),)
            line.as_found.append(index)
        elif tested and index in judged:
            line.judgements[index] = _judge(line, index)
        beside = line.request.judge != "none" and not line.request.as_found
        if beside and _is_found(line, index):
            line.found[index] = _judge_as_found(line, index)
        # Repeats are for the verdict: one search's tickets are enough to take one.
        wanted = index > 0 and line.request.place == 0
        if wanted and (line.method is PRAC or index in line.judgements):
            line.tickets[index] = _ticket(line, index)


def _add_rounds(line: Line) -> None:
    """Rounds 0 to N - 1 with the sets and masks between them, to D_N and m_N.

    Where weights go on, m_N is trained on D_N too: a round's network is a ticket that needs no
    other training. A round that prunes as it goes makes its own mask.
    """
    rounds = line.request.recipe.search.rounds
    if line.method.borrows == "rounds":
        prac = line.prac
        line.rounds, line.masks, line.samples = prac.rounds, prac.masks, prac.samples
        line.proxy = prac.proxy
        if prac.prune.gradual:
            line.last = prac.last  # which makes the last mask
    else:
        for index in range(rounds):
            trained = line.method.trains_round(index)
            if trained:
                line.rounds.append(_round(line, index))
            if not line.prune.gradual:
                line.masks.append(_mask(line, index))
            elif index > 0:
                line.masks.append(line.rounds[-1])
            if not trained:
                line.rounds.append(line.masks[-1])
            add_set(line, index + 1)
        if line.leaves_trained:
            line.last = _round(line, rounds, last=True)
        if line.last is not None and line.prune.gradual:
            line.masks.append(line.last)


def _round(line: Line, index: int, *, last: bool = False) -> str:
    """What trains m_k, k = `index`: the dense run, or a round on its set. last: no mask or set is
    made of it, so it neither stops where its mask is stable nor leaves what sets are made of."""
    request, method = line.request, line.method
    if index == 0 and line.is_apart:
        return line.prac.rounds[0]
    config = round_config(
        request.recipe,
        line.architecture,
        index,
        method=method,
        precision=request.precision,
        records_events=not last
        and records_events(method, line.select, index, transferred=line.transferred),
        predicts=not last and predicts(method, line.select, index, transferred=line.transferred),
        finds_mask=not last,
    )
    inputs: dict[str, str] = {}
    if index > 0 and not line.is_apart:
        # The mask before, or that of the round before where each makes its own.
        masks = line.masks[: index - 1] if line.prune.gradual else line.masks[:index]
        inputs |= {"before": masks[-1]} if masks else {}
        inputs["rewind"] = _weights(line, index)
        if method.data == "selected":
            inputs["samples"] = line.samples[index - 1]
        elif method.data == "fresh":
            # As many samples an epoch as PrAC's round had.
            inputs["size"] = line.samples[index - 1]
        if method.borrows == "steps":
            # As many epochs as PrAC's round had.
            inputs["epochs"] = _trained(line.prac, index)
    steps = line.stages.full_steps
    if index == 0:
        return line.add("dense", 0, config, {}, name=f"dense:{line.label}", max_steps=steps)
    return line.add("round", index, config, inputs, max_steps=steps)


def _mask(line: Line, index: int) -> str:
    """What makes m_{k+1}, k = `index`: the round itself, or a stage beside it."""
    reads_trained = find_criterion(line.prune.criterion).reads == "trained"
    if reads_trained and line.method.trains == "rounds":
        return line.rounds[index]
    seed = line.request.recipe.search.seed
    config = MaskConfig.of(line.prune, line.architecture, seed=seed, round_index=index)
    inputs = {"before": line.masks[index - 1]} if index else {}
    if reads_trained:
        inputs["trained"] = line.rounds[0]
    return line.add("prune", index, config, inputs)


def _weights(line: Line, index: int) -> str:
    """What leaves the weights that m_k, k = `index` of 1 or more, is trained from."""
    if line.request.recipe.search.rewind.rewinds:
        return line.rounds[0]
    # Those of the last round before it that trained any.
    return line.rounds[max(k for k in range(index) if line.method.trains_round(k))]


def _start(line: Line, index: int) -> str:
    """What leaves the weights that the ticket with m_k, k = `index`, starts from."""
    starts = _starts(line)
    if starts == "rewind":
        if index > 0:
            return _weights(line, index)
        if line.request.recipe.search.rewind.rewinds:
            return line.rounds[0]
        # The dense network that tickets are compared with is trained once, as round 0 was.
        starts = "initial"
    seed = line.request.recipe.search.seed
    config = StartConfig(architecture=line.architecture, start=starts, seed=seed)
    return line.add("start", 0, config, {}, name=f"start:{line.label}")


def _starts(line: Line) -> Start:
    """Where its tickets start from. Where no weights of a dense run are taken back, those that are
    trained each by itself start where that training did."""
    rewind = line.request.recipe.search.rewind
    return "initial" if line.is_apart and not rewind.needs_training else line.method.starts


def _judging(line: Line) -> JudgeConfig:
    request = line.request
    return JudgeConfig(
        architecture=line.architecture,
        train=dataclasses.replace(request.recipe.train, precision=request.precision),
        augment=request.recipe.augment,
        seed=0,
    )


def _trained(line: Line, index: int) -> str:
    """What trained the network of round k = `index`, the last one's included."""
    return line.last if line.last is not None and index == len(line.rounds) else line.rounds[index]


def _is_found(line: Line, index: int) -> bool:
    """Whether the network of round k = `index` is a trained ticket as it is: it went on from the
    round before. So is the dense network that it began with, if it did."""
    if index == 0 and line.is_apart:
        return False
    last = index == line.request.recipe.search.rounds
    return line.leaves_trained and (last or line.method.trains_round(index))


def _is_judged_as_found(line: Line, index: int) -> bool:
    """Whether the network of round k = `index` is what its ticket is judged by. A dense run that
    may stop where its mask is stable is no dense network to hold tickets against."""
    whole = index > 0 or line.prune.tolerance is None or line.prune.gradual > 0
    return line.request.as_found and whole and _is_found(line, index)


def _judge_as_found(line: Line, index: int) -> str:
    """What tests the network of round k = `index`, and trains nothing."""
    config = dataclasses.replace(_judging(line), as_found=True)
    name = f"judge:{line.label}:{index}:as-found"
    inputs = {"rewind": _trained(line, index)}
    return line.add("judge", index, config, inputs, name=name)


def _judge(line: Line, index: int) -> tuple[str, ...]:
    """The judgements of one ticket, one for each seed; they differ in nothing else."""
    inputs = {"rewind": _start(line, index)}
    if index > 0:
        inputs["before"] = line.masks[index - 1]
    return tuple(
        line.add(
            "judge",
            index,
            dataclasses.replace(_judging(line), seed=seed),
            inputs,
            name=f"judge:{line.label}:{index}:seed-{seed}" if place else "",
            max_steps=line.stages.full_steps,
        )
        for place, seed in enumerate(line.request.judging_seeds)
    )


def _ticket(line: Line, index: int) -> str:
    """A ticket with m_k, k = `index`: it carries the network of its first judgement."""
    request, recipe = line.request, line.request.recipe
    trainings = line.named().trainings(index)
    inputs = {f"training_{place}": name for place, name in enumerate(trainings)}
    inputs |= {"mask": line.masks[index - 1], "rewind": _start(line, index)}
    if line.samples:
        role = "size" if line.method.data == "fresh" else "samples"
        inputs[role] = line.samples[index - 1]
    if index in line.judgements:
        inputs["judge"] = line.judgements[index][0]
        dense = line.prac.judgements.get(0)
        if dense is not None:
            inputs["dense_judge"] = dense[0]
    if _is_found(line, index) and index not in line.as_found:
        own = inputs["found_in"] = _trained(line, index)
        needed = line.named().trained_as_found(index)
        if needed != (*trainings, own):
            inputs |= {f"found_training_{place}": name for place, name in enumerate(needed)}
        if index in line.found:
            inputs["found"] = line.found[index]
    rewinds = _starts(line) == "rewind"
    config = TicketStageConfig(
        architecture=line.architecture,
        method=line.method.name,
        round_index=index,
        budget_steps=line.stages.full_steps,
        rewind=recipe.search.rewind if rewinds else RewindPoint("init"),
        seed=recipe.search.seed,
        precision=request.precision,
        data_name=request.data_name,
        recipe=recipe.name,
        transfer_from=request.transfer_from,
        layers=recipe.prune.layers,
        budgets_more=line.named().budgets(index) - index,
    )
    return line.add("ticket", index, config, inputs)
