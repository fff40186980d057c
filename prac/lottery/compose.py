"""From a request to the graph: which stages there are, what each reads, which are shared.

A method is a value (`prac.config.methods`): nothing here knows one by its name but PrAC, which the
others are compared with and borrow from.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from prac.config.methods import PRAC, Method
from prac.config.plug_ins import plug_ins
from prac.config.sections import ModelConfig, PruneConfig, SelectConfig
from prac.config.strategies import ProxyOptions
from prac.config.values import RewindPoint
from prac.fingerprint import stage_key
from prac.lottery.graph import Graph, Request, SearchStages, Stage
from prac.lottery.kinds import KINDS
from prac.lottery.method_config import (
    check_options,
    predicts,
    prune_for,
    records_events,
    score_settings,
    select_for,
)
from prac.lottery.stage_config import (
    JudgeConfig,
    MaskConfig,
    NetworkConfig,
    ProxyConfig,
    ReduceConfig,
    ReportConfig,
    RoundConfig,
    ScoreStageConfig,
    SelectStageConfig,
    StartConfig,
    StartingConfig,
    SubsetStageConfig,
    TicketStageConfig,
    TrainingConfig,
    round_config,
)
from prac.plugins import identity
from prac.pruning.criteria import find_criterion
from prac.selection.scores import find_score
from prac.training.schedule import full_budget


def build_graph(request: Request) -> Graph:
    """The whole pipeline for a request."""
    select = request.recipe.select
    check_options(select_for(method, select) for method in request.methods)
    stages = _Stages(request)
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


def _searches(stages: _Stages, request: Request) -> tuple[SearchStages, ...]:
    """All architectures under all methods, of one search seed."""
    lines: dict[tuple[str, str], _Line] = {}
    architectures = list(request.recipe.architectures)
    if request.transfer_from is not None:
        # The source comes first: the targets' stages refer to its sets.
        architectures.sort(key=lambda a: a != request.transfer_from)
    for architecture in architectures:
        for method in request.methods:
            line = _Line(stages, request, lines, architecture, method)
            lines[architecture, method.name] = line
            line.add()
    return tuple(line.named() for line in lines.values())


class _Stages:
    """The stages so far; the same stage twice is one."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.full_steps = full_budget(request.recipe.train, request.num_training).steps
        self.by_name: dict[str, Stage] = {}
        self._names: dict[str, str] = {}

    def add(
        self,
        kind: str,
        name: str,
        config: Any,
        inputs: Mapping[str, str],
        *,
        line: _Line | None = None,
        index: int = 0,
        max_steps: int = 0,
    ) -> str:
        """Add a stage and return its name: that of the stage which has its key already, if any.

        line, index: the search and the round that it is for.
        """
        if isinstance(config, NetworkConfig) and config.architecture:
            config = self._told(config)
        keys = {role: self.by_name[other].key for role, other in inputs.items()}
        read = {"data": self.request.data, "reads": config}
        key = stage_key(kind, KINDS[kind].version, read, keys)
        if key not in self._names:
            self._names[key] = name
            self.by_name[name] = Stage(
                name=name,
                kind=kind,
                architecture="" if line is None else line.architecture,
                method="" if line is None else line.method.name,
                round_index=index,
                config=config,
                inputs=inputs,
                key=key,
                max_steps=max_steps,
            )
        return self._names[key]

    def _told(self, config: NetworkConfig) -> NetworkConfig:
        """With what keys tell of its network, of what weights it has and how it is trained."""
        request, told = self.request, list(identity(config.architecture))
        weights = request.weights.get(config.architecture)
        if weights is not None:
            told.append(weights)
        if isinstance(config, TrainingConfig):
            for name in plug_ins(config.train, config.augment):
                told += identity(name)
        if isinstance(config, RoundConfig) and request.trainer is not None:
            told.append(request.trainer)
        if isinstance(config, StartingConfig):
            file = request.recipe.model.weights_of(config.architecture)
            config = dataclasses.replace(config, weights=file)
        return dataclasses.replace(config, network=tuple(told))


@dataclass
class _Line:
    """One search while its stages are added, by round.

    others: the searches before it, by architecture and method. rounds: what trains m_0, m_1, ...;
    masks: what makes m_1, m_2, ...: the same, but where masks are made beside the training.
    samples: what makes D_1, D_2, ...
    """

    stages: _Stages
    request: Request
    others: Mapping[tuple[str, str], _Line]
    architecture: str
    method: Method
    rounds: list[str] = field(default_factory=list)
    masks: list[str] = field(default_factory=list)
    samples: list[str] = field(default_factory=list)
    judgements: dict[int, tuple[str, ...]] = field(default_factory=dict)
    found: dict[int, str] = field(default_factory=dict)
    tickets: dict[int, str] = field(default_factory=dict)
    proxy: str | None = None
    select: SelectConfig = field(init=False)
    prune: PruneConfig = field(init=False)

    def __post_init__(self) -> None:
        recipe = self.request.recipe
        self.select = select_for(self.method, recipe.select)
        self.prune = prune_for(self.method, recipe.prune)

    @property
    def label(self) -> str:
        """What its stages' names have in common."""
        label = f"{self.architecture}:{self.method.name}"
        seed = self.request.recipe.search.seed
        return f"{label}:search-{seed}" if self.request.place else label

    @property
    def source(self) -> str:
        """The architecture whose sets it uses: its own, where none are transferred."""
        return self.request.transfer_from or self.architecture

    @property
    def transferred(self) -> bool:
        """Whether it uses the sets that another architecture has under the same method."""
        return self.source != self.architecture

    @property
    def prac(self) -> _Line:
        """PrAC's search of the same architecture."""
        return self.others[self.architecture, PRAC.name]

    def named(self) -> SearchStages:
        return SearchStages(
            architecture=self.architecture,
            method=self.method.name,
            rounds=tuple(self.rounds),
            masks=tuple(self.masks),
            samples=tuple(self.samples),
            judgements=self.judgements,
            found=self.found,
            tickets=self.tickets,
            proxy=self.proxy,
        )

    def add(self) -> None:
        """Rounds 0 to N - 1 with the sets and masks between them, to D_N and m_N; tickets."""
        rounds = self.request.recipe.search.rounds
        if self.method.borrows == "rounds":
            prac = self.prac
            self.rounds, self.masks, self.samples = prac.rounds, prac.masks, prac.samples
            self.proxy = prac.proxy
        else:
            for index in range(rounds):
                trained = self.method.trains_round(index)
                if trained:
                    self.rounds.append(self._round(index))
                self.masks.append(self._mask(index))
                if not trained:
                    self.rounds.append(self.masks[-1])
                self._set(index + 1)
        if self.method.starts != "rewind":
            self._start(1)  # whatever is judged
        judged = set(self.request.judged_rounds)
        for index in range(rounds + 1):
            if index in judged and (index > 0 or self.method is PRAC):
                self.judgements[index] = self._judge(index)
            if self.request.judge != "none" and self._is_found(index):
                self.found[index] = self._judge_as_found(index)
            # Repeats are for the verdict: one search's tickets are enough to take one.
            wanted = index > 0 and self.request.place == 0
            if wanted and (self.method is PRAC or index in self.judgements):
                self.tickets[index] = self._ticket(index)

    def _add(
        self,
        kind: str,
        index: int,
        config: Any,
        inputs: Mapping[str, str],
        *,
        name: str = "",
        max_steps: int = 0,
    ) -> str:
        """Add a stage of round `index`; name: where that isn't its kind with the round."""
        name = name or f"{kind}:{self.label}:{index}"
        return self.stages.add(
            kind, name, config, inputs, line=self, index=index, max_steps=max_steps
        )

    def _round(self, index: int) -> str:
        """What trains m_k, k = `index`: the dense run, or a round on its set."""
        request, method = self.request, self.method
        config = round_config(
            request.recipe,
            self.architecture,
            index,
            method=method,
            precision=request.precision,
            records_events=records_events(method, self.select, index, transferred=self.transferred),
            predicts=predicts(method, self.select, index, transferred=self.transferred),
        )
        inputs = {}
        if index > 0:
            inputs = {"before": self.masks[index - 1], "rewind": self._weights(index)}
            if method.data == "selected":
                inputs["samples"] = self.samples[index - 1]
            elif method.data == "fresh":
                # As many samples an epoch as PrAC's round had.
                inputs["size"] = self.samples[index - 1]
            if method.borrows == "steps":
                # As many epochs as PrAC's round had.
                inputs["epochs"] = self.prac.rounds[index]
        steps = self.stages.full_steps
        if index == 0:
            return self._add("dense", 0, config, {}, name=f"dense:{self.label}", max_steps=steps)
        return self._add("round", index, config, inputs, max_steps=steps)

    def _mask(self, index: int) -> str:
        """What makes m_{k+1}, k = `index`: the round itself, or a stage beside it."""
        if find_criterion(self.prune.criterion).reads == "trained":
            return self.rounds[index]
        seed = self.request.recipe.search.seed
        config = MaskConfig.of(self.prune, self.architecture, seed=seed, round_index=index)
        inputs = {"before": self.masks[index - 1]} if index else {}
        return self._add("prune", index, config, inputs)

    def _set(self, index: int) -> None:
        """What makes D_k, k = `index`, from what the rounds before left; nothing for everything."""
        if self.method.data == "everything":
            return
        if self.method is PRAC and index == 1 and not self.transferred:
            # For the report's samples, whatever the selection reads.
            self._statistics()
        if self.method.data == "fresh":
            # PrAC's sets, for their sizes.
            self.samples.append(self.others[self.source, PRAC.name].samples[index - 1])
        elif self.transferred:
            made = self.others[self.source, self.method.name]
            self.samples.append(made.samples[index - 1])
            self.proxy = made.proxy
        elif self.select.score == "critical":
            self.samples.append(self._selection(index))
        else:
            self.samples.append(self._subset(index))

    def _statistics(self) -> str:
        inputs = {"dense": self.rounds[0]}
        return self._add("reduce", 0, ReduceConfig(), inputs, name=f"reduce:{self.label}")

    def _selection(self, index: int) -> str:
        inputs = {"statistics": self.rounds[index - 1]}
        if index == 1:
            inputs = {"statistics": self._statistics()}
        elif self.select.cep:
            inputs |= {"dense": self.rounds[0], "pruned": self.rounds[index - 1]}
        config = SelectStageConfig.of(self.request.recipe, self.select, index)
        return self._add("select", index, config, inputs)

    def _subset(self, index: int) -> str:
        inputs = {}
        if self.method.borrows in ("sizes", "steps"):
            inputs["size"] = self.others[self.source, PRAC.name].samples[index - 1]
        scores = self._scores(index)
        if scores is not None:
            inputs["scores"] = scores
        told = {"scored": scores is not None, "sized": "size" in inputs}
        config = SubsetStageConfig.of(self.request.recipe, self.select, index, **told)
        return self._add("subset", index, config, inputs)

    def _scores(self, index: int) -> str | None:
        """What scores the samples for D_k; None where a score reads nothing but the draw."""
        reads = find_score(self.select.score).reads
        if reads == "nothing":
            return None
        request = self.request
        # Of the round before for the model's own score, else one for the whole search.
        number = index if reads == "model" else 0
        config = ScoreStageConfig(
            score=score_settings(self.select), draw=(request.recipe.search.seed, number)
        )
        line: _Line | None = self
        if reads == "events":
            inputs = {"dense": self.rounds[0]}
        elif reads == "model":
            inputs = {"model": self.rounds[index - 1]}
            config = self._calling(config, self.architecture)
        else:
            self.proxy = self._proxy()
            inputs = {"model": self.proxy}
            config = self._calling(config, self.select.told(ProxyOptions).proxy)
            line = None  # all architectures share it
        name = f"score:{self._named(self.select.score)}" if line is None else f"score:{self.label}"
        name = f"{name}:{number}" if number else name
        return self.stages.add("score", name, config, inputs, line=line, index=number)

    def _calling(self, config: ScoreStageConfig, architecture: str) -> ScoreStageConfig:
        return dataclasses.replace(
            config, architecture=architecture, precision=self.request.precision
        )

    def _proxy(self) -> str:
        request = self.request
        config = ProxyConfig.of(request.recipe, self.select, request.precision)
        steps = full_budget(config.train, request.num_training).steps
        name = f"proxy:{self._named(config.architecture)}"
        return self.stages.add("proxy", name, config, {}, max_steps=steps)

    def _named(self, shared: str) -> str:
        """The name of what all architectures of one search seed share."""
        seed = self.request.recipe.search.seed
        return f"{shared}:search-{seed}" if self.request.place else shared

    def _weights(self, index: int) -> str:
        """What leaves the weights that m_k, k = `index` of 1 or more, is trained from."""
        if self.request.recipe.search.rewind.rewinds:
            return self.rounds[0]
        # Those of the last round before it that trained any.
        return self.rounds[max(k for k in range(index) if self.method.trains_round(k))]

    def _start(self, index: int) -> str:
        """What leaves the weights that the ticket with m_k, k = `index`, starts from."""
        starts = self.method.starts
        if starts == "rewind":
            if index > 0:
                return self._weights(index)
            if self.request.recipe.search.rewind.rewinds:
                return self.rounds[0]
            # The dense network that tickets are compared with is trained once, as round 0 was.
            starts = "initial"
        seed = self.request.recipe.search.seed
        config = StartConfig(architecture=self.architecture, start=starts, seed=seed)
        return self._add("start", 0, config, {}, name=f"start:{self.label}")

    def _judging(self) -> JudgeConfig:
        request = self.request
        return JudgeConfig(
            architecture=self.architecture,
            train=dataclasses.replace(request.recipe.train, precision=request.precision),
            augment=request.recipe.augment,
            seed=0,
        )

    def _is_found(self, index: int) -> bool:
        """Whether the network of round k = `index` is a trained ticket as it is: it went on from
        the round before, in a search of its own."""
        goes_on = not self.request.recipe.search.rewind.rewinds
        own = self.method.starts == "rewind" and self.method.borrows != "rounds"
        return goes_on and own and 0 < index < len(self.rounds) and self.method.trains_round(index)

    def _judge_as_found(self, index: int) -> str:
        """What tests the network of round k = `index`, and trains nothing."""
        config = dataclasses.replace(self._judging(), as_found=True)
        name = f"judge:{self.label}:{index}:as-found"
        return self._add("judge", index, config, {"rewind": self.rounds[index]}, name=name)

    def _judge(self, index: int) -> tuple[str, ...]:
        """The judgements of one ticket, one for each seed; they differ in nothing else."""
        inputs = {"rewind": self._start(index)}
        if index > 0:
            inputs["before"] = self.masks[index - 1]
        return tuple(
            self._add(
                "judge",
                index,
                dataclasses.replace(self._judging(), seed=seed),
                inputs,
                name=f"judge:{self.label}:{index}:seed-{seed}" if place else "",
                max_steps=self.stages.full_steps,
            )
            for place, seed in enumerate(self.request.judging_seeds)
        )

    def _ticket(self, index: int) -> str:
        """A ticket with m_k, k = `index`: it carries the network of its first judgement."""
        request, recipe = self.request, self.request.recipe
        trainings = self.named().trainings(index)
        inputs = {f"training_{place}": name for place, name in enumerate(trainings)}
        inputs |= {"mask": self.masks[index - 1], "rewind": self._start(index)}
        if self.samples:
            role = "size" if self.method.data == "fresh" else "samples"
            inputs[role] = self.samples[index - 1]
        if index in self.judgements:
            inputs["judge"] = self.judgements[index][0]
            dense = self.prac.judgements.get(0)
            if dense is not None:
                inputs["dense_judge"] = dense[0]
        if index in self.found:
            inputs |= {"found": self.found[index], "found_in": self.rounds[index]}
        rewinds = self.method.starts == "rewind"
        config = TicketStageConfig(
            architecture=self.architecture,
            method=self.method.name,
            round_index=index,
            budget_steps=self.stages.full_steps,
            rewind=recipe.search.rewind if rewinds else RewindPoint("init"),
            seed=recipe.search.seed,
            precision=request.precision,
            data_name=request.data_name,
            recipe=recipe.name,
            transfer_from=request.transfer_from,
            layers=recipe.prune.layers,
        )
        return self._add("ticket", index, config, inputs)
