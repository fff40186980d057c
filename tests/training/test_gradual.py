"""Training under a mask that changes on the way: against a plain loop, killed, at its best."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from support.trainings import training_of
from torch import Tensor, nn

from prac import GradualMask, Mask
from prac.config.sections import AugmentConfig, TrainConfig
from prac.data.batches import DeviceImages
from prac.data.dataset import ImageDataset
from prac.pruning.prunable import prunable_weights
from prac.storage import Folder
from prac.training.loop import Trained, Training, train
from prac.training.observers import EpochEnd, Observer
from prac.training.randomness import generator

CONFIG = TrainConfig(
    epochs=6, batch_size=16, learning_rate=0.05, momentum=0.9, weight_decay=5e-3, milestones=(),
    shares=1,
)  # fmt: skip


@pytest.fixture(scope="module")
def images(toy_data: Callable[..., ImageDataset]) -> DeviceImages:
    return DeviceImages(toy_data(60), AugmentConfig(crop_padding=1, flip=True))


def _model() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1, bias=False),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.Conv2d(6, 8, 3, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(512, 3),
        )


def _training(images: DeviceImages, optimizer: str = "sgd") -> Training:
    config = dataclasses.replace(CONFIG, optimizer=optimizer)
    return training_of(images, config, run="run", precision="fp32", seed=3)


def _equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_the_same_weights_as_a_plain_loop_that_prunes(images: DeviceImages, name: str) -> None:
    ours, plain = _model(), _model()
    gradual = GradualMask(Mask.dense(ours), 0.8, steps=9)
    train(ours, _training(images, name), gradual=gradual)

    plain.to(memory_format=torch.channels_last)
    optimizer: torch.optim.Optimizer = (
        torch.optim.SGD(plain.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-3)
        if name == "sgd"
        else torch.optim.AdamW(plain.parameters(), lr=0.05, weight_decay=5e-3)
    )
    weights = prunable_weights(plain)
    alive = {name: torch.ones(w.shape, dtype=torch.bool) for name, w in weights.items()}
    size, step = sum(w.numel() for w in weights.values()), 0
    for epoch in range(6):
        plain.train()
        for batch in images.epoch(images.training_ids, 16, generator(3, "round", 0, epoch)):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(plain(batch.images), batch.labels, reduction="sum")
            (loss * (1 / 16)).backward()
            for name, weight in weights.items():
                assert weight.grad is not None
                weight.grad.mul_(alive[name])
            optimizer.step()
            step += 1
            with torch.no_grad():
                for name, weight in weights.items():
                    weight[~alive[name]] = 0
                if step <= 9:
                    gone = round(0.8 * (1 - (1 - step / 9) ** 3) * size)
                    order = sorted(
                        (alive[name].flatten()[i].item(), abs(value), place, i)
                        for place, (name, weight) in enumerate(weights.items())
                        for i, value in enumerate(weight.flatten().tolist())
                    )
                    names = list(weights)
                    for _, _, place, i in order[:gone]:
                        alive[names[place]].view(-1)[i] = False
                for name, weight in weights.items():
                    weight[~alive[name]] = 0
    assert step == 18
    assert all(torch.equal(alive[name], gradual.mask[name]) for name in alive)
    assert gradual.mask.num_alive == size - round(0.8 * size)
    assert _equal(ours.state_dict(), plain.state_dict())


class _Killed(Exception):
    pass


class _Kill(Observer):
    name = "kill"

    def __init__(self, at: int) -> None:
        self._at = at

    def on_step(self, steps_done: int, model: nn.Module) -> None:
        if steps_done == self._at:
            raise _Killed


@pytest.mark.parametrize("killed", [5, 11, 16])
def test_resumed_it_is_the_training_that_was_not_interrupted(
    images: DeviceImages, tmp_path: Path, killed: int
) -> None:
    def run(folder: str, at: int) -> tuple[nn.Module, GradualMask, Trained]:
        model = _model()
        gradual = GradualMask(Mask.dense(model), 0.7, steps=12)
        trained = train(
            model, _training(images), gradual=gradual, observers=[_Kill(at)],
            checkpoints=Folder(tmp_path / folder),
        )  # fmt: skip
        return model, gradual, trained

    whole = run("whole", 0)
    with pytest.raises(_Killed):
        run("killed", killed)
    resumed = run("killed", 0)
    assert _equal(whole[0].state_dict(), resumed[0].state_dict())
    assert whole[1].mask == resumed[1].mask
    assert whole[2].best_epoch == resumed[2].best_epoch
    assert _equal(whole[2].best_weights, resumed[2].best_weights)
    # All is there: nothing is trained, and the mask is the last.
    again = run("killed", 1)
    assert again[1].mask == whole[1].mask
    assert _equal(again[2].best_weights, whole[2].best_weights)


def test_the_best_epoch_is_under_the_last_mask(images: DeviceImages) -> None:
    class Watch(Observer):
        def __init__(self) -> None:
            self.sparse: list[int] = []

        def on_epoch(self, end: EpochEnd) -> bool:
            weights = prunable_weights(end.model).values()
            self.sparse.append(sum(int((w == 0).sum()) for w in weights))
            return False

    model, watch = _model(), Watch()
    # Three steps an epoch: 13 are in the fifth of six.
    gradual = GradualMask(Mask.dense(model), 0.9, steps=13)
    trained = train(model, _training(images), gradual=gradual, observers=[watch])
    assert watch.sparse == sorted(watch.sparse)
    assert watch.sparse[1] < watch.sparse[2] < watch.sparse[4] == watch.sparse[5]
    late = trained.epochs[4:]
    assert trained.best_epoch == max(late, key=lambda r: (r.validation_accuracy, -r.epoch)).epoch
    assert trained.best_accuracy == max(r.validation_accuracy for r in late)
    for name, alive in gradual.mask.items():
        assert not trained.best_weights[name][~alive].any()
    # Pruned to its end, it has its last epoch alone.
    gradual = GradualMask(Mask.dense(_model()), 0.9, steps=18)
    assert train(_model(), _training(images), gradual=gradual).best_epoch == 5
