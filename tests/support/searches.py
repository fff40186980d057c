"""A search that has run in this process, with all that its stages left."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from prac.config.recipe import Recipe
from prac.config.sections import AugmentConfig, BudgetConfig, PruneConfig, SearchConfig, TrainConfig
from prac.config.values import RewindPoint
from prac.data.batches import DeviceImages
from prac.data.dataset import ImageDataset
from prac.data.sources import as_source
from prac.lottery.compose import build_graph
from prac.lottery.graph import Graph, SearchStages
from prac.lottery.outputs import REWIND, Made, RoundFacts
from prac.lottery.request import Request
from prac.lottery.rounds import RoundOutcome, RoundTask, run_round
from prac.lottery.search import Local, local_request, search
from prac.lottery.search_result import SearchResult
from prac.lottery.store import MemoryStore
from prac.storage import Folder

TOY = Recipe(
    name="toy",
    description="",
    architectures=("resnet8",),
    augment=AugmentConfig(crop_padding=1, flip=False),
    train=TrainConfig(
        epochs=4, batch_size=16, learning_rate=0.02, milestones=(), precision="fp32", shares=1
    ),
    prune=PruneConfig(fraction=0.4, tolerance=None),
    budget=BudgetConfig(scaling="steps"),
    search=SearchConfig(rounds=3, rewind=RewindPoint("epoch", 1)),
)
"""Seconds on toy data, without stops."""


@dataclass
class Trainer:
    """Trains every round in a folder of its own (a `prac.TrainRound`), and keeps the tasks."""

    images: DeviceImages
    folder: Path
    tasks: list[RoundTask] = field(default_factory=list)
    prac_key = "keeps the tasks"

    def work(self, task: RoundTask) -> Path:
        """Where a round's events are."""
        return self.folder / task.run

    def __call__(self, task: RoundTask) -> RoundOutcome:
        self.tasks.append(task)
        return run_round(task, self.images, Folder(self.work(task)))


@dataclass(frozen=True)
class Searched:
    """What `prac.search` found, and what it kept."""

    request: Request
    graph: Graph
    store: MemoryStore
    result: SearchResult

    def made(self, name: str) -> Made:
        """What a stage made."""
        finished = self.store.find_one(self.graph.stages[name])
        assert finished is not None, name
        return self.store.read(finished)

    def stages(self, method: str = "prac", architecture: str | None = None) -> SearchStages:
        """The names of one search's stages."""
        wanted = architecture or self.request.recipe.architectures[0]
        return next(
            s for s in self.graph.searches if (s.architecture, s.method) == (wanted, method)
        )

    def rounds(self, method: str = "prac") -> list[Made | None]:
        """What the rounds left that were trained; None for others."""
        made = [self.made(name) for name in self.stages(method).rounds]
        return [m if isinstance(m.facts, RoundFacts) else None for m in made]

    def trained(self, method: str = "prac") -> list[Made]:
        """What all rounds left, of a method that trains all."""
        made = [m for m in self.rounds(method) if m is not None]
        assert len(made) == self.request.recipe.search.rounds
        return made

    def start(self, method: str = "prac") -> dict[str, Tensor]:
        """The weights that a method's tickets start from."""
        tickets = self.stages(method).tickets
        ticket = self.graph.stages[tickets[max(tickets)]]
        weights: Mapping[str, Tensor] = self.made(ticket.inputs["rewind"])[REWIND]
        return dict(weights)


def searched(
    recipe: Recipe,
    dataset: ImageDataset,
    *,
    trainer: Trainer | None = None,
    store: MemoryStore | None = None,
    **asked: Any,
) -> Searched:
    """Run a search on the processor."""
    asked = {"transfer_from": None, "judge": "none", "seeds": 1} | asked
    store = MemoryStore() if store is None else store
    how = Local(device="cpu", train_round=trainer)
    result = search(recipe, data=dataset, store=store, how=how, **asked)
    source = as_source(dataset, recipe.data)
    options = {name: asked[name] for name in ("transfer_from", "judge", "seeds")}
    request = local_request(recipe, source, "cpu", **options)
    if trainer is not None:
        request = dataclasses.replace(request, trainer=trainer.prac_key)
    graph = build_graph(request)
    if asked.get("only"):
        graph = graph.by(asked["only"])
    return Searched(request, graph, store, result)
