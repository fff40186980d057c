"""A batch in several shares: the same bits, however many workers compute them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import torch.distributed as dist
from support import networks
from support.trainings import training_of, workers_environment
from torch import nn

from prac import GradualMask, Mask
from prac.config.sections import AugmentConfig, TrainConfig
from prac.data.batches import DeviceImages
from prac.data.dataset import ImageDataset
from prac.training.loop import train
from prac.training.schedule import shares_of
from prac.training.workers import Workers

SHARES = 4
SPECIAL = ("Remembers", "LeavesOut", "NoneBeside")
"""Of tests/support: passes that read and change buffers, leave out parameters, give several."""


def _images() -> DeviceImages:
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (60, 8, 8, 1), dtype=np.uint8)
    labels = random.integers(0, 3, 60)
    dataset = ImageDataset(
        name="noise",
        fingerprint="noise",
        class_names=("a", "b", "c"),
        train_images=pixels,
        train_labels=labels,
        test_images=pixels[:9],
        test_labels=labels[:9],
        training_ids=np.arange(50, dtype=np.int32),
        validation_ids=np.arange(50, 60, dtype=np.int32),
        mean=(0.5,),
        std=(0.3,),
    )
    return DeviceImages(dataset, AugmentConfig(crop_padding=1))


class Net(nn.Module):
    """With BatchNorm, dropout, a frozen weight and one that no pass uses."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.3), nn.Flatten()
        )
        self.head = nn.Linear(8 * 36, 3)
        self.frozen = nn.Parameter(torch.ones(3), requires_grad=False)
        self.unused = nn.Linear(2, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(images)) * self.frozen


def _trained(shares: int, workers: Workers | None = None) -> dict[str, torch.Tensor]:
    """On everything; on the hardest 30 of each epoch, which are found in each share alone; and
    pruned on the way."""
    ways = {"hardest.": _one(shares, workers, 30), "": _one(shares, workers, None)}
    ways["gradual."] = _one(shares, workers, None, fraction=0.6)
    return {way + name: t for way, found in ways.items() for name, t in found.items()}


def _special(shares: int, workers: Workers | None = None) -> dict[str, torch.Tensor]:
    return {
        f"{name}.{key}": tensor
        for name in SPECIAL
        for key, tensor in _one(shares, workers, None, getattr(networks, name)).items()
    }


def _one(
    shares: int,
    workers: Workers | None,
    hardest: int | None,
    make: Any = None,
    fraction: float = 0.0,
) -> dict[str, torch.Tensor]:
    torch.set_num_threads(1)
    torch.manual_seed(7)
    images, model = _images(), Net() if make is None else make(3, 1)
    config = TrainConfig(
        epochs=2, batch_size=17, learning_rate=0.1, milestones=(), precision="fp32", shares=shares
    )
    training = training_of(
        images, config, seed=3, stream=("x",), fresh=hardest, hardest=hardest is not None
    )
    gradual = GradualMask(Mask.dense(model), fraction, steps=5) if fraction else None
    train(model, training, workers=workers, gradual=gradual)
    if gradual is not None:
        assert gradual.mask.sparsity == pytest.approx(fraction, abs=0.01)
    return {name: tensor.contiguous() for name, tensor in model.state_dict().items()}


def _same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


@pytest.fixture(scope="module", params=[2, 3, 4])
def by_workers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, int]:
    """What so many workers found, each in a file of its own, and how many. A worker takes seconds
    to start, so that they train all networks one after the other."""
    folder, size = tmp_path_factory.mktemp("workers"), request.param
    command = [sys.executable, __file__, str(folder), str(size)]
    environment = workers_environment()
    processes = [subprocess.Popen([*command, str(rank)], env=environment) for rank in range(size)]
    try:
        assert [process.wait(120) for process in processes] == [0] * size
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return folder, size


def test_any_number_of_workers_finds_the_bits_of_one(by_workers: tuple[Path, int]) -> None:
    _compare(*by_workers, "net", _trained(SHARES))


def test_so_do_networks_whose_steps_differ_from_one_another(by_workers: tuple[Path, int]) -> None:
    _compare(*by_workers, "special", _special(_SHARES_OF_SPECIAL[by_workers[1]]))


_SHARES_OF_SPECIAL = {2: 2, 3: 4, 4: 4}
"""By the number of workers."""


def _compare(folder: Path, size: int, what: str, alone: dict[str, torch.Tensor]) -> None:
    for rank in range(size):
        assert _same(safetensors.torch.load_file(folder / f"{what}-{rank}"), alone)


def test_the_number_of_shares_is_part_of_what_is_computed() -> None:
    assert not _same(_trained(1), _trained(2))
    assert _same(_trained(2), _trained(2))


def test_a_share_has_two_samples_at_least() -> None:
    train = TrainConfig(batch_size=64, shares=8)
    assert [shares_of(train, n) for n in (1, 3, 4, 15, 16, 64, 65, 1294)] == [
        1, 1, 2, 7, 8, 8, 8, 8,
    ]  # fmt: skip


def _main(folder: str, size: int, rank: int) -> None:
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=size
    )
    shares = _SHARES_OF_SPECIAL[size]
    try:
        found = {
            "net": _trained(SHARES, Workers(rank, size, SHARES)),
            "special": _special(shares, Workers(rank, size, shares)),
        }
        for what, tensors in found.items():
            safetensors.torch.save_file(tensors, f"{folder}/{what}-{rank}")
        dist.barrier()
    finally:
        dist.destroy_process_group()


if __name__ == "__main__":
    _main(sys.argv[1], *map(int, sys.argv[2:]))
