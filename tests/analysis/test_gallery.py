"""Which samples are shown, from a table drawn by hand."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from prac.analysis import gallery as module
from prac.analysis.gallery import Gallery
from prac.analysis.results import HardSample
from prac.config.recipe import Recipe
from prac.config.sections import AugmentConfig, PruneConfig, TrainConfig
from prac.data.batches import DeviceImages
from prac.data.dataset import ImageDataset
from prac.lottery.rounds import RoundTask, run_round
from prac.lottery.stage_config import round_config
from prac.selection.prac_set import PracSet, Reason
from prac.storage import Folder

ToyData = Callable[..., ImageDataset]

# Training rows of 20 samples: all but every fifth. Rows 1 and 6 are never learned.
FORGOTTEN = {0: 2, 2: 5, 3: 5}
NEVER = {1: -3.0, 6: -7.0}


@pytest.fixture
def dataset(toy_data: ToyData) -> ImageDataset:
    return toy_data(20)


def _gallery(dataset: ImageDataset) -> Gallery:
    ids = dataset.training_ids
    statistics = pa.table(
        {
            "sample_id": ids,
            "presentations": pa.array([9] * len(ids), pa.int32()),
            "forgotten": pa.array([FORGOTTEN.get(i, 0) for i in ids.tolist()], pa.int32()),
            "first_learned": pa.array(
                [None if i in NEVER else 1 for i in ids.tolist()], pa.int16()
            ),
            # Row 3 is nearer to wrong than row 2, which is forgotten as often.
            "mean_margin": pa.array(
                [NEVER.get(i, {2: 1.0, 3: 0.5}.get(i, 2.0)) for i in ids.tolist()], pa.float32()
            ),
        }
    )
    return Gallery("net", statistics, dataset, np.full(len(ids), 2, np.int32))


def _ids(samples: list[HardSample]) -> list[int]:
    return [sample.sample_id for sample in samples]


def test_never_learned_come_most_surely_wrong_first(dataset: ImageDataset) -> None:
    found = _gallery(dataset).never_learned()
    assert _ids(found) == [6, 1]
    assert all(sample.never_learned for sample in found)
    assert (found[0].mean_margin, found[0].predicted) == (-7.0, "c")
    assert found[0].label == dataset.class_names[dataset.train_labels[6]]


@pytest.mark.parametrize(
    ("epochs", "first", "expected"),
    [
        # Of 16 epochs, counted from 0, the ninth to the sixteenth are late.
        (16, [0, 0, 1, 7, 8, 15, None, None], (2, 2, 2, 2)),
        (5, [0, 1, 2, 3, 4, None], (1, 2, 2, 1)),
        (1, [0, None, None], (1, 0, 0, 2)),
        (2, [1, 1], (0, 0, 2, 0)),
    ],
)
def test_late_is_not_never(
    dataset: ImageDataset, epochs: int, first: list[int | None], expected: tuple[int, int, int, int]
) -> None:
    table = pa.table(
        {
            "sample_id": pa.array(dataset.training_ids[: len(first)], pa.int32()),
            "presentations": pa.array([epochs] * len(first), pa.int32()),
            "forgotten": pa.array([0] * len(first), pa.int32()),
            "first_learned": pa.array(first, pa.int16()),
            "mean_margin": pa.array([0.0] * len(first), pa.float32()),
        }
    )
    told = Gallery("a", table, dataset).memorised()
    assert (told.at_once, told.early, told.late, told.never) == expected
    assert told.epochs == epochs


def test_every_never_learned_is_listed_and_some_are_shown(
    dataset: ImageDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "NUM_SHOWN", 1)
    found = _gallery(dataset).never_learned()
    assert [bool(sample.png) for sample in found] == [True, False]


def test_most_forgotten_are_learned_ones(dataset: ImageDataset) -> None:
    found = _gallery(dataset).most_forgotten()
    assert _ids(found) == [3, 2, 0]
    assert [sample.forgotten for sample in found] == [5, 5, 2]


def test_pictures_are_the_images(dataset: ImageDataset) -> None:
    (first, *_) = _gallery(dataset).most_forgotten()
    picture = np.asarray(Image.open(io.BytesIO(first.png)))
    np.testing.assert_array_equal(picture, dataset.train_images[3][:, :, 0])


def test_large_pictures_are_made_smaller(toy_data: ToyData) -> None:
    large = toy_data(20, shape=(300, 200, 3))
    (first, *_) = _gallery(large).most_forgotten()
    assert Image.open(io.BytesIO(first.png)).size == (85, 128)


def test_inside_and_outside(dataset: ImageDataset) -> None:
    chosen = PracSet.from_reasons(
        {
            Reason.NEVER_LEARNED: np.array([1, 6]),
            Reason.FORGOTTEN: np.array([2]),
            Reason.DISAGREED: np.array([2, 7]),
        }
    )
    found = _gallery(dataset).inside_and_outside(chosen)
    inside = {sample.sample_id: sample.reason for sample in found if sample.inside}
    assert inside == {
        1: "never learned",
        2: "forgotten, disagreed on",
        6: "never learned",
        7: "disagreed on",
    }
    outside = {sample.sample_id for sample in found if sample.inside is False}
    assert outside == set(dataset.training_ids.tolist()) - {1, 2, 6, 7}
    assert found == _gallery(dataset).inside_and_outside(chosen)


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_words(dataset: ImageDataset, reason: Reason) -> None:
    chosen = PracSet.from_reasons({reason: np.array([1])})
    (inside,) = (s for s in _gallery(dataset).inside_and_outside(chosen) if s.inside)
    assert inside.reason


def test_wrong_labels_are_among_those_never_learned(
    digits_data: ImageDataset, tmp_path: Path
) -> None:
    """Twenty digits with another digit's label, planted; a round of training, its hints."""
    generator = np.random.default_rng(0)
    planted = generator.choice(digits_data.training_ids, 20, replace=False)
    labels = digits_data.train_labels.copy()
    labels[planted] = (labels[planted] + generator.integers(1, 10, 20)) % 10
    dataset = dataclasses.replace(digits_data, train_labels=labels)
    recipe = Recipe(
        name="r",
        description="",
        architectures=("conv4",),
        augment=AugmentConfig(crop_padding=1, flip=False),
        train=TrainConfig(
            epochs=6, batch_size=64, learning_rate=0.02, milestones=(), precision="fp32"
        ),
        prune=PruneConfig(tolerance=None),
    )
    config = round_config(recipe, "conv4", 0, precision="fp32", records_events=True)
    images = DeviceImages(dataset, recipe.augment)
    task = RoundTask(run="r", config=config, sample_ids=dataset.training_ids)
    outcome = run_round(task, images, Folder(tmp_path))
    assert outcome.statistics is not None
    hints = Gallery("conv4", outcome.statistics, dataset, outcome.predictions).never_learned()
    found = set(_ids(hints)) & set(planted.tolist())
    # By chance 20 of 1,294 would be one hint in 65.
    assert len(found) >= 15
    assert len(found) >= 0.4 * len(hints)
    # The most surely wrong come first, and the network tells what they are.
    first = hints[:10]
    assert len(set(_ids(first)) & set(planted.tolist())) >= 8
    true = [str(dataset.class_names[digits_data.train_labels[h.sample_id]]) for h in first]
    assert sum(h.predicted == right for h, right in zip(first, true, strict=True)) >= 8
