"""A step never waits for the device and never mixes devices: real epochs on one that is played."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from support.played_device import DEVICE, Mixed, PlayedDevice, values
from support.trainings import training_of
from torch import Tensor, nn

from prac import Mask, global_magnitude
from prac.config.sections import AugmentConfig, TrainConfig
from prac.config.values import RewindPoint
from prac.data.batches import Batch, DeviceImages
from prac.data.dataset import ImageDataset
from prac.events.recorder import EventRecorder
from prac.models.registry import build_model
from prac.pruning.prunable import prunable_weights
from prac.pruning.tentative import TentativeMask
from prac.selection.soft import SoftSet
from prac.training.loop import Training, train
from prac.training.observers import (
    EpochEnd,
    EventObserver,
    Observer,
    RewindCapture,
    TentativeObserver,
)
from prac.training.schedule import full_budget
from prac.training.workers import Workers

EPOCHS, ROWS, BATCH = 2, 96, 24


class Watch(Observer):
    """What each step waited for and copied. The first step of an epoch begins where the last
    observer of the epoch before has ended."""

    name = "watch"

    def __init__(self, play: PlayedDevice | None) -> None:
        self.play = play
        self.waits: list[list[str]] = []
        self.copies: list[list[str]] = []
        self._seen = (0, 0)

    def _mark(self) -> tuple[list[str], list[str]]:
        assert self.play is not None
        new = self.play.waits[self._seen[0] :], self.play.copies[self._seen[1] :]
        self._seen = len(self.play.waits), len(self.play.copies)
        return new

    def on_start(self, model: nn.Module) -> None:
        if self.play is not None:
            self._mark()

    def on_step(self, steps_done: int, model: nn.Module) -> None:
        if self.play is not None:
            waits, copies = self._mark()
            self.waits.append(waits)
            self.copies.append(copies)

    def on_epoch(self, end: EpochEnd) -> bool:
        if self.play is not None:
            self._mark()
        return False


def _training(images: DeviceImages, kind: str) -> Training:
    ids = images.training_ids[:ROWS]
    config = TrainConfig(epochs=EPOCHS, milestones=(), batch_size=BATCH, label_smoothing=0.1)
    more: dict[str, Any] = {}
    if kind == "soft":
        more["soft"] = SoftSet(critical=ids[: ROWS // 2], sample_ids=ids, share=0.5)
    elif kind in ("fresh", "hardest"):
        more = {"fresh": ROWS // 2, "hardest": kind == "hardest"}
    elif kind == "adamw":
        config = dataclasses.replace(config, optimizer="adamw", learning_rate=1e-3)
    elif kind == "whole":
        config = dataclasses.replace(config, shares=1)
    return training_of(
        images, config, ids=ids, budget=full_budget(config, ROWS), stream=("round", 1), **more
    )


def _run(
    data: ImageDataset, kind: str, play: PlayedDevice | None, more: Sequence[Observer] = ()
) -> tuple[Watch, dict[str, Tensor], Any]:
    """Two epochs with events and tentative masks; all but the dense ones under a mask."""
    images = DeviceImages(data, AugmentConfig(), "cpu" if play is None else DEVICE)
    model = build_model("resnet8", num_classes=10, image_shape=data.image_shape, seed=0)
    mask = Mask.dense(model)
    if kind != "dense":
        mask = global_magnitude(prunable_weights(model), mask, 0.5)
    recorder, watch = EventRecorder(), Watch(play)
    observers = [
        TentativeObserver(TentativeMask(mask, 0.2, 0.1, 5)),
        RewindCapture(RewindPoint.parse("epoch:1")),
        EventObserver(recorder),
        *more,
        watch,
    ]
    train(
        model, _training(images, kind), mask=None if kind == "dense" else mask, observers=observers
    )
    state = {name: values(tensor).clone() for name, tensor in model.state_dict().items()}
    if kind != "dense":
        for name, alive in mask.items():
            assert not state[name][~alive].any()
    return watch, state, recorder.statistics()


@pytest.fixture
def few(digits_data: ImageDataset) -> ImageDataset:
    return dataclasses.replace(digits_data, validation_ids=digits_data.validation_ids[:40])


@pytest.mark.parametrize("kind", ["dense", "round", "soft", "fresh", "hardest", "adamw", "whole"])
def test_no_step_waits_for_the_device(kind: str, few: ImageDataset) -> None:
    with PlayedDevice() as play:
        watch, state, statistics = _run(few, kind, play)
    steps = len(watch.waits)
    assert steps == EPOCHS * (2 if kind in ("fresh", "hardest") else ROWS // BATCH) or (
        kind == "soft" and steps > EPOCHS
    )
    assert watch.waits == [[]] * steps
    # Rows, corners, flips and weights of a whole epoch go to the device before its first step, for
    # each of two shares, and masks before the very first.
    for step, copies in list(enumerate(watch.copies))[1:]:
        assert len(copies) <= (4 * 2 if step % (steps // EPOCHS) == 0 else 0), (step, copies)
    # The play is true: it finds the bits of the CPU.
    _, there, counted = _run(few, kind, None)
    assert all(torch.equal(state[name], there[name]) for name in there)
    assert statistics.equals(counted)


@pytest.fixture
def twin(monkeypatch: pytest.MonkeyPatch) -> Workers:
    """The first of two workers; the other does what it does."""

    def gather(every: list[Tensor], mine: Tensor) -> None:
        for each in every:
            each.copy_(mine)

    monkeypatch.setattr(torch.distributed, "all_gather", gather)
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda values: values.add_(values))
    monkeypatch.setattr(torch.distributed, "broadcast", lambda values, rank: None)
    return Workers(rank=0, size=2)


@pytest.mark.parametrize("kind", ["dense", "round", "adamw"])
def test_no_step_of_several_workers_waits_for_the_device(
    kind: str, few: ImageDataset, twin: Workers
) -> None:
    def trained(play: PlayedDevice | None) -> tuple[Watch, dict[str, Tensor]]:
        images = DeviceImages(few, AugmentConfig(), "cpu" if play is None else DEVICE)
        model = build_model("resnet8", num_classes=10, image_shape=few.image_shape, seed=0)
        mask = global_magnitude(prunable_weights(model), Mask.dense(model), 0.5)
        watch = Watch(play)
        train(
            model,
            _training(images, kind),
            mask=None if kind == "dense" else mask,
            observers=[watch],
            workers=twin,
        )
        return watch, {name: values(t).clone() for name, t in model.state_dict().items()}

    with PlayedDevice() as play:
        watch, state = trained(play)
    assert len(watch.waits) == EPOCHS * ROWS // BATCH
    for step, (waits, copies) in enumerate(zip(watch.waits, watch.copies, strict=True)):
        # Before an epoch they agree whether there is one, and take its rows to the device.
        if step % (ROWS // BATCH):
            assert (waits, copies) == ([], []), step
    _, there = trained(None)
    assert all(torch.equal(state[name], there[name]) for name in there)


class Meddler(Observer):
    """Does something in every step."""

    name = "meddler"

    def __init__(self, does: Callable[[Tensor], object]) -> None:
        self._does = does

    def on_predictions(self, batch: Batch, logits: Tensor) -> None:
        self._does(logits)


@pytest.mark.parametrize(
    "does",
    [
        lambda logits: logits.max().item(),
        lambda logits: logits.cpu(),
        lambda logits: logits.to("cpu", non_blocking=True),
        lambda logits: logits.nonzero(),
        lambda logits: bool(logits[0, 0] > 0),
        lambda logits: logits[logits > 0],
        lambda logits: logits.tolist(),
        lambda logits: torch.isnan(logits).any().__bool__(),
        lambda logits: torch.equal(logits, logits),
        lambda logits: torch.zeros(logits.shape).copy_(logits),
        lambda logits: logits.argmax(1).unique(),
    ],
    ids=["item", "cpu", "to", "nonzero", "bool", "mask", "list", "any", "equal", "copy_", "unique"],
)
def test_a_step_that_waits_is_seen(does: Callable[[Tensor], object], few: ImageDataset) -> None:
    with PlayedDevice() as play:
        watch, _, _ = _run(few, "dense", play, [Meddler(does)])
    assert watch.waits
    assert all(waits for waits in watch.waits)


@pytest.mark.parametrize(
    "does",
    [
        lambda logits: logits + torch.zeros(10),
        lambda logits: torch.cat([logits, torch.zeros(1, 10)]),
        lambda logits: torch.zeros(logits.shape).add_(logits),
    ],
)
def test_a_step_that_mixes_devices_is_refused(does, few: ImageDataset) -> None:
    with PlayedDevice() as play, pytest.raises(Mixed, match="on the device and on the CPU"):
        _run(few, "dense", play, [Meddler(does)])


def test_a_step_that_copies_to_the_device_is_seen(few: ImageDataset) -> None:
    with PlayedDevice() as play:
        copies = [lambda logits: torch.zeros(3).to(logits.device), lambda logits: logits[[0, 1]]]
        for does in copies:
            watch, _, _ = _run(few, "dense", play, [Meddler(does)])
            assert watch.copies
            assert all(copied for copied in watch.copies)
