"""`prac.search` as one calls it: what it takes, what it refuses, what it gives back."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import Dataset, TensorDataset

import prac
from prac.config.recipe import Recipe
from prac.config.sections import (
    AugmentConfig,
    BudgetConfig,
    DataConfig,
    PruneConfig,
    SearchConfig,
    TrainConfig,
)
from prac.config.values import RewindPoint
from prac.data.batches import DeviceImages
from prac.data.dataset import ImageDataset
from prac.data.sources import as_source, open_source
from prac.errors import ConfigError, PracError, StoreError
from prac.lottery.graph import Stage
from prac.lottery.outputs import Facts
from prac.lottery.progress import EpochNews
from prac.lottery.rounds import RoundOutcome, RoundTask, run_round
from prac.lottery.search import Local, search
from prac.lottery.search_result import SearchResult
from prac.lottery.store import MemoryStore
from prac.storage import Folder
from prac.training.precision import pick_device

RECIPE = Recipe(
    name="page",
    description="",
    architectures=("resnet8",),
    augment=AugmentConfig(crop_padding=1, flip=False),
    train=TrainConfig(
        epochs=2, batch_size=16, learning_rate=0.1, milestones=(), precision="fp32", shares=1
    ),
    prune=PruneConfig(tolerance=None),
    budget=BudgetConfig(min_round_epochs=1),
    search=SearchConfig(rounds=2, rewind=RewindPoint("epoch", 1)),
)


class Heard:
    """A display that keeps what it was told."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.done: list[tuple[str, Facts]] = []
        self.epochs: list[EpochNews] = []
        self.said: list[str] = []

    def started(self, stage: Stage) -> None:
        self.stages.append(stage.name)

    def news(self, news: EpochNews) -> None:
        self.epochs.append(news)

    def finished(self, stage: Stage, facts: Facts) -> None:
        self.done.append((stage.name, facts))

    def say(self, line: str) -> None:
        self.said.append(line)

    def close(self) -> None:
        raise AssertionError("whoever opened it closes it")


def find(data: Any, recipe: Recipe = RECIPE, **asked: Any) -> SearchResult:
    heard = asked.pop("heard", None) or Heard()
    how = prac.Local(device="cpu", threads=1, display=heard)
    return prac.search(recipe, data=data, how=how, **asked)


@pytest.fixture(scope="module")
def pixels(digits_data: ImageDataset) -> tuple[np.ndarray, np.ndarray]:
    """Twelve images of each class, shuffled together."""
    labels = digits_data.train_labels
    rows = np.concatenate([np.flatnonzero(labels == k)[:12] for k in range(10)])
    rows = np.random.default_rng(0).permutation(rows)
    return digits_data.train_images[rows], labels[rows]


@pytest.fixture(scope="module")
def result(pixels: tuple[np.ndarray, np.ndarray]) -> SearchResult:
    return find(pixels, RECIPE.replace(compare=("vanilla", "snip")), judge="all", seeds=2)


# --- what it takes -------------------------------------------------------------------------------


class Images(Dataset[Any]):
    def __init__(self, images: Any, labels: Any) -> None:
        self.images, self.labels = images, labels
        self.classes = [f"digit {k}" for k in range(10)]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, place: int) -> tuple[Any, int]:
        return self.images[place], int(self.labels[place])


def test_one_set_of_images_in_many_forms(pixels: tuple[np.ndarray, np.ndarray]) -> None:
    from PIL import Image

    images, labels = pixels
    # floats of 0 to 1, channels first, as torchvision's ToTensor makes them
    tensors = torch.tensor(images).permute(0, 3, 1, 2).float() / 255
    pictures = [Image.fromarray(image[..., 0]) for image in images]
    forms = [
        (images, labels),
        (images[..., 0], labels),
        (tensors, torch.tensor(labels)),
        (tensors.numpy(), labels.astype(np.uint8)),
        TensorDataset(tensors, torch.tensor(labels)),
        {"train": (images, labels)},
        [(image, int(label)) for image, label in zip(images, labels, strict=True)],
    ]
    sources = [as_source(form, DataConfig()) for form in forms]
    assert len({source.fingerprint() for source in sources}) == 1
    loaded = [source.load() for source in sources]
    for dataset in loaded:
        assert dataset.train_images.dtype == np.uint8
        np.testing.assert_array_equal(dataset.train_images, loaded[0].train_images)
        np.testing.assert_array_equal(dataset.test_labels, loaded[0].test_labels)
        assert dataset.image_shape == (8, 8, 1)
        # A fifth of them is held out for the test, a tenth of the rest for validation.
        assert len(dataset.test_labels) == 24
        assert len(dataset.training_ids) + len(dataset.validation_ids) == 96
    # Names of classes are told, and count.
    named = [as_source(Images(form, labels), DataConfig()) for form in (images, pictures)]
    assert named[0].load().class_names[:2] == ("digit 0", "digit 1")
    assert named[0].fingerprint() == named[1].fingerprint() != sources[0].fingerprint()
    other = images.copy()
    other[3, 0, 0] += 1
    assert as_source((other, labels), DataConfig()).fingerprint() != sources[0].fingerprint()


def test_splits_of_one_s_own(pixels: tuple[np.ndarray, np.ndarray]) -> None:
    images, labels = pixels
    given = {"train": (images[:90], labels[:90]), "test": Images(images[90:], labels[90:])}
    source = as_source(given, DataConfig())
    summary, dataset = source.summary(), source.load()
    assert (summary.num_train, summary.num_test) == (90, 30)
    np.testing.assert_array_equal(dataset.test_images, images[90:])
    np.testing.assert_array_equal(dataset.train_labels, labels[:90])
    # One that is given is no fraction's, and none is held out.
    fractions = [DataConfig(test_fraction=f) for f in (0.2, 0.4)]
    assert len({as_source(given, config).fingerprint() for config in fractions}) == 1
    whole = (images, labels)
    assert len({as_source(whole, config).fingerprint() for config in fractions}) == 2
    resized = as_source(given, DataConfig(image_size=6, channels=3))
    assert resized.summary().image_shape == resized.load().image_shape == (6, 6, 3)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"test": ()}, "data has the splits test; allowed: train, with test or validation"),
        ({"train": (), "more": ()}, "data has the splits train, more"),
        (3, "the train split is a int; allowed: "),
        (np.zeros((4, 8, 8, 1)), "gives no .image, label. by number"),
        ([], "gives no .image, label. by number"),
        ((np.zeros((4, 8, 8, 2), np.uint8), np.arange(4)), "1 or 3 channels"),
        ((np.zeros((4, 64), np.uint8), np.arange(4)), r"have shape \(64,\)"),
        ((np.zeros((4, 8, 8), np.uint8), np.arange(3)), "4 images and labels"),
        ((np.zeros((4, 8, 8), np.uint8), np.zeros(4)), "a whole number or a text an image"),
        (
            (np.zeros((4, 8, 8), np.uint8), np.array([-1, 0, 1, 2])),
            "1 labels are -1, which stands for none",
        ),
        ((np.zeros((0, 8, 8), np.uint8), np.zeros(0, int)), "has no images"),
        ((np.full((4, 8, 8), 7.0), np.arange(4)), "allowed: uint8, or floats from 0 to 1"),
        ((np.full((4, 8, 8), -0.5), np.arange(4)), "leave out what normalises"),
        ((np.full((4, 8, 8), np.nan), np.arange(4)), "allowed: uint8"),
        ((np.full((4, 8, 8), 0.123), np.arange(4)), "in steps of 1/255"),
        ((np.zeros((4, 8, 8), np.int64), np.arange(4)), "pixels are int64"),
        (
            [(np.zeros((8, 8), np.uint8), 0), (np.zeros((9, 8), np.uint8), 1)],
            r"images of 2 shapes \(H, W, C\), e.g. \(8, 8, 1\) and \(9, 8, 1\)",
        ),
        ("cifar11", "cifar11"),
    ],
)
def test_what_is_refused(data: Any, said: str) -> None:
    heard = Heard()
    with pytest.raises(ConfigError, match=said) as caught:
        find(data, heard=heard)
    assert "\n" not in str(caught.value)
    assert heard.stages == []


def test_classes_that_are_named_too_few(pixels: tuple[np.ndarray, np.ndarray]) -> None:
    data = Images(*pixels)
    data.classes = ["zero", "one"]
    with pytest.raises(ConfigError, match=r"labels are outside the 2 classes \(train row"):
        find(data)


def test_networks_by_name_and_as_callables(pixels: tuple[np.ndarray, np.ndarray]) -> None:
    def small(num_classes: int, in_channels: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(in_channels, 4, 3), nn.Flatten(), nn.Linear(144, num_classes)
        )

    one = find(pixels, network="vgg8s", judge="none")
    assert one.architecture == "vgg8s"
    own = find(pixels, network=small, judge="none")
    assert {name: alive.shape for name, alive in own.masks[0].items()} == {"0.weight": (4, 1, 3, 3)}
    several = find(pixels, network=[small, "resnet8"], judge="none")
    assert several.masks == own.masks == several[small].masks == several[small, "prac"].masks
    assert several[own.architecture].method == "prac"  # its name has a colon
    assert several["resnet8"].architecture == "resnet8"
    for network, said in (
        ("resnet7", "architecture 'resnet7' is not known; known: "),
        ("vgg16", "vgg16 needs images of at least 32x32 pixels"),
        (["resnet8", "resnet8"], "each name once"),
    ):
        with pytest.raises(ConfigError, match=said):
            find(pixels, network=network)


def test_transfer_from(pixels: tuple[np.ndarray, np.ndarray]) -> None:
    recipe = RECIPE.replace(architectures=("conv4", "resnet8"), compare=("cet-only",))
    found = find(pixels, recipe, transfer_from="resnet8", judge="none")
    assert found.architecture == "conv4"
    assert found["resnet8"].sets == found.sets
    assert found["resnet8:cet-only"].sets == found["cet-only"].sets
    assert found.sets[2] != found["cet-only"].sets[2]
    with pytest.raises(ConfigError, match="'vgg8s' is not among the architectures"):
        find(pixels, recipe, transfer_from="vgg8s")


# --- what it gives back --------------------------------------------------------------------------


def test_what_is_found_by_name(result: SearchResult) -> None:
    assert (result.architecture, result.method) == ("resnet8", "prac")
    vanilla = result["vanilla"]
    assert (vanilla.architecture, vanilla.method) == ("resnet8", "vanilla")
    for name in ("resnet8", "prac", "resnet8:prac", ("resnet8", "prac")):
        assert result[name].masks == result.masks
    assert result["resnet8:vanilla"].masks == vanilla.masks == vanilla["vanilla"].masks
    assert vanilla["prac"].masks == result.masks
    with pytest.raises(ConfigError, match="search 'rs2' is not known; known: resnet8:prac, "):
        _ = result["rs2"]


def test_rounds_masks_sets_and_tickets(result: SearchResult) -> None:
    assert len(result.masks) == len(result.sets) == len(result.rounds) == 3
    for index, done in enumerate(result.rounds):
        assert done.index == index
        assert done.mask == result.masks[index]
        assert done.samples == result.sets[index]
        assert len(done.test_accuracies) == 2
        assert (done.facts is None) == (index == 2)
    assert result.masks[0].sparsity == 0
    assert result.masks[2].sparsity == pytest.approx(0.36, abs=1e-3)
    assert [len(s) for s in result["vanilla"].sets] == [len(result.sets[0])] * 3
    assert sorted(result.tickets) == [1, 2]
    assert result.ticket is result.tickets[2]
    result.ticket.verify()
    assert result.ticket.mask == result.masks[2]
    assert result.ticket.lineage["data"] == "given"
    assert result.ticket.lineage["num_classes"] == 10
    # Its accuracy is that of its first judgement.
    assert result.ticket.lineage["test_accuracy"] == result.rounds[2].test_accuracies[0]
    images = torch.zeros(2, 1, 8, 8)
    assert result.ticket.build(trained=True)(images).shape == (2, 10)
    # What is not trained has no facts; what is not judged against the dense network, none for it.
    assert [done.facts for done in result["snip"].rounds] == [None] * 3
    assert result["snip"].rounds[0].test_accuracies == ()
    assert len(result["snip"].rounds[2].test_accuracies) == 2


def test_what_it_cost(result: SearchResult) -> None:
    steps = [done.steps for done in result.rounds]
    assert result.bill.steps == sum(steps) == result.steps_to_find(2)
    assert result.steps_to_find(1) == steps[0]
    assert result.steps_to_find(0) == 0
    assert result["vanilla"].bill.steps == 2 * 2 * -(-len(result.sets[0]) // 16)
    assert result["snip"].bill.steps == 0 < result["snip"].bill.score_passes
    assert result.bill.seconds > 0
    saved = 1 - result.steps_to_find(2) / result["vanilla"].steps_to_find(2)
    assert result.ticket.lineage["steps_saved"] == pytest.approx(saved)


def test_they_show_themselves_in_a_line_or_two(result: SearchResult) -> None:
    text = repr(result)
    assert text.startswith("SearchResult(resnet8 by prac: 2 rounds to sparsity 36.00%, ")
    assert f"{result.bill.steps} SGD steps" in text
    shown = [text, *map(repr, result.rounds), *map(repr, result.masks), *map(repr, result.sets)]
    shown += [repr(result["vanilla"]), repr(result["snip"])]
    assert all(len(line) < 200 and line.count("\n") <= 1 for line in shown), shown
    first, last = (repr(result.rounds[k]) for k in (0, 2))
    assert first.startswith(f"<round 0: sparsity 0.00%, {len(result.sets[0])} samples, ")
    assert f"{result.rounds[0].steps} steps, validation " in first
    assert "steps" not in last
    assert "test " in last


# --- a store -------------------------------------------------------------------------------------


def test_a_folder_that_keeps_what_is_finished(
    pixels: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    heard = Heard()
    first = find(pixels, store=tmp_path, heard=heard)
    assert heard.stages[:2] == ["dense:resnet8:prac", "reduce:resnet8:prac"]
    assert [name for name, _ in heard.done] == heard.stages
    assert {news.stage for news in heard.epochs} == {
        name for name in heard.stages if name.startswith(("dense", "round", "judge"))
    }
    assert heard.said == []
    # The same call trains nothing; what it found is read from there.
    again = Heard()
    second = find(pixels, store=str(tmp_path), heard=again)
    assert (again.stages, again.epochs) == ([], [])
    assert second.masks == first.masks
    assert second.sets == first.sets
    assert [r.facts for r in second.rounds] == [r.facts for r in first.rounds]
    assert second.ticket.lineage == first.ticket.lineage
    assert repr(second) == repr(first)
    # One more round goes on from there.
    more = Heard()
    find(pixels, RECIPE.set(search={"rounds": 3}), store=tmp_path, heard=more)
    assert {name for name in more.stages if not name.startswith(("judge", "ticket"))} == {
        "round:resnet8:prac:2",
        "select:resnet8:prac:3",
    }
    # Other images have nothing there.
    other = Heard()
    find((pixels[0], (pixels[1] + 1) % 10), store=tmp_path, judge="none", heard=other)
    assert "dense:resnet8:prac" in other.stages


def test_a_file_that_is_damaged_is_made_again(
    pixels: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    first = find(pixels, store=tmp_path, judge="none")
    store = tmp_path / "stages"
    for mask in store.glob("*/next_mask.safetensors"):
        mask.write_bytes(b"damaged")
    heard = Heard()
    second = find(pixels, RECIPE.set(search={"rounds": 3}), store=tmp_path, heard=heard)
    assert second.masks[:3] == first.masks
    assert [line for line in heard.said if "fails its checksum" in line]
    assert len(list((store / "revoked").iterdir())) == 2


def test_it_works_in_threads(pixels: tuple[np.ndarray, np.ndarray]) -> None:
    """As a notebook or a server may call it: two at once take turns, and find the same."""
    results: list[SearchResult] = []

    def work() -> None:
        results.append(find(pixels, judge="none"))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    one, other = results
    assert one.masks == other.masks == find(pixels, judge="none").masks
    assert one.sets == other.sets


def test_a_loop_of_one_s_own_may_be_scored_by_its_events(tmp_path: Path) -> None:
    source = open_source(DataConfig())
    images = DeviceImages(source.load(), RECIPE.augment)

    def mine(task: RoundTask) -> RoundOutcome:
        return run_round(task, images, Folder(tmp_path / task.run))

    recipe = RECIPE.replace(compare=("el2n",))
    found = search(recipe, judge="none", how=Local(device="cpu", threads=1, train_round=mine))
    ours = search(recipe, judge="none", how=Local(device="cpu", threads=1))
    assert found["el2n"].sets == ours["el2n"].sets
    assert found["el2n"].masks == ours["el2n"].masks


def test_a_file_that_is_damaged_when_it_is_read(
    pixels: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    found = find(pixels, store=tmp_path, judge="none")
    masks = found.masks
    next((tmp_path / "stages").glob("*/next_mask.safetensors")).write_bytes(b"damaged")
    again = find(pixels, store=tmp_path, judge="none")
    with pytest.raises(StoreError, match=r"fails its checksum .*; search again, and it is made"):
        _ = again.masks
    assert find(pixels, store=tmp_path, judge="none").masks == masks


def test_a_method_whose_rounds_were_not_judged_has_no_ticket(
    pixels: tuple[np.ndarray, np.ndarray],
) -> None:
    found = find(pixels, RECIPE.replace(compare=("vanilla",)), judge="none")
    assert found.ticket.lineage["method"] == "prac"
    with pytest.raises(ConfigError, match="resnet8:vanilla left no ticket"):
        _ = found["vanilla"].ticket


def test_a_loop_of_one_s_own_that_fails_is_told_with_its_stage(
    pixels: tuple[np.ndarray, np.ndarray],
) -> None:
    def broken(task: RoundTask) -> RoundOutcome:
        raise ZeroDivisionError("one by none")

    how = Local(device="cpu", threads=1, train_round=broken)
    with pytest.raises(PracError, match=r"^stage dense:resnet8:prac: ZeroDivisionError: one"):
        prac.search(RECIPE, data=pixels, how=how)


class Mine:
    """Trains rounds as ours does; `prac_key` tells one version from another."""

    def __init__(self, pixels: tuple[np.ndarray, np.ndarray], work: Path, version: str) -> None:
        images = as_source(pixels, RECIPE.data).load()
        self.images, self.work = DeviceImages(images, RECIPE.augment), work
        self.prac_key = version

    def __call__(self, task: RoundTask) -> RoundOutcome:
        return run_round(task, self.images, Folder(self.work / task.run))


def test_what_another_trainer_left_is_another_s(
    pixels: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    find(pixels, store=tmp_path, judge="none")

    def ran(version: str) -> list[str]:
        heard, mine = Heard(), Mine(pixels, tmp_path / "mine", version)
        how = Local(device="cpu", threads=1, train_round=mine, display=heard)
        prac.search(RECIPE, data=pixels, store=tmp_path, judge="none", how=how)
        return heard.stages

    assert "dense:resnet8:prac" in ran("1")
    assert ran("1") == []
    assert "dense:resnet8:prac" in ran("2")


def test_without_a_key_a_trainer_is_told_by_its_source(
    pixels: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    images = DeviceImages(as_source(pixels, RECIPE.data).load(), RECIPE.augment)
    folder = str(tmp_path / "mine")

    def mine(task: RoundTask) -> RoundOutcome:
        made = run_round(task, images, Folder(f"{folder}/{task.run}"))
        return dataclasses.replace(made, best_accuracy=0.125)

    def accuracies(trainer: Any) -> set[float]:
        how = Local(device="cpu", threads=1, train_round=trainer)
        found = prac.search(RECIPE, data=pixels, store=tmp_path, judge="none", how=how)
        return {one.facts.best_accuracy for one in found.rounds if one.facts is not None}

    assert accuracies(mine) == {0.125}
    assert 0.125 not in accuracies(None)
    assert accuracies(mine) == {0.125}


@pytest.mark.parametrize(
    ("left", "at", "said"),
    [
        ({"rewind_weights": None}, 0, "round 0 left no rewind_weights"),
        ({"events": None}, 0, "round 0 left no events"),
        ({"statistics": None}, 1, "round 1 left no statistics"),
        ({"predictions": None}, 1, "round 1 left no predictions"),
        ({"next_mask": "dense"}, 0, "round 0 left a next_mask that prunes nothing"),
        ({"next_mask": "dense"}, 1, "round 1 left a next_mask with weights that were pruned"),
    ],
)
def test_a_loop_of_one_s_own_leaves_what_it_was_asked_for(
    pixels: tuple[np.ndarray, np.ndarray], tmp_path: Path, left: Any, at: int, said: str
) -> None:
    images = DeviceImages(as_source(pixels, RECIPE.data).load(), RECIPE.augment)

    def lacks(task: RoundTask) -> RoundOutcome:
        made = run_round(task, images, Folder(tmp_path / "mine" / task.run))
        if task.config.round_index != at:
            return made
        ones = {name: torch.ones_like(alive) for name, alive in made.next_mask.items()}
        given = {"next_mask": prac.Mask(ones)} if "next_mask" in left else left
        return dataclasses.replace(made, **given)

    how = Local(device="cpu", threads=1, train_round=lacks)
    with pytest.raises(PracError, match=said) as caught:
        prac.search(RECIPE, data=pixels, judge="none", how=how)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("device", ["meta", "mps", "gpu", "cuda:99"])
def test_devices_that_nothing_trains_on_are_refused(device: str) -> None:
    with pytest.raises(ConfigError, match=f"device '{device}' is not"):
        prac.search("digits", how=Local(device=device))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"how": Local(threads=0)}, "threads 0 is not allowed; allowed: 1 or more, or none"),
        ({"how": Local(threads=2.5)}, "threads 2.5 is not allowed"),  # type: ignore[arg-type]
        ({"how": Local(train_round=5)}, "train_round 5"),  # type: ignore[arg-type]
        ({"how": None}, "how None is not allowed; allowed: a prac.Local"),
        ({"store": 5}, "store 5 is not allowed; allowed: a folder's path"),
        ({"seeds": "1"}, "--seeds '1' is not allowed; allowed: 1 to"),
        ({"seeds": 1.5}, "--seeds 1.5 is not allowed"),
        ({"recipe": None}, "recipe None is not allowed; allowed: a name, or a Recipe"),
    ],
)
def test_arguments_that_are_none_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        prac.search(**{"recipe": "digits"} | options)
    assert said in str(refused.value)


def test_a_part_of_ones_own_that_exits_is_an_error(pixels: tuple[np.ndarray, np.ndarray]) -> None:
    """It ended the process with status 0 and no word."""

    def leaves(task: RoundTask) -> RoundOutcome:
        raise SystemExit(0)

    how = Local(device="cpu", threads=1, train_round=leaves)
    with pytest.raises(PracError, match=r"^stage dense:resnet8:prac: SystemExit: 0"):
        prac.search(RECIPE, data=pixels, how=how)


def test_a_device_of_torch_is_one() -> None:
    assert pick_device(torch.device("cpu")) == torch.device("cpu")  # type: ignore[arg-type]


def test_an_address_is_no_folder() -> None:
    with pytest.raises(ConfigError, match="store 's3://bucket/prac' is no folder"):
        prac.search("digits", store="s3://bucket/prac")


def test_events_of_an_earlier_call_are_there_for_scores(
    pixels: tuple[np.ndarray, np.ndarray],
) -> None:
    store, heard = MemoryStore(), Heard()
    find(pixels, store=store, judge="none")
    find(pixels, RECIPE.replace(compare=("el2n",)), store=store, judge="none", heard=heard)
    assert heard.said == []
    assert "dense:resnet8:prac" not in heard.stages


def test_the_caller_s_threads_are_left(pixels: tuple[np.ndarray, np.ndarray]) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        found = find(pixels, judge="none")
        assert torch.get_num_threads() == 2
        heard = Heard()
        how = prac.Local(device="cpu", threads=1, display=heard)
        prac.judge(found.ticket, data=pixels, recipe=RECIPE, how=how)
        assert torch.get_num_threads() == 2
        assert [(news.stage, news.epoch, news.epochs) for news in heard.epochs] == [
            ("judge", 1, 2),
            ("judge", 2, 2),
        ]
    finally:
        torch.set_num_threads(before)


def test_a_ticket_is_judged_by_its_own_recipe(pixels: tuple[np.ndarray, np.ndarray]) -> None:
    ticket = find(pixels, judge="none").ticket
    how = prac.Local(device="cpu", threads=1)
    with pytest.raises(ConfigError, match="recipe 'page' is not one of prac's"):
        prac.judge(ticket, data=pixels, how=how)
    digits = dataclasses.replace(ticket, lineage={**ticket.lineage, "recipe": "digits"})
    # 108 of 120 images are trained on, in batches of 64, for 16 epochs.
    assert prac.judge(digits, data=pixels, how=how).steps == 2 * 16


def test_names_are_the_same_in_every_process() -> None:
    code = (
        "from prac.plugins import name_of\n"
        "def other(n): return n\n"
        "def net(n): return n + {}\n"
        "print(*map(name_of, {}))"
    )
    names = [
        subprocess.run(
            [sys.executable, "-c", code.format(*asked)], check=True, capture_output=True, text=True
        ).stdout.split()
        for asked in ((1, "[net]"), (1, "[other, net]"), (2, "[net]"))
    ]
    assert names[0][-1] == names[1][-1] != names[2][-1]


class Noisy(Images):
    """As with an augmenting transform."""

    def __getitem__(self, place: int) -> tuple[Any, int]:
        return np.random.default_rng().integers(256, size=(8, 8), dtype=np.uint8), place % 2


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (Noisy([0] * 5, [0] * 5), "another image each time it is asked for number 0"),
        ([(np.zeros((8, 8), np.uint8), b"cat")], "the label .* at number 0"),
        ([(np.zeros((8, 8), np.uint8), 0.5)], "the label '0.5' at number 0"),
        ([(np.zeros((8, 8), np.float32) - 1, 0)], "pixels are float32 from -1.0"),
    ],
)
def test_data_sets_that_are_refused(data: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        as_source(data, DataConfig())


def test_what_is_called_classes_may_be_anything(pixels: tuple[np.ndarray, np.ndarray]) -> None:
    data = Images(*pixels)
    data.classes = 10  # type: ignore[assignment]
    assert as_source(data, DataConfig()).summary().class_names == tuple(map(str, range(10)))
