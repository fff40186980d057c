"""A ticket trained alone: the full budget on all the data, the test split recounted by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from prac import Mask, global_magnitude
from prac.config.sections import AugmentConfig, TrainConfig
from prac.data.batches import DeviceImages
from prac.data.dataset import ImageDataset
from prac.errors import TicketError
from prac.models.registry import build_model
from prac.pruning.prunable import prunable_weights
from prac.storage import Folder
from prac.ticket.cost import ticket_cost
from prac.ticket.format import Ticket
from prac.ticket.retrain import TrainedAlone, measure_ticket, train_alone, train_ticket
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


def _ticket(dataset: ImageDataset, layers: str = "conv") -> Ticket:
    model = _start()
    mask = global_magnitude(prunable_weights(model, layers), Mask.dense(model, layers), 0.5)
    known = {"seed": 5, "num_training": 48, "splits": {"training": 48}, "parameters": 1}
    lineage = {
        "architecture": "resnet8",
        "num_classes": 3,
        "image_shape": [8, 8, 1],
        "class_names": list(dataset.class_names),
        "mean": [0.25],
        "std": [0.5],
        "data": "digits",
        "data_fingerprint": "old",
        "flops_dense": 1,
        "bytes_sparse": 1,
        "found_test_accuracy": 0.5,
        "found_validation_accuracy": 0.5,
        "found_steps": 9,
        **known,
    }
    state = model.state_dict()
    return Ticket.of(mask, state, lineage, Ticket.of(mask, state, {}).weights)


def _of_two_classes(dataset: ImageDataset) -> ImageDataset:
    rows, tested = np.flatnonzero(dataset.train_labels < 2), dataset.test_labels < 2
    return dataclasses.replace(
        dataset,
        fingerprint="two",
        class_names=dataset.class_names[:2],
        train_images=dataset.train_images[rows],
        train_labels=dataset.train_labels[rows],
        test_images=dataset.test_images[tested],
        test_labels=dataset.test_labels[tested],
        training_ids=np.arange(20, dtype=np.int32),
        validation_ids=np.arange(20, len(rows), dtype=np.int32),
    )


@pytest.mark.parametrize("layers", ["conv", "conv+linear"])
def test_a_judged_ticket_tells_of_the_new_data_and_of_its_own_search(
    dataset: ImageDataset, layers: str
) -> None:
    ticket, two = _ticket(dataset, layers), _of_two_classes(dataset)
    judged = train_ticket(ticket, two, CONFIG, AugmentConfig(), seed=8, device="cpu")
    judged.ticket.verify()
    assert judged.new_layers == ("classifier.weight", "classifier.bias")
    model, told = judged.ticket.build(), judged.ticket.lineage
    assert told["parameters"] == sum(p.numel() for p in model.parameters())
    assert told["splits"] == {
        "training": 20,
        "validation": len(two.validation_ids),
        "test": len(two.test_labels),
    }
    costs = vars(ticket_cost(model, judged.ticket.mask, (8, 8, 1)))
    assert {name: told[name] for name in costs} == costs
    assert told["weights"] - told["weights_alive"] == sum(
        int((w == 0).sum()) for n, w in model.state_dict().items() if n in judged.ticket.mask
    )
    assert (told["seed"], told["training_seed"]) == (5, 8)
    assert (told["data"], told["found_on"]) == (two.name, "digits")
    assert "num_training" not in told
    assert [name for name in told if name.startswith("found_")] == ["found_on"]
    if layers != "conv":
        assert judged.ticket.mask["classifier.weight"].shape == (2, 64)
        assert bool(judged.ticket.mask["classifier.weight"].all())
    rest = [name for name in ticket.mask if name not in judged.new_layers]
    assert all(torch.equal(judged.ticket.mask[n], ticket.mask[n]) for n in rest)


def test_a_ticket_is_measured_as_it_was_trained(dataset: ImageDataset) -> None:
    ticket = _ticket(dataset)
    model = ticket.build(trained=True).eval()
    images = torch.tensor(dataset.test_images).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        said = model((images - 0.25) / 0.5).argmax(1).numpy()
    right = float((said == dataset.test_labels).mean())
    for mean, std in ((dataset.mean, dataset.std), ((0.9,), (0.01,))):
        other = dataclasses.replace(dataset, mean=mean, std=std)
        assert measure_ticket(ticket, other) == right
    turned = dataclasses.replace(dataset, class_names=dataset.class_names[::-1])
    with pytest.raises(TicketError, match="classes come in another order or are others: where it"):
        measure_ticket(ticket, turned)
