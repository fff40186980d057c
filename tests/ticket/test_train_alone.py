"""A ticket trained alone: the full budget on all the data, the test split recounted by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from prac.config.sections import AugmentConfig, TrainConfig
from prac.data.batches import DeviceImages
from prac.data.dataset import ImageDataset
from prac.models import build_model
from prac.pruning import Mask, global_magnitude
from prac.pruning.prunable import prunable_weights
from prac.storage import Folder
from prac.ticket.retrain import TrainedAlone, train_alone
from prac.training.observers import EpochEnd

ToyData = Callable[..., ImageDataset]
CONFIG = TrainConfig(epochs=3, batch_size=16, learning_rate=0.05, milestones=(2,), precision="fp32")


@pytest.fixture(scope="module")
def dataset(toy_data: ToyData) -> ImageDataset:
    return toy_data(60)


@pytest.fixture(scope="module")
def images(dataset: ImageDataset) -> DeviceImages:
    return DeviceImages(dataset, AugmentConfig(crop_padding=1))


def _start() -> torch.nn.Module:
    return build_model("resnet8", num_classes=3, image_shape=(8, 8, 1), seed=7)


def _mask() -> Mask:
    return global_magnitude(prunable_weights(_start()), Mask.dense(_start()), 0.7)


def _judge(
    images: DeviceImages,
    mask: Mask | None,
    *,
    run: str,
    seed: int = 0,
    checkpoints: Folder | None = None,
    on_epoch: Callable[[EpochEnd], None] | None = None,
) -> TrainedAlone:
    return train_alone(
        _start(),
        mask,
        images,
        CONFIG,
        seed=seed,
        run=run,
        checkpoints=checkpoints,
        on_epoch=on_epoch,
    )


def _recount(judgement: TrainedAlone, dataset: ImageDataset) -> float:
    model = build_model("resnet8", num_classes=3, image_shape=(8, 8, 1), seed=1)
    model.load_state_dict(judgement.trained.best_weights)
    model.eval()
    right = 0
    for image, label in zip(dataset.test_images, dataset.test_labels, strict=True):
        pixels = (image / 255 - np.array(dataset.mean)) / np.array(dataset.std)
        with torch.no_grad():
            logits = model(torch.tensor(pixels.transpose(2, 0, 1)[None], dtype=torch.float32))
        right += int(logits.argmax()) == label
    return right / len(dataset.test_labels)


@pytest.mark.parametrize("masked", [False, True])
def test_a_ticket_is_trained_on_everything_and_tested_once(
    dataset: ImageDataset, images: DeviceImages, masked: bool
) -> None:
    mask = _mask() if masked else None
    seen: list[int] = []
    judgement = _judge(
        images, mask, run="judge", on_epoch=lambda end: seen.append(end.record.steps)
    )
    assert seen == [3, 3, 3]
    assert not judgement.trained.stopped_early
    assert judgement.test_accuracy == _recount(judgement, dataset)
    best = judgement.trained.best_weights
    if mask is not None:
        assert all(int((best[name][~mask[name]] != 0).sum()) == 0 for name in mask)
        assert sum(int((best[name] != 0).sum()) for name in mask) == mask.num_alive
    else:
        assert all(bool((best[n] != 0).all()) for n in prunable_weights(_start()))
    accuracies = [record.validation_accuracy for record in judgement.trained.epochs]
    assert judgement.trained.best_epoch == accuracies.index(max(accuracies))


def test_a_judgement_depends_on_weights_mask_and_seed_alone(
    images: DeviceImages, tmp_path: Path
) -> None:
    first = _judge(images, _mask(), run="a", checkpoints=Folder(tmp_path))
    torch.manual_seed(99)
    again = _judge(images, _mask(), run="b")
    finished = _judge(images, _mask(), run="a", checkpoints=Folder(tmp_path))
    other = _judge(images, _mask(), run="c", seed=1)

    def losses(judgement: TrainedAlone) -> list[float]:
        return [record.loss for record in judgement.trained.epochs]

    assert losses(first) == losses(again) == losses(finished) != losses(other)
    assert first.test_accuracy == again.test_accuracy == finished.test_accuracy
