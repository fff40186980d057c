"""One graph, two executors: what this process makes is what the cluster's tasks make."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.played import PlayedTasks, Recorder, played_context

from prac.config.recipe import Recipe
from prac.config.recipes import digits
from prac.config.sections import PruneConfig, SelectConfig
from prac.data.dataset import ImageDataset
from prac.distributed.executor import RayExecutor
from prac.lottery.compose import build_graph
from prac.lottery.graph import Graph
from prac.lottery.local import LocalEnv, run_local
from prac.lottery.outputs import NEXT_MASK, SET, TRAINED, File
from prac.lottery.request import Request
from prac.lottery.room import Room
from prac.lottery.stage_config import ScoreStageConfig
from prac.lottery.store import Finished, MemoryStore
from prac.storage import Folder

# A score of a user's that draws: what it is worth is that its draw is the same everywhere.
SCORES = """
import numpy as np
from prac.selection.scores import scorer


def drawn(evidence, select):
    return np.random.default_rng(evidence.seed).random(len(evidence.sample_ids))


of_events = scorer(reads="events")(drawn)
of_model = scorer(reads="model")(drawn)
of_proxy = scorer(reads="proxy")(drawn)
"""


@pytest.fixture
def _scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "drawn_scores.py").write_text(SCORES)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    monkeypatch.delitem(sys.modules, "drawn_scores", raising=False)


# One of each: a set by chance, a fresh one, a model's score, masks beside the training.
FEW = ("random-subset", "rs2", "entropy", "snip")


def recipe_of(score: str, compare: tuple[str, ...] = (), **changes: object) -> Recipe:
    recipe = digits()
    return recipe.replace(
        architectures=("conv4",),
        compare=compare,
        train=recipe.train.with_epochs(2),
        prune=PruneConfig(iterations=4),
        select=SelectConfig(
            score=score, fraction=0.2, options={"proxy": "conv4", "proxy_epochs": 1}
        ),
        **changes,
    )


@pytest.mark.usefixtures("_scores")
def test_the_draw_of_a_score_has_the_search_s_seed_and_the_number_of_the_score(
    request_for: Callable[..., Request],
) -> None:
    """0 for one that serves the whole search, the round for the model's own."""

    def draws(score: str) -> list[tuple[int, int]]:
        recipe = recipe_of(f"drawn_scores:{score}")
        search = type(recipe.search)(rounds=3, rewind=recipe.search.rewind, seed=7)
        graph = build_graph(request_for(recipe=recipe.replace(search=search)))
        configs = [stage.config for stage in graph.stages.values() if stage.kind == "score"]
        assert all(isinstance(config, ScoreStageConfig) for config in configs)
        return [config.draw for config in configs]

    assert draws("of_events") == [(7, 0)]
    assert draws("of_proxy") == [(7, 0)]
    assert draws("of_model") == [(7, 1), (7, 2), (7, 3)]


def _read(graph: Graph, store: MemoryStore, finished: dict[str, Finished], file: File) -> dict:
    made = {name: store.read(finished[name]) for name in graph.stages if name in finished}
    return {name: one[file] for name, one in made.items() if file in one.files}


@pytest.mark.usefixtures("_scores")
@pytest.mark.parametrize(
    ("score", "compare"), [("drawn_scores:of_events", ()), ("critical", FEW)], ids=["own", "few"]
)
def test_both_executors_make_the_same_sets_masks_and_weights(
    score: str,
    compare: tuple[str, ...],
    request_for: Callable[..., Request],
    digits_data: ImageDataset,
    tmp_path: Path,
) -> None:
    recipe = recipe_of(score, compare)
    search = type(recipe.search)(rounds=2, rewind=recipe.search.rewind)
    judge = "last" if compare else "none"
    request = request_for(
        recipe=recipe.replace(search=search), data=digits_data.fingerprint, judge=judge
    )
    graph = build_graph(request)
    here, there = MemoryStore(), MemoryStore()
    env = LocalEnv(
        data=request.data,
        load=lambda: digits_data,
        augment=recipe.augment,
        storage=Folder(tmp_path / "here"),
    )
    alone = run_local(graph, env, here).finished
    context = played_context(
        tmp_path / "there", dataset=digits_data, augment=recipe.augment, workers=1
    )
    executor = RayExecutor(context, there, Recorder(), room=Room(cpus=2), tasks=PlayedTasks())
    shared = executor.run(graph, {}).finished
    assert alone.keys() == shared.keys()
    sets, others = (
        {name: chosen.digest for name, chosen in _read(graph, *made, SET).items()}
        for made in ((here, alone), (there, shared))
    )
    assert sets == others
    assert set(graph.searches[0].samples) < sets.keys()  # tickets have theirs too
    for file, some in (
        (NEXT_MASK, {"dense:conv4:prac", "round:conv4:prac:1"}),
        (TRAINED, {f"judge:conv4:{method}:2" for method in compare}),
    ):
        ours, theirs = (_read(graph, *made, file) for made in ((here, alone), (there, shared)))
        assert some <= ours.keys() == theirs.keys()
        for name, tensors in ours.items():
            assert tensors.keys() == theirs[name].keys()
            assert all((tensors[w] == theirs[name][w]).all() for w in tensors), name
