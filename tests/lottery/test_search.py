"""Whole searches on a tiny data set, every step recomputed here from what they left."""

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
from support.searches import Searched, Trainer, searched

from prac.config.recipe import Recipe
from prac.config.sections import (
    AugmentConfig,
    BudgetConfig,
    DataConfig,
    PruneConfig,
    SearchConfig,
    SelectConfig,
    TrainConfig,
)
from prac.config.values import RewindPoint
from prac.data.batches import DeviceImages
from prac.data.dataset import ImageDataset
from prac.errors import ConfigError, EmptySetError, PracError
from prac.lottery.outputs import BEST, NEXT_MASK, PREDICTIONS, REWIND, STATISTICS, RoundFacts
from prac.lottery.rounds import RoundOutcome, RoundTask, run_round
from prac.lottery.search import Local, search
from prac.models.registry import build_model
from prac.pruning.prunable import prunable_weights
from prac.selection.critical import critical_for_training
from prac.selection.prac_set import PracSet, Reason
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
def dataset(toy_data: ToyData) -> ImageDataset:
    return toy_data(80, noise=140)


@pytest.fixture(scope="module")
def images(dataset: ImageDataset) -> DeviceImages:
    return DeviceImages(dataset, RECIPE.augment)


Found = tuple[Searched, Trainer]


@pytest.fixture(scope="module")
def found(
    dataset: ImageDataset, images: DeviceImages, tmp_path_factory: pytest.TempPathFactory
) -> Found:
    trainer = Trainer(images, tmp_path_factory.mktemp("prac"))
    return searched(RECIPE, dataset, trainer=trainer), trainer


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
    masks = found[0].result.masks
    assert len(masks) == 4
    alive = masks[0].size
    for index, mask in enumerate(masks):
        assert mask.num_alive == alive
        assert index == 0 or mask.is_subset_of(masks[index - 1])
        alive -= round(0.2 * alive)
    assert masks[3] == found[0].trained()[2][NEXT_MASK]
    assert [r.mask for r in found[0].result.rounds] == list(masks)


def test_every_set_is_cet_with_cep_by_brute_force(found: Found, images: DeviceImages) -> None:
    done, trainer = found
    sets = done.result.sets
    assert sets[0].sample_ids.tolist() == images.training_ids.tolist()
    dense = _predictions(images, dict(done.trained()[0][BEST]))
    sizes = []
    for index, made in enumerate(done.trained()):
        cet = _critical_for_training(trainer.work(trainer.tasks[index]), threshold=0)
        assert cet <= set(sets[index].sample_ids.tolist())
        pruned = _predictions(images, dict(made[BEST]))
        assert made[PREDICTIONS]["predicted"].to_pylist() == pruned.tolist()
        assert made[PREDICTIONS]["sample_id"].to_pylist() == images.training_ids.tolist()
        cep = set(images.training_ids[dense != pruned].tolist()) if index > 0 else set()
        chosen = sets[index + 1]
        assert set(chosen.sample_ids.tolist()) == cet | cep
        assert set(chosen.training_ids.tolist()) == cet
        assert set(chosen.pruning_ids.tolist()) == cep
        sizes.append((len(cet), len(cep), len(chosen)))
    # The test says nothing unless both parts select, and not everything.
    assert all(0 < total < len(images.training_ids) for _, _, total in sizes)
    assert any(cep > 0 for _, cep, _ in sizes)
    assert set(sets[3].reasons) - {Reason.DRAWN}


def test_every_round_trains_its_mask_on_its_set_from_the_rewind_weights(found: Found) -> None:
    done, trainer = found
    assert [task.config.round_index for task in trainer.tasks] == [0, 1, 2]
    assert trainer.tasks[0].mask is None
    assert trainer.tasks[0].weights is None
    sets, masks = done.result.sets, done.result.masks
    for index, (task, made) in enumerate(zip(trainer.tasks, done.trained(), strict=True)):
        assert task.run == done.graph.stages[done.stages().rounds[index]].key
        ids, facts = task.sample_ids, made.known(RoundFacts)
        assert ids.tolist() == sets[index].sample_ids.tolist()
        assert facts.budget_epochs == max(int(4 * len(ids) / len(sets[0])), 2)
        assert facts.set_size == len(ids)
        assert made.cost.steps == facts.epochs * -(-len(ids) // 16)
        assert made.cost.samples == facts.epochs * len(ids)
        assert made[STATISTICS]["sample_id"].to_pylist() == ids.tolist()
        assert len(facts.distances) == facts.epochs - 1
        for name, alive in masks[index].items():
            assert int((made[BEST][name][~alive] != 0).sum()) == 0
        assert (REWIND in made.files) == (index == 0)
        if index > 0:
            assert task.mask == masks[index]
            assert task.weights is done.trained()[0][REWIND]
    told = done.result.rounds
    assert [r.facts for r in told[:3]] == [made.facts for made in done.trained()]
    assert [r.steps for r in told] == [*(made.cost.steps for made in done.trained()), 0]
    assert done.result.bill.steps == done.result.steps_to_find(3) == sum(r.steps for r in told)
    assert done.result.steps_to_find(1) == told[0].steps


def test_the_tentative_mask_of_the_last_epoch_is_the_next_one(
    found: Found, images: DeviceImages, tmp_path: Path
) -> None:
    task, made = found[1].tasks[1], found[0].trained()[1]
    last: dict[str, np.ndarray] = {}

    def keep(end: object) -> None:
        weights = prunable_weights(end.model)  # type: ignore[attr-defined]
        last.update({n: w.detach().abs().numpy().copy() for n, w in weights.items()})

    again = run_round(task, images, Folder(tmp_path), on_epoch=keep)
    assert again.next_mask == made[NEXT_MASK]
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
    for name, weight in found[0].start().items():
        assert torch.equal(weight, after_epoch[name])
        if "running" not in name:
            assert torch.equal(weight, after_step[name])
    assert int(rewound("step:3")["stem.1.num_batches_tracked"]) == 3
    start = _initial_weights()
    assert all(torch.equal(weight, start[n]) for n, weight in rewound("init").items())


def test_our_own_loop_and_one_that_is_handed_over_find_the_same(
    found: Found, dataset: ImageDataset
) -> None:
    own = searched(RECIPE, dataset)
    assert own.result.masks == found[0].result.masks
    assert own.result.sets == found[0].result.sets
    for mine, theirs in zip(own.trained(), found[0].trained(), strict=True):
        assert all(torch.equal(mine[BEST][n], t) for n, t in theirs[BEST].items())
        curves = [m.known(RoundFacts).curves["loss"] for m in (mine, theirs)]
        assert curves[0] == curves[1]
    # Another seed finds another ticket.
    other = RECIPE.replace(search=dataclasses.replace(RECIPE.search, seed=5))
    assert searched(other, dataset).result.masks != own.result.masks


def test_vanilla_uses_everything_and_never_stops_early(
    dataset: ImageDataset, images: DeviceImages, tmp_path: Path
) -> None:
    recipe = RECIPE.replace(
        prune=PruneConfig(tolerance=1.0, patience=1, record_at_once=True), compare=("vanilla",)
    )
    trainer = Trainer(images, tmp_path)
    done = searched(recipe, dataset, trainer=trainer)
    vanilla = done.result["vanilla"]
    for index, made in enumerate(done.trained("vanilla")):
        facts = made.known(RoundFacts)
        assert not facts.stopped_early
        assert facts.epochs == 4
        assert made.cost.steps == 4 * 4
        # Round 0's events are there for the methods that train it alike.
        assert (STATISTICS in made.files) == (index == 0)
    assert all(s.sample_ids.tolist() == images.training_ids.tolist() for s in vanilla.sets)
    assert vanilla.masks[1].num_alive == round(0.8 * vanilla.masks[0].size)
    # The same recipe stops PrAC as soon as it may.
    dense = done.trained()[0].known(RoundFacts)
    assert dense.stopped_early
    assert dense.epochs == 2
    keys = {name: stage.key for name, stage in done.graph.stages.items()}
    recorded = {file.parent.parent.name for file in tmp_path.rglob("*.parquet")}
    ours = [f"dense:resnet8:{m}" for m in ("prac", "vanilla")]
    ours += [f"round:resnet8:prac:{k}" for k in (1, 2)]
    assert recorded == {keys[name] for name in ours}


def test_random_subsets_have_the_sizes_of_prac_s_sets(
    found: Found, dataset: ImageDataset, images: DeviceImages, tmp_path: Path
) -> None:
    trainer = Trainer(images, tmp_path)
    recipe = RECIPE.replace(compare=("random-subset",))
    done = searched(recipe, dataset, trainer=trainer, store=found[0].store)
    sets, drawn = done.result.sets, done.result["random-subset"].sets
    assert [len(s) for s in drawn] == [len(s) for s in sets]
    for mine, theirs in zip(drawn[1:], sets[1:], strict=True):
        assert set(mine.sample_ids.tolist()) <= set(images.training_ids.tolist())
        assert mine.sample_ids.tolist() != theirs.sample_ids.tolist()
    # PrAC's own stages are there already, and the others record nothing.
    assert [task.config.round_index for task in trainer.tasks] == [1, 2]
    assert not list(tmp_path.rglob("*.parquet"))


def test_transfer_uses_the_source_s_sets_and_records_no_events(
    found: Found, dataset: ImageDataset, images: DeviceImages, tmp_path: Path
) -> None:
    trainer = Trainer(images, tmp_path)
    recipe = RECIPE.replace(architectures=("resnet8", "vgg8s"))
    store = found[0].store
    done = searched(recipe, dataset, trainer=trainer, store=store, transfer_from="resnet8")
    source, target = done.result["resnet8"], done.result["vgg8s"]
    # The source's own stages are those of its search alone.
    assert {task.config.architecture for task in trainer.tasks} == {"vgg8s"}
    assert source.sets == found[0].result.sets == target.sets
    assert [t.sample_ids.tolist() for t in trainer.tasks] == [
        s.sample_ids.tolist() for s in source.sets[:-1]
    ]
    assert not list(tmp_path.rglob("*.parquet"))
    for name in done.stages(architecture="vgg8s").rounds:
        assert STATISTICS not in done.made(name).files


def test_the_model_compared_is_the_rounds_own_or_that_after_its_pruning(
    found: Found, dataset: ImageDataset, images: DeviceImages, tmp_path: Path
) -> None:
    task, before = found[1].tasks[2], found[0].trained()[2]
    config = dataclasses.replace(task.config, predicts_with="pruned")
    after = run_round(dataclasses.replace(task, config=config), images, Folder(tmp_path))
    assert after.next_mask == before[NEXT_MASK]
    assert all(torch.equal(after.best_weights[n], t) for n, t in before[BEST].items())
    pruned = dict(before[BEST])
    for name, alive in before[NEXT_MASK].items():
        pruned[name] = pruned[name] * alive
    assert after.predictions is not None
    assert after.predictions.tolist() == _predictions(images, pruned).tolist()
    assert after.predictions.tolist() != before[PREDICTIONS]["predicted"].to_pylist()
    recipe = RECIPE.replace(select=SelectConfig(cep_model="pruned"))
    trainer = Trainer(images, tmp_path / "whole")
    searched(recipe, dataset, trainer=trainer)
    used = [t.config.predicts_with for t in trainer.tasks]
    assert used == ["round", "pruned", "pruned"]


def test_easy_samples_and_a_late_threshold(dataset: ImageDataset) -> None:
    select = SelectConfig(easy=0.3, late_threshold=1, late_from=2)
    done = searched(RECIPE.replace(select=select), dataset)
    for index, chosen in enumerate(done.result.sets[1:]):
        statistics = done.trained()[index] if index else done.made("reduce:resnet8:prac")
        expected = critical_for_training(statistics[STATISTICS], threshold=index)
        assert chosen.training_ids.tolist() == expected.tolist()
        easy = chosen.having(Reason.EASY)
        critical = len(chosen) - len(easy)
        assert len(easy) == round(0.3 * (len(dataset.training_ids) - critical)) > 0


def test_what_can_not_be_is_refused_before_it_trains(dataset: ImageDataset) -> None:
    def never(task: RoundTask) -> RoundOutcome:
        raise AssertionError("trained")

    how = Local(device="cpu", train_round=never)
    late = RECIPE.replace(search=SearchConfig(rounds=1, rewind=RewindPoint("step", 17)))
    refused = (
        (late, "up to step:16"),
        (RECIPE.replace(architectures=("vgg16",)), "vgg16 needs images of at least 32x32"),
        (RECIPE.replace(select=SelectConfig(score="dual")), "score dual needs select.fraction"),
        (RECIPE.replace(compare=("no.such:thing",)), "can't be imported"),
    )
    for recipe, said in refused:
        with pytest.raises(ConfigError, match=said):
            search(recipe, data=dataset, how=how)
    with pytest.raises(ConfigError, match=r"'nope' is not"):
        search(RECIPE.replace(compare=("nope",)), data=dataset, how=how)


def test_an_empty_set_is_an_error(toy_data: ToyData) -> None:
    recipe = RECIPE.replace(
        augment=AugmentConfig(crop_padding=0, flip=False),
        train=dataclasses.replace(RECIPE.train, epochs=8),
        select=SelectConfig(threshold=8),
    )
    said = r"stage select:resnet8:prac:1: the set is empty"
    with pytest.raises(PracError, match=said) as caught:
        searched(recipe, toy_data(60, noise=1))
    assert "\n" not in str(caught.value)
    with pytest.raises(EmptySetError):
        PracSet.everything(np.empty(0, np.int32))
