"""Recorded passes: played on the CPU, where a replay runs the recorded work into the same memory.

What the device's own recording adds is tested where there is one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
import torch
from support.trainings import training_of
from torch import Tensor, nn

from prac import Mask, TentativeMask, global_magnitude
from prac.config.sections import AugmentConfig, TrainConfig
from prac.config.values import RewindPoint
from prac.data.batches import DeviceImages
from prac.data.dataset import ImageDataset
from prac.events.recorder import EventRecorder
from prac.models.registry import build_model
from prac.pruning.prunable import prunable_weights
from prac.training.loop import Trained, train
from prac.training.observers import EventObserver, RewindCapture, TentativeObserver
from prac.training.passes import EagerPasses, RecordedPasses, Recording, Work, passes_for

ToyData = Callable[..., ImageDataset]
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


class Player:
    """Records like a CUDA graph: some warm-ups, then memory that every replay writes again."""

    def __init__(self) -> None:
        self.recordings = 0
        self.replays = 0

    def __call__(self, work: Work, parameters: list[nn.Parameter]) -> Recording:
        for _ in range(2):
            work()
        outputs = work()
        gradients = [p.grad for p in parameters]
        self.recordings += 1

        def replay() -> None:
            self.replays += 1
            for still, fresh in zip(outputs, work(), strict=True):
                still.copy_(fresh)
            for gradient, parameter in zip(gradients, parameters, strict=True):
                if gradient is not None:
                    assert parameter.grad is not None
                    gradient.copy_(parameter.grad)

        return Recording(outputs, replay)


def _played(model: nn.Module, player: Player) -> RecordedPasses:
    eager = EagerPasses(model=model, precision="fp32", label_smoothing=0.1)
    parameters = list(model.parameters())
    return RecordedPasses(eager, lambda work: player(work, parameters))


@pytest.fixture
def images(toy_data: ToyData) -> DeviceImages:
    # Steps of 16 don't divide the training rows: they come in two sizes.
    return DeviceImages(toy_data(61), AugmentConfig(crop_padding=1, flip=True))


def _train(images: DeviceImages) -> tuple[Trained, nn.Module, list[object]]:
    model = build_model("resnet8", num_classes=3, image_shape=images.image_shape, seed=1)
    mask = global_magnitude(prunable_weights(model), Mask.dense(model), 0.5)
    config = TrainConfig(epochs=3, batch_size=16, milestones=(2,), label_smoothing=0.1, shares=1)
    training = training_of(images, config, stream=("passes",))
    tables: list[object] = []
    rewind = RewindCapture(RewindPoint("step", 2))
    trained = train(
        model,
        training,
        mask=mask,
        observers=[
            EventObserver(EventRecorder(0, lambda epoch, table: tables.append(table.to_pydict()))),
            TentativeObserver(TentativeMask(mask)),
            rewind,
        ],
    )
    return trained, model, [tables, rewind.weights]


def _same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


def test_replayed_training_finds_the_same_bits(
    images: DeviceImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, plain_model, (plain_events, plain_rewind) = _train(images)
    player = Player()

    def recorded(eager: EagerPasses, device: torch.device, *, alone: bool) -> RecordedPasses:
        assert alone
        parameters = list(eager.model.parameters())
        return RecordedPasses(eager, lambda work: player(work, parameters))

    monkeypatch.setattr("prac.training.loop.passes_for", recorded)
    replayed, model, (events, rewind) = _train(images)
    assert _same(plain_model.state_dict(), model.state_dict())
    assert _same(plain.best_weights, replayed.best_weights)
    assert isinstance(plain_rewind, dict)
    assert isinstance(rewind, dict)
    assert _same(plain_rewind, rewind)
    assert plain_events == events
    assert player.replays == replayed.steps
    # Once a size, not once an epoch: nothing is recorded again.
    assert player.recordings == 2


def test_warm_ups_leave_no_trace_in_batchnorm(images: DeviceImages) -> None:
    model = build_model("resnet8", num_classes=3, image_shape=images.image_shape, seed=1)
    reference = build_model("resnet8", num_classes=3, image_shape=images.image_shape, seed=1)
    batch, labels = images.clean(images.training_ids[:8]), images.labels(images.training_ids[:8])
    _played(model, Player())(batch, labels, 1 / 8)
    EagerPasses(model=reference, precision="fp32", label_smoothing=0.1)(batch, labels, 1 / 8)
    assert _same(dict(model.named_buffers()), dict(reference.named_buffers()))
    tracked = [b for name, b in model.named_buffers() if name.endswith("num_batches_tracked")]
    assert [int(count) for count in tracked] == [1] * len(tracked)


def test_gradients_are_overwritten_and_not_added(images: DeviceImages) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(images.image_shape[0] ** 2, 3))
    ids = images.training_ids[:8]
    batch, labels = images.clean(ids), images.labels(ids)
    player = Player()
    run = _played(model, player)
    run(batch, labels, 0.5)
    first = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    run(batch, labels, 0.5)
    second = [p.grad for p in model.parameters() if p.grad is not None]
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    run(batch[:4], labels[:4], 0.5)
    run(batch, labels, 0.25)
    quarter = [p.grad for p in model.parameters() if p.grad is not None]
    assert all(torch.allclose(one, 2 * other) for one, other in zip(first, quarter, strict=True))
    assert player.recordings == 3


def test_a_frozen_parameter_has_no_gradient(images: DeviceImages) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(images.image_shape[0] ** 2, 3))
    model[1].bias.requires_grad_(False)
    ids = images.training_ids[:8]
    _played(model, Player())(images.clean(ids), images.labels(ids), 1.0)
    assert model[1].bias.grad is None
    assert model[1].weight.grad is not None


def test_what_cannot_be_recorded_is_trained_and_said(
    images: DeviceImages, caplog: pytest.LogCaptureFixture
) -> None:
    def refusing(work: Work) -> Recording:
        work()
        raise RuntimeError("operation not permitted when stream is capturing\nmore lines")

    models = [
        build_model("resnet8", num_classes=3, image_shape=images.image_shape, seed=1)
        for _ in range(2)
    ]
    ids = images.training_ids[:8]
    eager = [EagerPasses(model=m, precision="fp32", label_smoothing=0.0) for m in models]
    run = RecordedPasses(eager[0], refusing)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            models[0].zero_grad()
            models[1].zero_grad()
            run(images.clean(ids), images.labels(ids), 1.0)
            eager[1](images.clean(ids), images.labels(ids), 1.0)
    assert [record.getMessage() for record in caplog.records] == [
        "the network can't be recorded as a CUDA graph: "
        "operation not permitted when stream is capturing"
    ]
    assert _same(models[0].state_dict(), models[1].state_dict())
    for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(one.grad, other.grad)


def test_a_size_that_cannot_be_recorded_ends_the_replays_of_others(images: DeviceImages) -> None:
    models = [
        build_model("resnet8", num_classes=3, image_shape=images.image_shape, seed=1)
        for _ in range(2)
    ]
    player, parameters = Player(), list(models[0].parameters())

    def once(work: Work) -> Recording:
        if player.recordings:
            raise RuntimeError("out of memory")
        return player(work, parameters)

    eager = [EagerPasses(model=m, precision="fp32", label_smoothing=0.0) for m in models]
    run = RecordedPasses(eager[0], once)
    for size in (8, 9, 8):
        ids = images.training_ids[:size]
        for model, passes in zip(models, (run, eager[1]), strict=True):
            model.zero_grad()
            passes(images.clean(ids), images.labels(ids), 1.0)
    assert player.replays == 1
    assert _same(models[0].state_dict(), models[1].state_dict())


def test_samples_that_weigh_differently_are_not_recorded(images: DeviceImages) -> None:
    models = [
        build_model("resnet8", num_classes=3, image_shape=images.image_shape, seed=1)
        for _ in range(2)
    ]
    player, ids = Player(), images.training_ids[:8]
    run = _played(models[0], player)
    eager = EagerPasses(model=models[1], precision="fp32", label_smoothing=0.1)
    each = torch.linspace(0.5, 4, 8)
    # After a recorded batch, whose gradients lie where the recording wrote them.
    run(images.clean(ids), images.labels(ids), 1.0)
    eager(images.clean(ids), images.labels(ids), 1.0)
    for model in models:
        model.zero_grad()
    got = run(images.clean(ids), images.labels(ids), 0.5, each)
    expected = eager(images.clean(ids), images.labels(ids), 0.5, each)
    assert torch.equal(got[1], expected[1])
    assert player.recordings == 1
    for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(one.grad, other.grad)


@needs_cuda
def test_a_network_that_waits_for_the_device_is_trained_without(
    toy_data: ToyData, caplog: pytest.LogCaptureFixture
) -> None:
    class Waiting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(64, 3)

        def forward(self, images: Tensor) -> Tensor:
            scale = images.flatten(1).sum().item()
            made: Tensor = self.linear(images.flatten(1)) * (1 if scale else 0)
            return made

    images = DeviceImages(toy_data(61), AugmentConfig(), "cuda")
    model, ids = Waiting().cuda(), images.training_ids[:8]
    eager = EagerPasses(model=model, precision="fp32", label_smoothing=0.0)
    stream = torch.cuda.current_stream()
    run = passes_for(eager, images.device, alone=True)
    with caplog.at_level(logging.WARNING):
        run(images.clean(ids), images.labels(ids), 1.0)
    assert len(caplog.records) == 1
    assert torch.cuda.current_stream() == stream
    assert model.linear.weight.grad is not None


@pytest.mark.parametrize(
    ("device", "alone", "kind"),
    [("cpu", True, EagerPasses), ("cuda", True, RecordedPasses), ("cuda", False, EagerPasses)],
)
def test_only_whole_steps_on_a_cuda_device_are_recorded(
    device: str, alone: bool, kind: type
) -> None:
    eager = EagerPasses(model=nn.Linear(1, 1), precision="fp32", label_smoothing=0.0)
    assert type(passes_for(eager, torch.device(device), alone=alone)) is kind


@needs_cuda
def test_a_cuda_graph_finds_what_single_kernels_find(
    toy_data: ToyData, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    images = DeviceImages(toy_data(61), AugmentConfig(crop_padding=1, flip=True), "cuda")
    with caplog.at_level(logging.WARNING):
        recorded, model, _ = _train(images)
    assert not caplog.records  # that it could not be recorded
    monkeypatch.setattr("prac.training.loop.passes_for", lambda eager, device, *, alone: eager)
    plain, plain_model, _ = _train(images)
    assert recorded.epochs[-1].loss == pytest.approx(plain.epochs[-1].loss, rel=1e-3)
    for name, tensor in plain_model.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], tensor, rtol=1e-2, atol=1e-3)
