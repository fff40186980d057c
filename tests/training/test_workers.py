"""Two workers over gloo on loopback: this file is also what each of them runs.

As a script: `python test_workers.py MODE RANK FOLDER`, with the data set in FOLDER/data.npz.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
import torch.distributed as dist
from support.trainings import training_of, workers_environment
from torch import nn

from prac import Mask, global_magnitude
from prac.config.recipe import Recipe
from prac.config.sections import AugmentConfig, DataConfig, PruneConfig, SearchConfig, TrainConfig
from prac.config.values import RewindPoint
from prac.data.batches import DeviceImages
from prac.data.dataset import ImageDataset
from prac.events.log import EventLog
from prac.events.statistics import count_events
from prac.lottery.round_events import event_folder
from prac.lottery.rounds import RoundTask, train_round, train_with_workers
from prac.lottery.stage_config import round_config
from prac.lottery.starts import initial_model
from prac.pruning.prunable import prunable_weights
from prac.storage import Folder
from prac.training.checkpoint import Checkpoint
from prac.training.loop import train
from prac.training.observers import EpochEnd, Observer
from prac.training.workers import Workers

ToyData = Callable[..., ImageDataset]
RECIPE = Recipe(
    name="toy",
    description="toy",
    architectures=("resnet8",),
    data=DataConfig(),
    augment=AugmentConfig(crop_padding=1),
    train=TrainConfig(
        epochs=5, batch_size=16, learning_rate=0.05, milestones=(3,), precision="fp32"
    ),
    # Any distance is below 1: every round ends as soon as there are two of them.
    prune=PruneConfig(tolerance=1.0, patience=2, record_at_once=True),
    search=SearchConfig(rounds=2, rewind=RewindPoint("epoch", 1)),
)


def _images(folder: Path) -> DeviceImages:
    with np.load(folder / "data.npz") as arrays:
        fields = dict(arrays.items())
    dataset = ImageDataset(
        name="toy",
        fingerprint="toy",
        class_names=("a", "b", "c"),
        mean=(0.5,),
        std=(0.3,),
        **fields,
    )
    return DeviceImages(dataset, RECIPE.augment)


def _task(images: DeviceImages) -> RoundTask:
    config = round_config(RECIPE, "resnet8", 1, precision="fp32", records_events=True)
    model = initial_model(config, images)
    mask = global_magnitude(prunable_weights(model), Mask.dense(model), 0.2)
    # Not a multiple of the workers, so that the shares of a step differ.
    return RoundTask(
        run="task",
        config=config,
        sample_ids=images.training_ids[:47],
        mask=mask,
        weights=model.state_dict(),
    )


def _plain_model(dropout: float) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        layers = [nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Flatten()]
        return nn.Sequential(*layers, nn.Dropout(dropout), nn.Linear(64, 3))


class _Spared(nn.Module):
    """With a layer that nothing calls."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.spare = network, nn.Conv2d(1, 1, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.network(images)


class _Skipping(nn.Module):
    """With two layers of which each share draws whether it takes them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(64, 64), nn.Linear(64, 64)
        self.network = _plain_model(0.0)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        hidden = self.network[:4](images)
        for layer in (self.first, self.second):
            if not self.training or torch.rand(()) < 0.5:
                hidden = hidden + layer(hidden)
        return self.network[4:](hidden)


def _skipping(images: DeviceImages, workers: Workers) -> dict[str, torch.Tensor]:
    """The weights after 24 steps, in some of which one share takes a layer, or both, or neither."""
    config = TrainConfig(epochs=4, batch_size=8, milestones=(), learning_rate=0.05)
    training = training_of(images, config, ids=images.training_ids[:47], stream=("skipping",))
    torch.manual_seed(2)
    model = _Skipping()
    # What a process drew before is its own.
    torch.manual_seed(workers.rank)
    train(model, training, workers=workers)
    return {n: t.contiguous() for n, t in model.state_dict().items()}


def _one_step(
    images: DeviceImages, workers: Workers, dropout: float = 0.0, *, spared: bool = False
) -> dict[str, torch.Tensor]:
    """The gradients of one step over all 47 samples, and the weights after it."""
    config = TrainConfig(
        epochs=1, batch_size=64, learning_rate=0.1, milestones=(), weight_decay=0.0
    )
    model = _Spared(_plain_model(dropout)) if spared else _plain_model(dropout)
    mask = global_magnitude(prunable_weights(model), Mask.dense(model), 0.5)
    kept: dict[str, torch.Tensor] = {}

    class Gradients(Observer):
        def on_step(self, steps_done: int, model: nn.Module) -> None:
            for name, parameter in model.named_parameters():
                if name.startswith("spare."):
                    assert parameter.grad is None
                    continue
                assert parameter.grad is not None
                kept[f"gradient {name}"] = parameter.grad.detach().clone().contiguous()

    training = training_of(images, config, ids=images.training_ids[:47], stream=("step",))
    trained = train(model, training, mask=mask, observers=[Gradients()], workers=workers)
    kept |= {n: t.contiguous() for n, t in model.state_dict().items()}
    record = trained.epochs[0]
    numbers = [record.loss, record.train_accuracy, record.validation_accuracy]
    return kept | {"numbers": torch.tensor(numbers, dtype=torch.float64)}


def _main(mode: str, rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    store = dist.FileStore(str(folder / f"store-{mode}"), 2)
    dist.init_process_group(
        "gloo", store=store, rank=rank, world_size=2, timeout=timedelta(seconds=60)
    )
    try:
        workers, images = Workers.of_process_group(), _images(folder)
        assert workers == Workers(rank, 2)
        asked: list[int] = []

        def on_epoch(end: EpochEnd) -> None:
            asked.append(end.record.epoch)
            if mode == "killed" and end.record.epoch == 1:
                os._exit(3)

        train_with_workers(_task(images), images, Folder(folder / "work"), on_epoch=on_epoch)
        said = workers.told({"rank": "\N{BLACK CHESS ROOK}" * (rank + 1)}, images.device)
        (folder / f"said-{rank}.json").write_text(json.dumps(said))
        (folder / f"resumed-{rank}.json").write_text(json.dumps(asked))
        safetensors.torch.save_file(_one_step(images, workers), str(folder / f"step-{rank}"))
        torch.manual_seed(rank)
        drawn = _one_step(images, workers, dropout=0.5)
        safetensors.torch.save_file(drawn, str(folder / f"dropout-{rank}"))
        torch.manual_seed(0)
        spared = _one_step(images, workers, spared=True)
        safetensors.torch.save_file(spared, str(folder / f"spared-{rank}"))
        skipped = _skipping(images, workers)
        safetensors.torch.save_file(skipped, str(folder / f"skipped-{rank}"))
        _disagree(images, workers, folder)
        # Neither takes the group down while the other still uses it.
        dist.barrier()
    finally:
        dist.destroy_process_group()


def _disagree(images: DeviceImages, workers: Workers, folder: Path) -> None:
    """Rank 1 wants to stop at once, rank 0 after two epochs: rank 0 decides for both."""

    class Wish(Observer):
        def on_epoch(self, end: EpochEnd) -> bool:
            return workers.rank == 1 or end.record.epoch == 1

    config = TrainConfig(epochs=4, batch_size=16, milestones=(), learning_rate=0.05)
    training = training_of(images, config, stream=("x",))
    config_of_round = round_config(RECIPE, "resnet8", 0, precision="fp32", records_events=False)
    model = initial_model(config_of_round, images)
    trained = train(model, training, observers=[Wish()], workers=workers)
    state = {n: t.contiguous() for n, t in model.state_dict().items()}
    safetensors.torch.save_file(state, str(folder / f"disagree-{workers.rank}"))
    numbers = [[r.loss, r.train_accuracy, r.validation_accuracy] for r in trained.epochs]
    (folder / f"disagree-{workers.rank}.json").write_text(json.dumps(numbers))


def _run_both(mode: str, folder: Path) -> list[int]:
    """The exit statuses of two workers; once one has failed, the other is killed."""
    environment = workers_environment()
    processes = []
    for rank in (0, 1):
        command = [sys.executable, __file__, mode, str(rank), str(folder)]
        with open(folder / f"{mode}-{rank}.log", "w") as log:
            processes.append(subprocess.Popen(command, env=environment, stderr=log))
    deadline = time.monotonic() + 180
    try:
        while time.monotonic() < deadline:
            codes = [process.poll() for process in processes]
            if None not in codes or any(codes):
                break
            time.sleep(0.05)
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return [process.returncode for process in processes]


@pytest.fixture(scope="module")
def folder(toy_data: ToyData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two workers left that were killed once and started again."""
    where, dataset = tmp_path_factory.mktemp("workers"), toy_data(70)
    names = ("train_images", "train_labels", "test_images", "test_labels")
    arrays = {n: getattr(dataset, n) for n in (*names, "training_ids", "validation_ids")}
    np.savez(where / "data.npz", **arrays)
    # Rank 0 dies at the end of epoch 1, after the events of that epoch, before its checkpoint.
    assert _run_both("killed", where)[0] == 3, (where / "killed-0.log").read_text()
    both = _run_both("resumed", where)
    assert both == [0, 0], "".join((where / f"resumed-{r}.log").read_text() for r in (0, 1))
    return where


def test_a_step_of_two_workers_is_the_step_of_one(folder: Path) -> None:
    both = [safetensors.torch.load_file(folder / f"step-{rank}") for rank in (0, 1)]
    alone = _one_step(_images(folder), Workers())
    assert both[0].keys() == both[1].keys() == alone.keys()
    assert any(bool((alone[name] != 0).any()) for name in alone if name.startswith("gradient"))
    for name, expected in alone.items():
        assert torch.equal(both[0][name], both[1][name])
        torch.testing.assert_close(both[0][name], expected, rtol=1e-4, atol=1e-6)
        if name.startswith("gradient") and name.endswith(("0.weight", "2.weight")):
            assert torch.equal(both[0][name] == 0, expected == 0)


def test_two_workers_train_a_network_with_a_layer_that_nothing_calls(folder: Path) -> None:
    torch.manual_seed(0)
    alone = _one_step(_images(folder), Workers(shares=2), spared=True)
    for rank in (0, 1):
        one = safetensors.torch.load_file(folder / f"spared-{rank}")
        assert one.keys() == alone.keys()
        assert all(torch.equal(one[name], alone[name]) for name in alone)


def test_two_workers_train_a_network_that_skips_layers_at_random(folder: Path) -> None:
    alone = _skipping(_images(folder), Workers(shares=2))
    for rank in (0, 1):
        one = safetensors.torch.load_file(folder / f"skipped-{rank}")
        assert one.keys() == alone.keys()
        assert all(torch.equal(one[name], alone[name]) for name in alone)


def test_one_worker_that_takes_both_shares_is_two_workers_bit_for_bit(folder: Path) -> None:
    images = _images(folder)
    for file, dropout in (("step-0", 0.0), ("dropout-0", 0.5)):
        two = safetensors.torch.load_file(folder / file)
        alone = _one_step(images, Workers(shares=2), dropout)
        assert two.keys() == alone.keys()
        for name in two:
            if name != "numbers":
                assert torch.equal(two[name], alone[name]), name
        torch.testing.assert_close(two["numbers"], alone["numbers"], rtol=1e-12, atol=0)

    # BatchNorm normalises each share alone, its statistics are share 0's, all events are there.
    task, elsewhere = _task(images), Folder(folder / "alone")
    assert task.config.train.shares == 2
    train_with_workers(task, images, elsewhere)
    both = Checkpoint.load(Folder(folder / "work"), "task")
    one = Checkpoint.load(elsewhere, "task")
    assert both is not None
    assert one is not None
    assert one.tensors.keys() == both.tensors.keys()
    assert any(name.endswith("running_mean") for name in one.tensors)
    for name, tensor in both.tensors.items():
        assert torch.equal(tensor, one.tensors[name]), name
    tables = [
        count_events(
            EventLog(event_folder(where), "task").read(
                round_index=1, epochs=3, sample_ids=task.sample_ids
            )
        ).statistics()
        for where in (Folder(folder / "work"), elsewhere)
    ]
    assert tables[0].equals(tables[1])


def test_each_worker_is_told_what_made_the_result(folder: Path) -> None:
    for rank in (0, 1):
        said = json.loads((folder / f"said-{rank}.json").read_text())
        assert said == [{"rank": "\N{BLACK CHESS ROOK}" * (each + 1)} for each in (0, 1)]
    left = Checkpoint.load(Folder(folder / "work"), "task")
    assert left is not None
    # Two alike, killed once: one answer each.
    torch_versions = left.progress.made_by["torch"]
    assert torch_versions == importlib.metadata.version("torch")
    assert left.progress.made_by["threads"] == "1"


def test_workers_say_nothing_of_how_their_libraries_are_called(folder: Path) -> None:
    for rank in (0, 1):
        said = (folder / f"resumed-{rank}.log").read_text()
        assert "Warning" not in said, said


@pytest.mark.parametrize(("rank", "size", "shares"), [(0, 2, 1), (2, 2, 2), (-1, 1, 1)])
def test_places_that_are_none(rank: int, size: int, shares: int) -> None:
    with pytest.raises(ValueError, match="is no place"):
        Workers(rank, size, shares)


@pytest.mark.parametrize(("size", "shares"), [(1, 1), (1, 3), (2, 3), (3, 7)])
def test_every_share_is_taken_once(size: int, shares: int) -> None:
    taken = [share for rank in range(size) for share in Workers(rank, size, shares).mine]
    assert sorted(taken) == list(range(shares))
    assert Workers(0, size, shares).mine[0] == 0


def test_rank_0_decides_when_both_stop_and_both_end_alike(folder: Path) -> None:
    states = [safetensors.torch.load_file(folder / f"disagree-{rank}") for rank in (0, 1)]
    assert states[0].keys() == states[1].keys()
    for name in states[0]:
        assert torch.equal(states[0][name], states[1][name])
    numbers = [json.loads((folder / f"disagree-{rank}.json").read_text()) for rank in (0, 1)]
    assert numbers[0] == numbers[1]
    assert len(numbers[0]) == 2


def test_a_round_of_two_workers_killed_and_resumed(folder: Path) -> None:
    images, work = _images(folder), Folder(folder / "work")
    task = _task(images)
    assert json.loads((folder / "resumed-0.json").read_text()) == [1, 2]
    assert json.loads((folder / "resumed-1.json").read_text()) == []

    files = EventLog(event_folder(work), "task").files()
    wanted = {(0, 0), (1, 1), (2, 1)}
    for rank in (0, 1):
        assert wanted <= {(f.epoch, f.attempt) for f in files if (f.rank, f.ranks) == (rank, 2)}

    outcome = train_round(task, images, work)
    assert outcome.stopped_early
    assert [record.epoch for record in outcome.epochs] == [0, 1, 2]
    log = EventLog(event_folder(work), "task")
    for epoch, batch in enumerate(log.read(round_index=1, epochs=3)):
        assert batch["sample_id"].to_pylist() == task.sample_ids.tolist()
        right = sum(batch["correct"].to_pylist())
        assert outcome.epochs[epoch].train_accuracy == right / 47
    events = log.read(round_index=1, epochs=3, sample_ids=task.sample_ids)
    statistics = count_events(events).statistics()
    assert statistics["presentations"].to_pylist() == [3] * 47
    assert task.mask is not None
    assert outcome.next_mask.is_subset_of(task.mask)
    assert all(int((outcome.best_weights[n][~task.mask[n]] != 0).sum()) == 0 for n in task.mask)


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
    # Without the interpreter's end, which the threads of a process group can turn into an abort
    # after all is done.
    os._exit(0)
