"""A search in this process, from a recipe to rounds, masks, sets, tickets and the bill.

What runs is what a cluster runs: the graph of `prac.lottery.compose`, by `run_local`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from prac.config.recipe import Recipe
from prac.config.recipes import get_recipe
from prac.config.values import Judge
from prac.data.dataset import ImageDataset, Source
from prac.data.sources import as_source
from prac.data.splits import training_rows
from prac.errors import ConfigError, StoreError
from prac.lottery.bill import own_stages, total
from prac.lottery.compose import build_graph
from prac.lottery.folder_store import FolderStore
from prac.lottery.graph import Graph, Request, SearchStages
from prac.lottery.kept import FolderKept, pipeline_of
from prac.lottery.local import LocalEnv, Ran, run_local
from prac.lottery.networks import check_networks, initial_digests
from prac.lottery.outputs import NEXT_MASK, SET, TICKET, Cost, File, JudgeFacts, Made, RoundFacts
from prac.lottery.progress import SILENT, Display
from prac.lottery.rounds import TrainRound
from prac.lottery.stage_config import check_rewind
from prac.lottery.store import DamagedArtifact, MemoryStore, Store
from prac.lottery.turn import turn
from prac.plugins import name_of, own_key
from prac.pruning.mask import Mask
from prac.scratch import scratch_folder
from prac.selection.prac_set import PracSet
from prac.storage import Folder
from prac.ticket.format import Ticket
from prac.training.precision import pick_device, resolve_precision

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Local:
    """How a search runs in this process; none of it but the device's precision changes a result.

    device: `auto`, `cpu` or `cuda`. threads: of a CPU; None leaves what torch has. train_round:
    trains the rounds in place of our own loop (`prac.TrainRound`); without an attribute
    `prac_key`, a string that goes into keys, a store takes what it trains for what ours trains.
    display: is told how it goes on.
    """

    device: str = "auto"
    threads: int | None = None
    train_round: TrainRound | None = None
    display: Display = SILENT


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
        made: _Reader,
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
class _Reader:
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


def search(
    recipe: str | Recipe = "images",
    *,
    data: Any = None,
    network: Any = None,
    transfer_from: str | None = None,
    judge: Judge = "auto",
    seeds: int = 1,
    only: str | Sequence[str] = (),
    store: Store | str | Path | None = None,
    how: Local = Local(),
) -> SearchResult:
    """Find tickets: dense training, sets, rounds, masks, tickets (arXiv:2106.03225, algorithm 1).

    recipe: a name (`prac recipes`) or a value; its `compare` names methods to run beside PrAC.
    data: a source's name, an ImageDataset, arrays or a torch Dataset (`prac.data.given`); None is
    the recipe's. network: an architecture's name, a callable that makes a module from `in_channels`
    and `num_classes` as far as it takes them, or several of both; None is the recipe's.
    transfer_from: the network whose sets all others use. judge: which tickets are tested, as found
    or trained alone by `seeds` seeds each (`prac.config.values.Judge`). only: the methods whose
    searches are run, with what they borrow, the first one's answered; empty: all. store: a folder
    (or a Store) that keeps finished stages, so that the same call goes on from there; None keeps
    them in memory. Two calls in two threads run one after the other.

    Raises ConfigError before anything is trained for what can't be, PracError for what fails.
    """
    recipe = get_recipe(recipe) if isinstance(recipe, str) else recipe
    source = as_source(recipe.data.source if data is None else data, recipe.data)
    if network is not None:
        several = isinstance(network, list | tuple)
        recipe = recipe.replace(architectures=tuple(network) if several else (network,))
    with turn(how.threads):
        request = local_request(recipe, source, how.device, transfer_from, judge, seeds)
        if how.train_round is not None:
            request = dataclasses.replace(request, trainer=own_key(how.train_round))
        graph = build_graph(request)
        methods = {only} if isinstance(only, str) and only else set(only)
        if methods:
            graph = graph.by(methods)
        with _places(store) as (kept, work):
            env = LocalEnv(
                data=request.data,
                load=source.load,
                augment=recipe.augment,
                storage=work,
                device=pick_device(how.device).type,
                train_round=how.train_round,
                display=how.display,
            )
            check_networks(
                graph.architectures, env.dataset(), recipe=recipe, precision=request.precision
            )
            if isinstance(kept, FolderStore):
                FolderKept(kept.root).note(pipeline_of(request, graph, time.time()))
            ran = run_local(graph, env, kept)
    searched = [s for s in graph.searches if not methods or s.method in methods]
    # Where sets are transferred, their source is searched first.
    first = next(s for s in searched if s.architecture == recipe.architectures[0])
    return SearchResult(first, graph, _Reader(kept, ran), env.dataset, searched)


def local_request(
    recipe: Recipe, source: Source, device: str, transfer_from: str | None, judge: Judge, seeds: int
) -> Request:
    """What is asked for, as a graph is built of it. Raises ConfigError."""
    summary = source.summary()
    num_training = training_rows(summary, recipe.data.validation_fraction)
    check_rewind(recipe, num_training)
    return Request(
        recipe=recipe,
        data=source.fingerprint(),
        data_name=source.name,
        num_training=num_training,
        precision=resolve_precision(recipe.train.precision, pick_device(device)),
        transfer_from=transfer_from,
        judge=judge,
        seeds=seeds,
        weights=initial_digests(recipe, source),
    )


@contextlib.contextmanager
def _places(store: Store | str | Path | None) -> Iterator[tuple[Store, Folder]]:
    """Where finished stages are kept, and where those at work keep events and checkpoints."""
    if isinstance(store, (str, Path)):
        store = FolderStore.of_runs(Path(store))
    if isinstance(store, FolderStore):
        yield store, Folder(store.work)
        return
    if isinstance(store, MemoryStore):
        # Scores of a later call read the events of what this one trains.
        yield store, Folder(store.scratch.name)
        return
    with scratch_folder() as scratch:
        yield MemoryStore() if store is None else store, Folder(scratch)
