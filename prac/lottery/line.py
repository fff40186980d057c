"""The stages of a graph while it is composed: all so far, and those of one search."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from prac.config.methods import PRAC, Method
from prac.config.plug_ins import plug_ins
from prac.config.sections import PruneConfig, SelectConfig
from prac.fingerprint import stage_key
from prac.lottery.graph import SearchStages, Stage
from prac.lottery.kinds import KINDS
from prac.lottery.method_config import prune_for, select_for
from prac.lottery.request import Request
from prac.lottery.stage_config import NetworkConfig, RoundConfig, StartingConfig, TrainingConfig
from prac.plugins import identity
from prac.training.schedule import full_budget


class Stages:
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
        line: Line | None = None,
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
class Line:
    """One search while its stages are added, by round.

    others: the searches before it, by architecture and method. rounds: what trains m_0, m_1, ...;
    last: what trains the last mask, where weights go on. masks: what makes m_1, m_2, ...: the same,
    but where masks are made beside the training. samples: what makes D_1, D_2, ...
    """

    stages: Stages
    request: Request
    others: Mapping[tuple[str, str], Line]
    architecture: str
    method: Method
    rounds: list[str] = field(default_factory=list)
    masks: list[str] = field(default_factory=list)
    samples: list[str] = field(default_factory=list)
    judgements: dict[int, tuple[str, ...]] = field(default_factory=dict)
    found: dict[int, str] = field(default_factory=dict)
    tickets: dict[int, str] = field(default_factory=dict)
    as_found: list[int] = field(default_factory=list)
    proxy: str | None = None
    last: str | None = None
    select: SelectConfig = field(init=False)
    prune: PruneConfig = field(init=False)

    def __post_init__(self) -> None:
        recipe = self.request.recipe
        self.select = select_for(self.method, recipe.select)
        self.prune = prune_for(self.method, recipe.prune)

    @property
    def leaves_trained(self) -> bool:
        """Whether a round's network is a trained ticket as it is: its rounds go on from the weights
        before, in a search of its own, or train one each."""
        own = self.method.starts == "rewind" and self.method.borrows != "rounds"
        goes_on = own and not self.request.recipe.search.rewind.rewinds
        return goes_on or self.is_apart

    @property
    def is_apart(self) -> bool:
        """Whether each of its tickets has a training of its own."""
        return self.method.trains == "tickets"

    @property
    def label(self) -> str:
        """What its stages' names have in common."""
        return self.shared(f"{self.architecture}:{self.method.name}")

    @property
    def source(self) -> str:
        """The architecture whose sets it uses: its own, where none are transferred."""
        return self.request.transfer_from or self.architecture

    @property
    def transferred(self) -> bool:
        """Whether it uses the sets that another architecture has under the same method."""
        return self.source != self.architecture

    @property
    def prac(self) -> Line:
        """PrAC's search of the same architecture."""
        return self.others[self.architecture, PRAC.name]

    def shared(self, name: str) -> str:
        """The name of what all architectures of one search seed share."""
        seed = self.request.recipe.search.seed
        return f"{name}:search-{seed}" if self.request.place else name

    def named(self) -> SearchStages:
        """Its stages so far, as the graph keeps them."""
        rewind = self.request.recipe.search.rewind
        beside = self.rounds[:1] if rewind.needs_training else []
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
            last=self.last,
            as_found=tuple(self.as_found),
            alone=self.request.as_found and not self.leaves_trained,
            apart=tuple(beside) if self.is_apart else None,
            gradual=self.request.recipe.prune.gradual > 0,
        )

    def add(
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
