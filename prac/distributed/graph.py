"""The pipeline's graph as a value: printed, drawn and costed before anything runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from prac.config import METHODS, Method, Precision, Recipe, TrainConfig
from prac.data.batches import num_batches
from prac.errors import ConfigError
from prac.fingerprint import stage_key
from prac.judge import JudgeConfig
from prac.search import round_config
from prac.training.schedule import full_budget

Kind = Literal["dense", "reduce", "select", "subset", "round", "judge", "ticket", "report"]

VERSIONS: Mapping[Kind, int] = {
    "dense": 1,
    "reduce": 1,
    "select": 1,
    "subset": 1,
    "round": 1,
    "judge": 1,
    "ticket": 1,
    "report": 1,
}
"""Raised when a stage's code changes what it makes: its old results are then not found any more."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One node: what it reads, and therefore its key.

    config: what it reads of the configuration; all of it is hashed. inputs: role to the name of the
    stage that makes it. max_steps: SGD steps it takes at most; a set's size is known only later.
    """

    name: str
    kind: Kind
    architecture: str
    method: str
    round_index: int
    config: Mapping[str, Any]
    inputs: Mapping[str, str]
    key: str
    max_steps: int = 0


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a pipeline is asked for.

    workers: data-parallel workers of dense training. transfer_from: an architecture of the recipe
    whose sets all others use. judge: `last`, `all`, `none` or a list of rounds.
    """

    recipe: Recipe
    data: str
    data_name: str
    num_training: int
    precision: Precision
    workers: int = 1
    transfer_from: str | None = None
    judge: Literal["last", "all", "none"] | tuple[int, ...] = "last"

    def __post_init__(self) -> None:
        known = self.recipe.architectures
        if self.transfer_from is not None and self.transfer_from not in known:
            raise ConfigError(
                f"--transfer-from {self.transfer_from!r} is not among the architectures; "
                f"allowed: {', '.join(known)}"
            )
        if self.workers < 1:
            raise ConfigError(f"workers {self.workers} is not allowed; allowed: 1 or more")
        # As `DeviceImages.epoch` divides them: the smallest step needs a sample for each worker.
        smallest = self.num_training // num_batches(self.num_training, self.recipe.train.batch_size)
        if self.workers > smallest:
            raise ConfigError(
                f"a step of {smallest} samples can't be shared by {self.workers} workers; "
                "use fewer workers or a larger train.batch_size"
            )
        rounds = self.recipe.search.rounds
        if isinstance(self.judge, tuple) and not all(0 <= k <= rounds for k in self.judge):
            raise ConfigError(f"--judge {self.judge} is not allowed; allowed: rounds 0 to {rounds}")

    @property
    def methods(self) -> tuple[Method, ...]:
        """PrAC first, then what it is compared with."""
        return ("prac", *(m for m in METHODS if m != "prac" and m in self.recipe.compare))

    @property
    def judged_rounds(self) -> tuple[int, ...]:
        """The rounds whose tickets are judged; 0 is the dense network."""
        rounds = self.recipe.search.rounds
        if self.judge == "none":
            return ()
        if self.judge == "last":
            return (0, rounds)
        if self.judge == "all":
            return tuple(range(rounds + 1))
        return tuple(sorted(set(self.judge)))


@dataclass(frozen=True, kw_only=True)
class SearchStages:
    """The names of one search's stages. A stage may be shared with another search.

    rounds: what trains m_0 to m_{N-1}. samples: what makes D_1 to D_N; empty where every round
    trains on everything. judgements, tickets: by round; 0 is the dense network.
    """

    architecture: str
    method: Method
    rounds: tuple[str, ...]
    samples: tuple[str, ...]
    judgements: Mapping[int, str]
    tickets: Mapping[int, str]


@dataclass(frozen=True)
class Graph:
    """Stages by name, each after its inputs. `targets` are what the pipeline is for."""

    stages: Mapping[str, Stage]
    targets: tuple[str, ...]
    searches: tuple[SearchStages, ...] = ()

    def only(self, kinds: Iterable[Kind]) -> Graph:
        """The part of the graph that is for stages of these kinds, with what they need."""
        wanted = set(kinds)
        targets = tuple(name for name, stage in self.stages.items() if stage.kind in wanted)
        return dataclasses.replace(self, targets=targets)

    def to_run(self, finished: Iterable[str]) -> list[Stage]:
        """The stages that have to run, given the keys of finished ones: in order, none too many.

        A stage whose results nobody who runs has to read is left out, finished or not.
        """
        done = set(finished)
        needed: set[str] = set()
        open_names = [name for name in self.targets if self.stages[name].key not in done]
        while open_names:
            name = open_names.pop()
            if name in needed:
                continue
            needed.add(name)
            inputs = self.stages[name].inputs.values()
            open_names.extend(i for i in inputs if self.stages[i].key not in done)
        return [stage for name, stage in self.stages.items() if name in needed]


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
    label = f"{architecture}:{method}"
    full_steps = full_budget(recipe.train, request.num_training).steps
    own_sets = method == "prac" and borrowed is None

    def config_of(round_index: int) -> dict[str, Any]:
        return {
            "round": round_config(
                recipe,
                architecture,
                round_index,
                method=method,
                precision=request.precision,
                # The random subset's dense run is PrAC's own, so that it is trained once.
                records_events=borrowed is None
                and (method == "prac" or (method == "random-subset" and round_index == 0)),
            )
        }

    dense = builder.add(
        "dense",
        f"dense:{label}",
        architecture=architecture,
        method=method,
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
                method=method,
                round_index=index,
                config=config_of(index),
                inputs=inputs,
                max_steps=full_steps,
            )
        )
    if own_sets:
        sets[architecture] = made
    elif method == "prac":
        sets[architecture] = list(borrowed or ())
    judgements, tickets = _add_tickets(builder, label, architecture, method, rounds, used)
    builder.searches.append(
        SearchStages(
            architecture=architecture,
            method=method,
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
    if method == "vanilla":
        return {}
    if method == "prac":
        return {"samples": made[index - 1]}
    subset = builder.add(
        "subset",
        f"subset:{label}:{index}",
        architecture=architecture,
        method=method,
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
) -> tuple[dict[int, str], dict[int, str]]:
    """Judgements and tickets of one search: every PrAC ticket, and all that are judged."""
    request = builder.request
    recipe = request.recipe
    judged = set(request.judged_rounds)
    train: TrainConfig = dataclasses.replace(recipe.train, precision=request.precision)
    config = JudgeConfig(
        architecture=architecture, train=train, augment=recipe.augment, seed=recipe.search.seed
    )
    steps = full_budget(recipe.train, request.num_training).steps
    judgements: dict[int, str] = {}
    tickets: dict[int, str] = {}
    for index in range(recipe.search.rounds + 1):
        judgement = None
        if index in judged and (index > 0 or method == "prac"):
            inputs = {"rewind": rounds[0]}
            if index > 0:
                inputs["before"] = rounds[index - 1]
            judgement = builder.add(
                "judge",
                f"judge:{label}:{index}",
                architecture=architecture,
                method=method,
                round_index=index,
                config={"judge": config},
                inputs=inputs,
                max_steps=steps,
            )
            judgements[index] = judgement
            if index == 0:
                builder.dense_judgements[architecture] = judgement
        if index == 0 or (method != "prac" and judgement is None):
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
            method=method,
            round_index=index,
            config={
                "method": method,
                "dense": builder.stages[rounds[0]].config["round"],
                "data_name": request.data_name,
                "recipe": recipe.name,
                "transfer_from": request.transfer_from,
            },
            inputs=inputs,
        )
    return judgements, tickets
