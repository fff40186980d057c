"""What a search found: rounds, masks, sets, tickets and the bill, read when they are asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from prac.data.dataset import ImageDataset
from prac.errors import ConfigError, StoreError
from prac.lottery.bill import own_stages, total
from prac.lottery.graph import Graph, SearchStages
from prac.lottery.local import Ran
from prac.lottery.outputs import NEXT_MASK, SET, TICKET, Cost, File, JudgeFacts, Made, RoundFacts
from prac.lottery.store import DamagedArtifact, Store
from prac.plugins import name_of
from prac.pruning.mask import Mask
from prac.selection.prac_set import PracSet
from prac.ticket.format import Ticket

T = TypeVar("T")


@dataclass(frozen=True)
class SearchRound:
    """One round of a search: the mask m_k and the set D_k that it had, and what it left.

    facts: of its training; None where the method trains nothing in it, and in the last one where
    weights are rewound. test_accuracies: of the ticket with m_k, one for each judging seed.
    found_test_accuracy: of the network that the round left, as it is, where weights go on.
    """

    index: int
    mask: Mask
    samples: PracSet
    facts: RoundFacts | None
    steps: int
    test_accuracies: tuple[float, ...]
    found_test_accuracy: float | None = None

    def __repr__(self) -> str:
        told = f"round {self.index}: sparsity {self.mask.sparsity:.2%}, {len(self.samples)} samples"
        if self.facts is not None:
            told += f", {self.steps} steps, validation {self.facts.best_accuracy:.2%}"
        if self.test_accuracies:
            told += f", test {sum(self.test_accuracies) / len(self.test_accuracies):.2%}"
        if self.found_test_accuracy is not None:
            told += f", as found {self.found_test_accuracy:.2%}"
        return f"<{told}>"


class SearchResult:
    """What a search found: of its first network by PrAC, and of all others by `result[...]`.

    `result["vanilla"]` is the same network by another method, `result["conv4"]` another network by
    PrAC, `result["conv4", "vanilla"]` or `result["conv4:vanilla"]` both; objects that were handed
    over are themselves in place of names. What a store keeps is read when it is asked for.
    """

    def __init__(
        self,
        stages: SearchStages,
        graph: Graph,
        made: Reader,
        dataset: Callable[[], ImageDataset],
        searched: Sequence[SearchStages],
    ) -> None:
        self._stages, self._graph, self._made, self._dataset = stages, graph, made, dataset
        self._searched = searched
        self.architecture, self.method = stages.architecture, stages.method

    def __getitem__(self, which: Any) -> SearchResult:
        name = ":".join(map(name_of, which if isinstance(which, tuple) else (which,)))
        searches = self._searched
        # Names of plug-ins have colons of their own: they are compared whole.
        by_name = {s.architecture: s for s in reversed(searches)}  # PrAC's is the first
        by_name |= {s.method: s for s in searches if s.architecture == self.architecture}
        both = {f"{s.architecture}:{s.method}": s for s in searches}
        found = {**by_name, **both}.get(name)
        if found is None:
            raise ConfigError(f"search {name!r} is not known; known: {', '.join(both)}")
        return SearchResult(found, self._graph, self._made, self._dataset, searches)

    @cached_property
    def masks(self) -> tuple[Mask, ...]:
        """m_0 to m_N."""
        made = [self._made.file(name, NEXT_MASK) for name in self._stages.masks]
        dense = Mask({name: tensor.new_ones(tensor.shape) for name, tensor in made[0].items()})
        return (dense, *made)

    @cached_property
    def sets(self) -> tuple[PracSet, ...]:
        """D_0 to D_N; of a method that draws in every epoch, the sets whose sizes it has."""
        everything = PracSet.everything(self._dataset().training_ids)
        if not self._stages.samples:
            return (everything,) * (len(self._stages.masks) + 1)
        return (everything, *(self._made.file(name, SET) for name in self._stages.samples))

    @cached_property
    def rounds(self) -> tuple[SearchRound, ...]:
        """Rounds 0 to N - 1 as they were trained, then the last mask and set, trained as well where
        weights go on."""
        found = []
        for index, (mask, samples) in enumerate(zip(self.masks, self.sets, strict=True)):
            facts, steps = None, 0
            if index < len(self._stages.all_rounds):
                made = self._made(self._stages.all_rounds[index])
                facts = made.facts if isinstance(made.facts, RoundFacts) else None
                steps = made.cost.steps
            judged = self._stages.judgements.get(index, ())
            accuracies = tuple(self._made(n).known(JudgeFacts).test_accuracy for n in judged)
            name = self._stages.found.get(index)
            own = None if name is None else self._made(name).known(JudgeFacts).test_accuracy
            found.append(SearchRound(index, mask, samples, facts, steps, accuracies, own))
        return tuple(found)

    @cached_property
    def tickets(self) -> dict[int, Ticket]:
        """By round: ticket k has m_k."""
        return {index: self._made.file(n, TICKET) for index, n in self._stages.tickets.items()}

    @property
    def ticket(self) -> Ticket:
        """The sparsest one. Raises ConfigError for a method none of whose rounds were judged."""
        if not self._stages.tickets:
            raise ConfigError(
                f"{self.architecture}:{self.method} left no ticket: another method than PrAC has "
                'one of the rounds that are judged; search with judge="auto", "last" or "all"'
            )
        return self.tickets[max(self.tickets)]

    @property
    def bill(self) -> Cost:
        """All that its rounds, sets and masks cost; judging is apart."""
        return total(self._made(name).cost for name in own_stages(self._stages, self._graph))

    def steps_to_find(self, index: int) -> int:
        """SGD steps that the ticket with m_k, k = `index`, cost."""
        return sum(self._made(name).cost.steps for name in self._stages.trainings(index))

    def __repr__(self) -> str:
        last = self.rounds[-1]
        return (
            f"SearchResult({self.architecture} by {self.method}: {len(self.rounds) - 1} rounds to "
            f"sparsity {last.mask.sparsity:.2%}, {self.bill.steps} SGD steps)"
        )


@dataclass(frozen=True)
class Reader:
    """Reads what a stage made, by its name; what is damaged is revoked."""

    store: Store
    ran: Ran

    def __call__(self, name: str) -> Made:
        with self._revoking():
            return self.store.read(self.ran.finished[name])

    def file(self, name: str, file: File[T]) -> T:
        """One file of a finished stage, read; StoreError where it is damaged."""
        made = self(name)
        with self._revoking():
            return made[file]

    @contextlib.contextmanager
    def _revoking(self) -> Iterator[None]:
        try:
            yield
        except DamagedArtifact as error:
            self.store.revoke(error.finished, error.what)
            raise StoreError(f"{error}; search again, and it is made again") from error
