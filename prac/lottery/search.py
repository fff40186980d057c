"""A search in this process, from a recipe to rounds, masks, sets, tickets and the bill.

What runs is what a cluster runs: the graph of `prac.lottery.compose`, by `run_local`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from prac.config.checks import require
from prac.config.recipe import Recipe
from prac.config.recipes import get_recipe
from prac.config.values import Judge
from prac.data.dataset import Source
from prac.data.sources import as_source
from prac.data.splits import training_rows
from prac.errors import ConfigError
from prac.lottery.compose import build_graph
from prac.lottery.folder_store import FolderStore
from prac.lottery.kept import FolderKept, pipeline_of
from prac.lottery.local import LocalEnv, run_local
from prac.lottery.networks import check_networks
from prac.lottery.progress import SILENT, Display
from prac.lottery.request import Asked, Request, make_request
from prac.lottery.rounds import TrainRound
from prac.lottery.search_result import Reader, SearchResult
from prac.lottery.store import MemoryStore, Store
from prac.lottery.turn import turn
from prac.plugins import object_digest, own_key
from prac.scratch import scratch_folder
from prac.storage import Folder
from prac.training.precision import pick_device, resolve_precision


@dataclass(frozen=True, kw_only=True)
class Local:
    """How a search runs in this process; of it the device's precision and a round trainer of one's
    own are in keys, and nothing else.

    device: `auto`, `cpu` or `cuda`. threads: of a CPU; None leaves what torch has (with another
    number sums may be rounded otherwise; the same finds the same bits). train_round:
    trains the rounds in place of our own loop (`prac.TrainRound`); in a store what it trains is
    found again by its attribute `prac_key`, a string, else by its source and what it holds.
    display: is told how it goes on.
    """

    device: str = "auto"
    threads: int | None = None
    train_round: TrainRound | None = None
    display: Display = SILENT


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
    _check_types(recipe, store, how)
    source = as_source(recipe.data.source if data is None else data, recipe.data)
    if network is not None:
        several = isinstance(network, list | tuple)
        recipe = recipe.replace(architectures=tuple(network) if several else (network,))
    with turn(how.threads):
        request = local_request(
            recipe, source, how.device, transfer_from=transfer_from, judge=judge, seeds=seeds
        )
        if how.train_round is not None:
            request = dataclasses.replace(request, trainer=_told(how.train_round, store))
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
                device=str(pick_device(how.device)),
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
    return SearchResult(first, graph, Reader(kept, ran), env.dataset, searched)


def local_request(recipe: Recipe, source: Source, device: str, **asked: Unpack[Asked]) -> Request:
    """What a search in this process is asked for. Raises ConfigError."""
    num_training = training_rows(source.summary(), recipe.data.validation_fraction)
    precision = resolve_precision(recipe.train.precision, pick_device(device))
    return make_request(recipe, source, num_training, precision, **asked)


def _check_types(recipe: object, store: object, how: object) -> None:
    for name, value, fits, allowed in (
        ("recipe", recipe, isinstance(recipe, Recipe), "a name, or a Recipe"),
        ("how", how, isinstance(how, Local), "a prac.Local"),
        ("store", store, store is None or _is_store(store), "a folder's path, a store, or None"),
    ):
        require(fits, name, value, allowed)
    assert isinstance(how, Local)
    trainer = how.train_round
    require(trainer is None or callable(trainer), "train_round", trainer, "a prac.TrainRound")


def _is_store(store: object) -> bool:
    return isinstance(store, (str, Path)) or all(
        hasattr(store, name) for name in ("find", "commit", "read")
    )


def _told(trainer: TrainRound, store: Any) -> str:
    """What tells it in keys; nothing that only this call keeps is ever taken for another's."""
    return own_key(trainer) or ("the user's" if store is None else object_digest(trainer))


@contextlib.contextmanager
def _places(store: Store | str | Path | None) -> Iterator[tuple[Store, Folder]]:
    """Where finished stages are kept, and where those at work keep events and checkpoints."""
    if isinstance(store, (str, Path)):
        if "://" in str(store):
            raise ConfigError(f"store {str(store)!r} is no folder; allowed: a folder's path")
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
