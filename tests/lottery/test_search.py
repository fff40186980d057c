"""Whole searches on a tiny data set, every step of METHOD recomputed here from what they left."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from prac.config.sections import (
    AugmentConfig,
    BudgetConfig,
    DataConfig,
    PruneConfig,
    Recipe,
    RewindPoint,
    SearchConfig,
    SelectConfig,
    TrainConfig,
)
from prac.data.batches import DeviceImages
from prac.data.dataset import ImageDataset
from prac.errors import CheckpointError, ConfigError, EmptySetError
from prac.lottery.rounds import RoundOutcome, RoundTask, run_round
from prac.lottery.search import SearchResult, search
from prac.models import build_model
from prac.pruning.mask import prunable_weights
from prac.selection import PracSet, Reason
from prac.storage import Folder
from prac.training.randomness import derived_seed

ToyData = Callable[..., ImageDataset]
RECIPE = Recipe(
    name="toy",
    description="toy",
    architectures=("resnet8",),
    data=DataConfig(),
    augment=AugmentConfig(crop_padding=1, flip=True),
    train=TrainConfig(
        epochs=4, batch_size=16, learning_rate=0.05, milestones=(3,), precision="fp32"
    ),
    prune=PruneConfig(tolerance=0.05, patience=2),
    budget=BudgetConfig(min_round_epochs=2),
    search=SearchConfig(rounds=3, rewind=RewindPoint("epoch", 1), seed=4),
)


@pytest.fixture(scope="module")
def images(toy_data: ToyData) -> DeviceImages:
    return DeviceImages(toy_data(80, noise=140), RECIPE.augment)


class Trainer:
    """Trains every round in a folder of its own, and keeps the tasks."""

    def __init__(self, images: DeviceImages, folder: Path) -> None:
        self.images, self.folder = images, folder
        self.tasks: list[RoundTask] = []

    def work(self, task: RoundTask) -> Path:
        return self.folder / str(task.config.round_index)

    def __call__(self, task: RoundTask) -> RoundOutcome:
        self.tasks.append(task)
        return run_round(task, self.images, Folder(self.work(task)))


Found = tuple[SearchResult, Trainer]


@pytest.fixture(scope="module")
def found(images: DeviceImages, tmp_path_factory: pytest.TempPathFactory) -> Found:
    trainer = Trainer(images, tmp_path_factory.mktemp("prac"))
    return search(RECIPE, "resnet8", images, trainer), trainer


def _model() -> torch.nn.Module:
    return build_model("resnet8", num_classes=3, image_shape=(8, 8, 1), seed=0)


def _initial_weights() -> dict[str, torch.Tensor]:
    seed = derived_seed(RECIPE.search.seed, "weights")
    model = build_model("resnet8", num_classes=3, image_shape=(8, 8, 1), seed=seed)
    return model.state_dict()


def _predictions(images: DeviceImages, weights: dict[str, torch.Tensor]) -> np.ndarray:
    model = _model()
    model.load_state_dict(weights)
    model.eval()
    with torch.no_grad():
        return model(images.clean(images.training_ids)).argmax(1).numpy()


def _critical_for_training(folder: Path, threshold: int) -> set[int]:
    """CET by brute force: the story of each sample, from the event files of one round."""
    right: dict[int, list[bool]] = defaultdict(list)
    for file in sorted((folder / "events").glob("*.parquet")):
        for row in pq.read_table(file).to_pylist():
            right[row["sample_id"]].append(row["correct"])
    critical = set()
    for sample, story in right.items():
        forgets = sum(a and not b for a, b in pairwise(story))
        if forgets > threshold or not any(story):
            critical.add(sample)
    return critical


def test_masks_are_nested_with_exact_counts(found: Found) -> None:
    masks = found[0].masks
    assert len(masks) == 4
    alive = masks[0].size
    for index, mask in enumerate(masks):
        assert mask.num_alive == alive
        assert index == 0 or mask.is_subset_of(masks[index - 1])
        alive -= round(0.2 * alive)
    assert found[0].last_mask == found[0].rounds[-1].outcome.next_mask


def test_every_set_is_cet_with_cep_by_brute_force(found: Found, images: DeviceImages) -> None:
    result, trainer = found
    assert result.sets[0].sample_ids.tolist() == images.training_ids.tolist()
    dense = _predictions(images, dict(result.rounds[0].outcome.best_weights))
    sizes = []
    for index, finished in enumerate(result.rounds):
        cet = _critical_for_training(trainer.work(trainer.tasks[index]), threshold=0)
        outcome = finished.outcome
        assert cet <= set(finished.samples.sample_ids.tolist())
        pruned = _predictions(images, dict(outcome.best_weights))
        assert outcome.predictions.tolist() == pruned.tolist()
        cep = set(images.training_ids[dense != pruned].tolist()) if index > 0 else set()
        made = result.sets[index + 1]
        assert set(made.sample_ids.tolist()) == cet | cep
        assert set(made.training_ids.tolist()) == cet
        assert set(made.pruning_ids.tolist()) == cep
        sizes.append((len(cet), len(cep), len(made)))
    # The test says nothing unless both parts select, and not everything.
    assert all(0 < total < len(images.training_ids) for _, _, total in sizes)
    assert any(cep > 0 for _, cep, _ in sizes)
    assert result.last_set == result.sets[3]
    assert set(result.last_set.reasons) - {Reason.DRAWN}


def test_every_round_trains_its_mask_on_its_set_from_the_rewind_weights(found: Found) -> None:
    result, trainer = found
    assert [task.config.round_index for task in trainer.tasks] == [0, 1, 2]
    assert trainer.tasks[0].mask is None
    assert trainer.tasks[0].weights is None
    for index, (task, finished) in enumerate(zip(trainer.tasks, result.rounds, strict=True)):
        ids = task.sample_ids
        assert ids.tolist() == result.sets[index].sample_ids.tolist()
        outcome, share = finished.outcome, len(ids) / len(result.sets[0])
        assert outcome.budget.epochs == max(int(4 * share), 2)
        assert outcome.budget.steps_per_epoch == -(-len(ids) // 16)
        assert outcome.steps == len(outcome.epochs) * outcome.budget.steps_per_epoch
        assert outcome.statistics is not None
        assert outcome.statistics["sample_id"].to_pylist() == ids.tolist()
        assert len(outcome.distances) == len(outcome.epochs) - 1
        for name, alive in finished.mask.items():
            assert int((outcome.best_weights[name][~alive] != 0).sum()) == 0
        if index > 0:
            assert task.mask == finished.mask == result.masks[index]
            assert task.weights is result.rewind_weights
            assert outcome.rewind_weights is None


def test_the_tentative_mask_of_the_last_epoch_is_the_next_one(
    found: Found, images: DeviceImages, tmp_path: Path
) -> None:
    task, finished = found[1].tasks[1], found[0].rounds[1]
    last: dict[str, np.ndarray] = {}

    def keep(end: object) -> None:
        weights = prunable_weights(end.model)  # type: ignore[attr-defined]
        last.update({n: w.detach().abs().numpy().copy() for n, w in weights.items()})

    again = run_round(task, images, Folder(tmp_path), on_epoch=keep)
    assert again.next_mask == finished.outcome.next_mask
    assert task.mask is not None
    alive = np.concatenate([task.mask[n].numpy().ravel() for n in task.mask])
    magnitude = np.concatenate([last[n].ravel() for n in task.mask])
    order = [i for i in np.argsort(magnitude, kind="stable") if alive[i]]
    expected = alive.copy()
    expected[order[: round(0.2 * len(order))]] = False
    got = np.concatenate([again.next_mask[n].numpy().ravel() for n in task.mask])
    np.testing.assert_array_equal(got, expected)


def test_rewind_weights_are_those_after_the_first_epoch(
    found: Found, images: DeviceImages, tmp_path: Path
) -> None:
    task = found[1].tasks[0]

    def rewound(point: str) -> dict[str, torch.Tensor]:
        config = dataclasses.replace(task.config, rewind=RewindPoint.parse(point))
        outcome = run_round(
            dataclasses.replace(task, config=config), images, Folder(tmp_path / point)
        )
        assert outcome.rewind_weights is not None
        return dict(outcome.rewind_weights)

    # 64 samples in batches of 16: the first epoch's end is the fourth step's.
    after_epoch, after_step = rewound("epoch:1"), rewound("step:4")
    for name, weight in found[0].rewind_weights.items():
        assert torch.equal(weight, after_epoch[name])
        if "running" not in name:
            assert torch.equal(weight, after_step[name])
    assert int(rewound("step:3")["stem.1.num_batches_tracked"]) == 3
    start = _initial_weights()
    assert all(torch.equal(weight, start[n]) for n, weight in rewound("init").items())


def test_vanilla_uses_everything_and_never_stops_early(
    images: DeviceImages, tmp_path: Path
) -> None:
    recipe = RECIPE.replace(prune=PruneConfig(tolerance=1.0, patience=1, record_at_once=True))
    trainer = Trainer(images, tmp_path)
    result = search(recipe, "resnet8", images, trainer, method="vanilla")
    for finished in result.rounds:
        assert not finished.outcome.stopped_early
        assert len(finished.outcome.epochs) == 4
        assert finished.outcome.steps == 4 * 4
        recorded = finished.outcome.statistics is not None
        assert recorded == (finished is result.rounds[0])
    assert all(s.sample_ids.tolist() == images.training_ids.tolist() for s in result.sets)
    assert [m.num_alive for m in result.masks][1] == round(0.8 * result.masks[0].size)
    # Round 0's events are there for the methods that train it alike.
    assert {file.parent.parent.name for file in tmp_path.rglob("*.parquet")} == {"0"}
    # The same recipe stops PrAC as soon as it may.
    prac = search(
        recipe.replace(search=dataclasses.replace(recipe.search, rounds=1)),
        "resnet8",
        images,
        Trainer(images, tmp_path / "prac"),
    )
    assert prac.rounds[0].outcome.stopped_early
    assert len(prac.rounds[0].outcome.epochs) == 2


def test_random_subsets_have_the_sizes_asked(
    found: Found, images: DeviceImages, tmp_path: Path
) -> None:
    sets = found[0].sets
    trainer = Trainer(images, tmp_path)
    result = search(RECIPE, "resnet8", images, trainer, method="random-subset", beside=found[0])
    assert [len(s) for s in result.sets] == [len(s) for s in sets]
    for mine, theirs in zip(result.sets[1:], sets[1:], strict=True):
        assert set(mine.sample_ids.tolist()) <= set(images.training_ids.tolist())
        assert mine.sample_ids.tolist() != theirs.sample_ids.tolist()
    assert {file.parent.parent.name for file in tmp_path.rglob("*.parquet")} == {"0"}


def test_transfer_uses_the_given_sets_and_records_no_events(
    found: Found, images: DeviceImages, tmp_path: Path
) -> None:
    source = found[0].sets
    trainer = Trainer(images, tmp_path)
    result = search(RECIPE, "vgg8s", images, trainer, sets=source)
    assert result.sets == source
    assert [t.sample_ids.tolist() for t in trainer.tasks] == [
        s.sample_ids.tolist() for s in source[:-1]
    ]
    assert not list(tmp_path.rglob("*.parquet"))
    assert all(finished.outcome.statistics is None for finished in result.rounds)


def test_the_model_compared_is_the_rounds_own_or_that_after_its_pruning(
    found: Found, images: DeviceImages, tmp_path: Path
) -> None:
    task, before = found[1].tasks[2], found[0].rounds[2].outcome
    config = dataclasses.replace(task.config, predicts_with="pruned")
    after = run_round(dataclasses.replace(task, config=config), images, Folder(tmp_path))
    assert after.next_mask == before.next_mask
    assert all(torch.equal(after.best_weights[n], t) for n, t in before.best_weights.items())
    pruned = dict(before.best_weights)
    for name, alive in before.next_mask.items():
        pruned[name] = pruned[name] * alive
    assert after.predictions.tolist() == _predictions(images, pruned).tolist()
    assert after.predictions.tolist() != before.predictions.tolist()
    recipe = RECIPE.replace(select=SelectConfig(cep_model="pruned"))
    trainer = Trainer(images, tmp_path / "whole")
    search(recipe, "resnet8", images, trainer)
    used = [t.config.predicts_with for t in trainer.tasks]
    assert used == ["round", "pruned", "pruned"]


def test_what_a_search_will_miss_is_refused_before_it_trains(
    found: Found, images: DeviceImages
) -> None:
    def never(task: RoundTask) -> RoundOutcome:
        raise AssertionError("trained")

    for sets in (None, found[0].sets):
        with pytest.raises(ConfigError, match="random-subset needs PrAC's search"):
            search(RECIPE, "resnet8", images, never, method="random-subset", sets=sets)
    few = dataclasses.replace(found[0], rounds=found[0].rounds[:2])
    for method, beside in (("prac", None), ("random-subset", few)):
        with pytest.raises(ConfigError, match=r"3 sets are too few for 3 rounds; allowed: 4"):
            search(
                RECIPE,
                "resnet8",
                images,
                never,  # type: ignore[arg-type]
                method=method,
                sets=found[0].sets[:3],
                beside=beside,
            )
    late = RECIPE.replace(search=SearchConfig(rounds=1, rewind=RewindPoint("step", 17)))
    with pytest.raises(ConfigError, match="up to step:16"):
        search(late, "resnet8", images, never)


def test_an_empty_set_is_an_error(toy_data: ToyData, tmp_path: Path) -> None:
    images = DeviceImages(toy_data(60, noise=1), AugmentConfig(crop_padding=0, flip=False))
    recipe = RECIPE.replace(
        train=dataclasses.replace(RECIPE.train, epochs=8), select=SelectConfig(threshold=8)
    )
    with pytest.raises(EmptySetError, match="the set is empty"):
        search(recipe, "resnet8", images, Trainer(images, tmp_path))
    with pytest.raises(EmptySetError):
        PracSet.everything(np.empty(0, np.int32))


def test_a_finished_search_is_taken_up_and_another_is_not(
    found: Found, images: DeviceImages
) -> None:
    result, trainer = found
    again = search(RECIPE, "resnet8", images, Trainer(images, trainer.folder))
    assert again.masks == result.masks
    assert again.sets == result.sets
    # Other seeds, recipes and data give other runs: the same folders refuse them.
    other = RECIPE.replace(search=dataclasses.replace(RECIPE.search, seed=5))
    with pytest.raises(CheckpointError, match="is of run resnet8-prac-0-"):
        search(other, "resnet8", images, lambda t: Trainer(images, trainer.folder)(_no_events(t)))


def _no_events(task: RoundTask) -> RoundTask:
    return dataclasses.replace(task, config=dataclasses.replace(task.config, records_events=False))
