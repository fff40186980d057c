"""The pipeline's graph as a value: printed, drawn and costed before anything runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from prac.errors import unknown


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One node: what it reads, and therefore its key.

    kind: a row of `prac.lottery.kinds`. config: what it reads of the configuration, a value of
    `prac.lottery.stage_config`; all of it is hashed. inputs: role to the name of the stage that
    makes it; a step takes what that made as the argument of this name. max_steps: SGD steps it
    takes at most; a set's size is known only later.
    """

    name: str
    kind: str
    architecture: str
    method: str
    round_index: int
    config: Any
    inputs: Mapping[str, str]
    key: str
    max_steps: int = 0


@dataclass(frozen=True, kw_only=True)
class SearchStages:
    """The names of one search's stages. A stage may be shared with another search.

    rounds: what trains m_0 to m_{N-1}; where nothing is trained, what makes the masks. last: what
    trains m_N, where weights go on (`search.rewind=learning-rate`). masks: what makes m_1 to m_N.
    samples: what makes D_1 to D_N; empty where every round trains on everything. judgements: by
    round, one for each seed, the same seed at the same place in all searches. as_found: the rounds
    whose judgements are of the networks that they left. alone: its tickets were trained alone
    beside others that were found trained, so that this training is among their steps too. found: by
    round, what tested its network as it is, beside judgements that train. tickets: by round. Round
    0 is the dense network. proxy: what trained the network that chose its sets, if one did. apart:
    where each ticket has a training of its own, the rounds that one needs beside it which is judged
    by a further training; None where a round goes on from those before. gradual: whether vanilla's
    rounds prune as they go, so that its m_k needs round k.
    """

    architecture: str
    method: str
    rounds: tuple[str, ...]
    masks: tuple[str, ...]
    samples: tuple[str, ...]
    judgements: Mapping[int, tuple[str, ...]]
    tickets: Mapping[int, str]
    proxy: str | None = None
    last: str | None = None
    found: Mapping[int, str] = field(default_factory=dict)
    as_found: tuple[int, ...] = ()
    alone: bool = False
    apart: tuple[str, ...] | None = None
    gradual: bool = False

    @property
    def all_rounds(self) -> tuple[str, ...]:
        """The last one's training included."""
        return self.rounds if self.last is None else (*self.rounds, self.last)

    @property
    def makes_own_masks(self) -> bool:
        """Whether round k makes m_k in the course of itself, and not the round before."""
        return self.masks == self.all_rounds[1:]

    @property
    def stages(self) -> tuple[str, ...]:
        """All that it is made of."""
        tested = (name for names in self.judgements.values() for name in names)
        made = (*self.all_rounds, *self.masks, *self.samples, *tested)
        return (*made, *self.found.values(), *self.tickets.values())

    def trainings(self, index: int, *, judged: bool = True) -> tuple[str, ...]:
        """What was trained to find m_k, k = `index`: the sum of their SGD steps is what the ticket
        cost, everywhere. A proxy's are from m_2 on, the first mask of a round on a set that it
        chose. As found, that under m_k is among them, unless it is not judged yet."""
        needed = self.rounds_for(index, judged=judged)
        proxy = (self.proxy,) if self.proxy is not None and len(needed) > 1 else ()
        own = self.judgements[index][:1] if judged and self._is_alone(index) else ()
        return (*dict.fromkeys((*needed, *own)), *proxy)

    def rounds_for(self, index: int, *, judged: bool = True) -> tuple[str, ...]:
        """The rounds that the ticket with m_k, k = `index`, needs."""
        as_found = judged and index in self.as_found
        if index and self.apart is not None:
            beside = () if as_found else self.apart
            return (*beside, self.all_rounds[index])
        by_itself = index > 0 and self.makes_own_masks
        return self.all_rounds[: index + (as_found or by_itself)]

    def trained_as_found(self, index: int) -> tuple[str, ...]:
        """What was trained for the network that the search left under m_k, k = `index`."""
        own = self.all_rounds[index]
        if index and self.apart is not None:
            return (own,)
        # The first set is the proxy's, which m_1 does without.
        proxy = () if self.proxy is None or index == 0 else (self.proxy,)
        return tuple(dict.fromkeys((*self.trainings(index), *proxy, own)))

    def masks_for(self, index: int) -> tuple[str, ...]:
        """What makes the masks that the ticket with m_k, k = `index`, needs."""
        return self.masks[:index] if self.apart is None else self.masks[:index][-1:]

    def budgets(self, index: int, *, judged: bool = True) -> int:
        """How many full budgets vanilla spends on a ticket with m_k, k = `index`."""
        own = judged and (index in self.as_found or self._is_alone(index))
        return index + (index > 0 and (self.gradual or own))

    def _is_alone(self, index: int) -> bool:
        return self.alone and index > 0 and index in self.judgements


@dataclass(frozen=True)
class Graph:
    """Stages by name, each after its inputs. `targets` are what the pipeline is for.

    searches: of the first search seed. repeats: the same of each further one.
    """

    stages: Mapping[str, Stage]
    targets: tuple[str, ...]
    searches: tuple[SearchStages, ...] = ()
    repeats: tuple[tuple[SearchStages, ...], ...] = ()

    @property
    def every_search(self) -> tuple[SearchStages, ...]:
        """Of all search seeds."""
        return (*self.searches, *(search for repeat in self.repeats for search in repeat))

    @property
    def architectures(self) -> tuple[str, ...]:
        """All networks that are trained, each once: those searched, and proxies."""
        proxies = (s.config.architecture for s in self.stages.values() if s.kind == "proxy")
        return tuple(dict.fromkeys((*(s.architecture for s in self.searches), *proxies)))

    def only(self, kinds: Iterable[str]) -> Graph:
        """The part of the graph that is for stages of these kinds, with what they need."""
        wanted = set(kinds)
        targets = tuple(name for name, stage in self.stages.items() if stage.kind in wanted)
        return dataclasses.replace(self, targets=targets)

    def by(self, methods: Iterable[str]) -> Graph:
        """The part of the graph that is for searches by these methods, with what they need.

        Raises ConfigError for a method by which nothing is searched.
        """
        known = dict.fromkeys(search.method for search in self.every_search)
        wanted = set(methods)
        for name in wanted - known.keys():
            raise unknown("searched method", name, known)
        names = {
            name
            for search in self.every_search
            if search.method in wanted
            for name in search.stages
        }
        targets = tuple(name for name in self.stages if name in names)
        return dataclasses.replace(self, targets=targets)

    def needed(self) -> list[Stage]:
        """The stages that the targets are made of, in order, finished or not."""
        return self.to_run(())

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
