"""What a network draws in its forward passes: by seed, epoch, step and share, and by nothing else.

Two workers' draws are compared with those of one in test_workers.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from support.trainings import training_of
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from prac.config.sections import AugmentConfig, TrainConfig
from prac.data.batches import Batch, DeviceImages
from prac.data.dataset import ImageDataset
from prac.errors import PracError
from prac.storage import Folder
from prac.training.loop import train
from prac.training.observers import EpochEnd, Observer
from prac.training.passes import EagerPasses, RecordedPasses, Recording, Work
from prac.training.randomness import counted_seed, generators_kept, seed_generators
from prac.training.workers import Workers

ToyData = Callable[..., ImageDataset]
CONFIG = TrainConfig(epochs=4, batch_size=16, learning_rate=0.05, milestones=(2,), shares=1)


class Residual(nn.Module):
    """Drops its branch, one decision a sample."""

    def __init__(self) -> None:
        super().__init__()
        self.branch = nn.Linear(64, 64)
        self.depth = StochasticDepth(0.4, mode="row")

    def forward(self, features: Tensor) -> Tensor:
        kept: Tensor = self.depth(self.branch(features))
        return features + kept


def _dropout() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Dropout(0.5), nn.Linear(32, 3))


def _stochastic_depth() -> nn.Module:
    return nn.Sequential(nn.Flatten(), Residual(), nn.ReLU(), nn.Linear(64, 3))


both_networks = pytest.mark.parametrize("make", [_dropout, _stochastic_depth])


@pytest.fixture(scope="module")
def images(toy_data: ToyData) -> DeviceImages:
    return DeviceImages(toy_data(60), AugmentConfig(crop_padding=1, flip=True))


class Killed(Exception):
    pass


class Kill(Observer):
    def __init__(self, after: int) -> None:
        self._after = after

    def on_epoch(self, end: EpochEnd) -> bool:
        if end.record.epoch == self._after:
            raise Killed
        return False


def _trained(
    images: DeviceImages,
    make: Callable[[], nn.Module],
    *,
    seed: int = 3,
    learning_rate: float = 0.05,
    observers: tuple[Observer, ...] = (),
    workers: Workers | None = None,
    checkpoints: Folder | None = None,
) -> dict[str, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = make()
    config = dataclasses.replace(CONFIG, learning_rate=learning_rate)
    training = training_of(images, config, seed=seed)
    train(model, training, observers=observers, workers=workers, checkpoints=checkpoints)
    return model.state_dict()


def _same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


@both_networks
def test_the_same_seed_trains_the_same_network(
    images: DeviceImages, make: Callable[[], nn.Module]
) -> None:
    torch.manual_seed(1)
    first = _trained(images, make)
    torch.manual_seed(2)
    assert _same(first, _trained(images, make))
    assert not _same(first, _trained(images, make, seed=4))


@both_networks
@pytest.mark.parametrize("epoch", [0, 2])
def test_a_resumed_training_draws_what_it_would_have_drawn(
    images: DeviceImages, make: Callable[[], nn.Module], epoch: int, tmp_path: Path
) -> None:
    whole = _trained(images, make)
    with pytest.raises(Killed):
        _trained(images, make, observers=(Kill(epoch + 1),), checkpoints=Folder(tmp_path))
    torch.manual_seed(9)
    assert _same(whole, _trained(images, make, checkpoints=Folder(tmp_path)))


@both_networks
def test_the_global_generator_is_left_as_it_was(
    images: DeviceImages, make: Callable[[], nn.Module]
) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    _trained(images, make)
    assert torch.equal(torch.get_rng_state(), before)
    with pytest.raises(PracError, match="not finite"):
        _trained(images, make, learning_rate=1e30)
    assert torch.equal(torch.get_rng_state(), before)


class Draws(nn.Module):
    """Keeps the first number of every forward pass in training."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 3)
        self.drawn: list[float] = []

    def forward(self, images: Tensor) -> Tensor:
        if self.training:
            self.drawn.append(torch.rand(()).item())
        logits: Tensor = self.linear(images.flatten(1))
        return logits


def test_no_two_shares_draw_alike(images: DeviceImages) -> None:
    made: list[Draws] = []

    def make() -> nn.Module:
        made.append(Draws())
        return made[-1]

    _trained(images, make, workers=Workers(shares=2))
    drawn = made[0].drawn
    assert len(drawn) == 4 * 3 * 2
    assert len(set(drawn)) == len(drawn)
    # A worker that takes the first share alone draws what that share drew beside the second.
    _trained(images, make)
    assert made[1].drawn == drawn[::2]


def test_an_observer_that_draws_moves_nothing(images: DeviceImages) -> None:
    class Drawing(Observer):
        def on_predictions(self, batch: Batch, logits: Tensor) -> None:
            torch.rand(7)

    assert _same(_trained(images, _dropout), _trained(images, _dropout, observers=(Drawing(),)))


def test_counted_seeds_are_splitmix64s() -> None:
    # The first outputs of SplitMix64 from seed 1234567, as published with the algorithm's tests.
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert [counted_seed(1234567, step) for step in range(3)] == published


def test_counted_seeds_differ_in_every_counter() -> None:
    seeds = {counted_seed(7, step, share) for step in range(300) for share in range(30)}
    assert len(seeds) == 9000
    assert all(0 <= seed < 2**64 for seed in seeds)
    # The processor's generator takes the lower half alone.
    assert len({seed % 2**32 for seed in seeds}) == 9000
    torch.Generator().manual_seed(max(seeds))


def test_only_the_named_generators_are_seeded() -> None:
    cpu = torch.device("cpu")
    before = torch.get_rng_state()
    with generators_kept(cpu):
        seed_generators(cpu, 11)
        first = torch.rand(3)
        seed_generators(cpu, 11)
        assert torch.equal(torch.rand(3), first)
    assert torch.equal(first, torch.rand(3, generator=torch.Generator().manual_seed(11)))
    assert torch.equal(torch.get_rng_state(), before)


# --- recorded passes -----------------------------------------------------------------------------


def _played(eager: EagerPasses) -> RecordedPasses:
    """Warm-ups and a replay that draw anew, as a CUDA graph's do."""
    parameters = list(eager.model.parameters())

    def record(work: Work) -> Recording:
        for _ in range(2):
            work()
        outputs = work()
        gradients = [parameter.grad for parameter in parameters]

        def replay() -> None:
            for still, fresh in zip(outputs, work(), strict=True):
                still.copy_(fresh)
            for gradient, parameter in zip(gradients, parameters, strict=True):
                assert gradient is not None
                assert parameter.grad is not None
                gradient.copy_(parameter.grad)

        return Recording(outputs, replay)

    return RecordedPasses(eager, record)


@both_networks
def test_a_replay_draws_what_single_kernels_draw(
    images: DeviceImages, make: Callable[[], nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = _trained(images, make)
    monkeypatch.setattr("prac.training.loop.passes_for", lambda eager, *_, **__: _played(eager))
    assert _same(plain, _trained(images, make))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@both_networks
def test_a_cuda_graph_draws_what_single_kernels_draw(
    toy_data: ToyData, make: Callable[[], nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    images = DeviceImages(toy_data(60), AugmentConfig(crop_padding=1, flip=True), "cuda")
    before = torch.cuda.get_rng_state()
    recorded = _trained(images, make)
    assert torch.equal(torch.cuda.get_rng_state(), before)
    assert _same(recorded, _trained(images, make))
    monkeypatch.setattr("prac.training.loop.passes_for", lambda eager, *_, **__: eager)
    for name, tensor in _trained(images, make).items():
        torch.testing.assert_close(recorded[name], tensor, rtol=1e-2, atol=1e-3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_network_that_draws_on_the_processor_is_not_recorded(
    toy_data: ToyData, caplog: pytest.LogCaptureFixture
) -> None:
    images = DeviceImages(toy_data(60), AugmentConfig(), "cuda")
    made: list[Draws] = []

    def make() -> nn.Module:
        made.append(Draws())
        return made[-1]

    _trained(images, make)
    assert "draws random numbers on the processor" in caplog.text
    assert len(set(made[0].drawn[-12:])) == 12
