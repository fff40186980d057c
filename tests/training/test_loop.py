"""The training loop against a plain one, and what it promises about masks, stops and resuming."""

from __future__ import annotations

import dataclasses
import json
import struct
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from support.trainings import training_of
from torch import Tensor, nn

from prac import Mask, TentativeMask, global_magnitude
from prac.config.sections import AugmentConfig, Precision, Schedule, TrainConfig
from prac.config.values import RewindPoint
from prac.data.batches import Batch, DeviceImages
from prac.data.dataset import ImageDataset
from prac.errors import CheckpointError, ConfigError, PracError
from prac.events.file import EventFile
from prac.events.log import EventLog
from prac.events.recorder import EventRecorder
from prac.events.statistics import forgetting_statistics
from prac.models.registry import build_model
from prac.pruning.prunable import prunable_weights
from prac.selection.soft import SoftSet
from prac.storage import Folder
from prac.training import loop
from prac.training.checkpoint import FILE_NAME, Checkpoint, _checksum
from prac.training.loop import Trained, Training, train
from prac.training.observers import (
    EpochEnd,
    EventObserver,
    Observer,
    RewindCapture,
    StopAfter,
    TentativeObserver,
)
from prac.training.randomness import generator
from prac.training.schedule import full_budget

ToyData = Callable[..., ImageDataset]
CONFIG = TrainConfig(
    epochs=4,
    batch_size=16,
    learning_rate=0.05,
    momentum=0.9,
    weight_decay=5e-3,
    milestones=(2, 3),
    shares=1,
)


@pytest.fixture(scope="module")
def images(toy_data: ToyData) -> DeviceImages:
    return DeviceImages(toy_data(60), AugmentConfig(crop_padding=1, flip=True))


def _model(seed: int = 0) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1, bias=False),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 8, 3, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(128, 3),
        )


def _training(
    images: DeviceImages,
    config: TrainConfig = CONFIG,
    *,
    run: str = "run",
    precision: Precision = "fp32",
) -> Training:
    return training_of(images, config, run=run, precision=precision, seed=3)


def _half(model: nn.Module) -> Mask:
    return global_magnitude(prunable_weights(model), Mask.dense(model), 0.5)


def _equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def _without_seconds(trained: Trained) -> list[dict[str, object]]:
    return [{**dataclasses.asdict(r), "seconds": 0.0} for r in trained.epochs]


# --- the updates ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("masked", "shares", "name"),
    [
        *((masked, shares, "sgd") for masked in (False, True) for shares in (1, 2, 3)),
        *((masked, 2, "adamw") for masked in (False, True)),
        (True, 2, "torch.optim:RMSprop"),
    ],
)
def test_the_same_weights_as_a_plain_loop(
    images: DeviceImages, masked: bool, shares: int, name: str
) -> None:
    ours, plain = _model(), _model()
    mask = _half(ours) if masked else None
    config = dataclasses.replace(CONFIG, shares=shares, optimizer=name)
    trained = train(ours, _training(images, config), mask=mask)

    plain.to(memory_format=torch.channels_last)
    if mask is not None:
        mask.apply_(plain)
    optimizer: torch.optim.Optimizer = {
        "sgd": torch.optim.SGD(plain.parameters(), lr=1.0, momentum=0.9, weight_decay=5e-3),
        "adamw": torch.optim.AdamW(plain.parameters(), lr=1.0, weight_decay=5e-3),
        "torch.optim:RMSprop": torch.optim.RMSprop(
            plain.parameters(), lr=1.0, momentum=0.9, weight_decay=5e-3
        ),
    }[name]
    losses, right = [], 0
    for epoch, rate in enumerate((0.05, 0.05, 0.05 * 0.1, 0.05 * 0.1**2)):
        plain.train()
        optimizer.param_groups[0]["lr"] = rate
        losses, right = [], 0
        feeds = [
            images.epoch(
                images.training_ids,
                16,
                generator(3, "round", 0, epoch),
                rank=share,
                world_size=shares,
            )
            for share in range(shares)
        ]
        for step in zip(*feeds, strict=True):
            optimizer.zero_grad()
            for share, batch in enumerate(step):
                # Each share is normalised alone; the statistics that stay are the first one's.
                kept = [buffer.clone() for buffer in plain.buffers()]
                logits = plain(batch.images)
                loss = nn.functional.cross_entropy(logits, batch.labels, reduction="sum")
                (loss * (1 / 16)).backward()
                for buffer, before in zip(plain.buffers(), kept, strict=True):
                    if share > 0:
                        buffer.copy_(before)
                losses.append(loss.item())
                right += int((logits.argmax(1) == batch.labels).sum())
            for name, weight in prunable_weights(plain).items() if mask is not None else ():
                assert mask is not None
                weight.grad.mul_(mask[name])
            optimizer.step()
    assert _equal(ours.state_dict(), plain.state_dict())
    for pruned, alive in (mask or {}).items():
        assert not ours.state_dict()[pruned][~alive].any()
    last = trained.epochs[-1]
    assert last.loss == pytest.approx(sum(losses) / 48, rel=1e-12)
    assert last.train_accuracy == right / 48
    plain.eval()
    with torch.no_grad():
        held_out = plain(images.clean(images.validation_ids)).argmax(1)
    correct = int((held_out == images.labels(images.validation_ids)).sum())
    assert last.validation_accuracy == correct / 12
    assert [r.steps for r in trained.epochs] == [3] * 4
    assert trained.steps == 12
    assert [r.learning_rate for r in trained.epochs] == pytest.approx([0.05, 0.05, 0.005, 0.0005])


def test_shares_are_normalised_each_alone(images: DeviceImages) -> None:
    """One share, two shares: the same samples in the same order, other BatchNorm."""

    class Watch(Observer):
        def __init__(self) -> None:
            self.steps: list[list[int]] = [[]]

        def on_predictions(self, batch: Batch, logits: Tensor) -> None:
            self.steps[-1].append(len(batch.sample_ids))

        def on_step(self, steps_done: int, model: nn.Module) -> None:
            self.steps.append([])

    def trained(shares: int) -> tuple[Mapping[str, Tensor], list[list[int]]]:
        model, watch = _model(), Watch()
        config = dataclasses.replace(CONFIG, epochs=1, milestones=(), shares=shares)
        train(model, _training(images, config), observers=[watch])
        return model.state_dict(), watch.steps[:-1]

    (one, whole), (two, halves) = trained(1), trained(2)
    assert whole == [[16]] * 3
    assert halves == [[8, 8]] * 3
    assert not torch.equal(one["1.running_mean"], two["1.running_mean"])
    # Shares differ in nothing else: they are one step, and BatchNorm sees one of them.
    assert int(one["1.num_batches_tracked"]) == int(two["1.num_batches_tracked"]) == 3


def test_a_set_too_small_has_fewer_shares(images: DeviceImages) -> None:
    config = dataclasses.replace(CONFIG, shares=8)
    # Steps of 16, 15 or fewer samples: two samples a share at least, but for a single one.
    for count, shares in ((48, 8), (16, 8), (15, 7), (9, 4), (4, 2), (3, 1), (2, 1), (1, 1)):
        training = dataclasses.replace(
            _training(images, config), sample_ids=images.training_ids[:count]
        )
        assert training.shares == shares, count
    # 17 samples make steps of 8 and 9: the smaller one counts; drawn anew, it is their number.
    few = dataclasses.replace(_training(images, config), sample_ids=images.training_ids[:17])
    assert few.shares == 4
    assert dataclasses.replace(_training(images, config), fresh=5).shares == 2
    small = dataclasses.replace(_training(images, config), sample_ids=images.training_ids[:5])
    trained = train(_model(), dataclasses.replace(small, budget=full_budget(config, 5)))
    assert trained.steps == 4


def test_label_smoothing_and_nesterov_are_torchs(images: DeviceImages) -> None:
    config = dataclasses.replace(
        CONFIG, epochs=2, milestones=(), label_smoothing=0.2, nesterov=True, schedule="cosine"
    )
    ours, plain = _model(), _model()
    trained = train(ours, _training(images, config))
    plain.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(
        plain.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-3, nesterov=True
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=6)
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.2)
    losses: list[float] = []
    for epoch in range(2):
        plain.train()
        for batch in images.epoch(images.training_ids, 16, generator(3, "round", 0, epoch)):
            optimizer.zero_grad()
            loss = loss_of(plain(batch.images), batch.labels)
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
    for name, tensor in plain.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], tensor, rtol=1e-4, atol=1e-5)
    assert trained.epochs[1].loss == pytest.approx(sum(losses[3:]) / 3, rel=1e-4)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_pruned_weights_are_exactly_zero_at_every_step(
    images: DeviceImages, precision: Precision
) -> None:
    model = _model()
    mask = _half(model)
    nonzero: list[int] = []
    moved: list[bool] = []
    first = {name: weight.detach().clone() for name, weight in prunable_weights(model).items()}

    class Watch(Observer):
        def on_step(self, steps_done: int, model: nn.Module) -> None:
            weights = prunable_weights(model)
            nonzero.append(sum(int((weights[n][~mask[n]] != 0).sum()) for n in mask))
            moved.append(all(bool((weights[n] != first[n])[mask[n]].all()) for n in mask))

    train(model, _training(images, precision=precision), mask=mask, observers=[Watch()])
    assert nonzero == [0] * 12
    assert all(moved)


def test_bf16_computes_in_bf16_and_keeps_fp32_weights(images: DeviceImages) -> None:
    seen: list[torch.dtype] = []

    class Watch(Observer):
        def on_predictions(self, batch: Batch, logits: Tensor) -> None:
            seen.append(logits.dtype)

    model = _model()
    train(model, _training(images, precision="bf16"), observers=[Watch()])
    assert set(seen) == {torch.bfloat16}
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_a_frozen_convolution_is_left_as_it_is(images: DeviceImages) -> None:
    model = _model()
    mask = _half(model)
    next(model.parameters()).requires_grad_(False)
    before = next(model.parameters()).detach().clone()
    train(model, _training(images), mask=mask)
    assert torch.equal(next(model.parameters()), before * mask["0.weight"])
    assert int((model[4].weight[~mask["4.weight"]] != 0).sum()) == 0  # type: ignore[index,union-attr]


def test_a_loss_that_is_not_finite_is_an_error(images: DeviceImages) -> None:
    diverging = dataclasses.replace(CONFIG, learning_rate=1e25)
    with pytest.raises(
        PracError, match=r"not finite in epoch 1; lower train\.learning_rate"
    ) as info:
        train(_model(), _training(images, diverging))
    assert "\n" not in str(info.value)


def test_golden_losses(toy_data: ToyData) -> None:
    # Frozen from torch 2.14.1 on x86-64, one thread.
    images = DeviceImages(toy_data(60), AugmentConfig(crop_padding=1, flip=False))
    model = build_model("resnet8", num_classes=3, image_shape=(8, 8, 1), seed=0)
    trained = train(model, _training(images))
    golden = [1.224682, 0.881400, 0.412647, 0.431770]
    assert [record.loss for record in trained.epochs] == pytest.approx(golden, abs=1e-4)


# --- observers -----------------------------------------------------------------------------------


class _Diary(Observer):
    def __init__(self, name: str, diary: list[str], stop_after: int | None = None) -> None:
        self.name = name
        self._diary = diary
        self._stop_after = stop_after

    def on_start(self, model: nn.Module) -> None:
        self._diary.append(f"{self.name} start")

    def on_predictions(self, batch: Batch, logits: Tensor) -> None:
        self._diary.append(f"{self.name} predictions")

    def on_step(self, steps_done: int, model: nn.Module) -> None:
        self._diary.append(f"{self.name} step {steps_done}")

    def on_epoch(self, end: EpochEnd) -> bool:
        self._diary.append(f"{self.name} epoch {end.record.epoch}")
        return end.record.epoch + 1 == self._stop_after


def test_observers_are_called_in_order_and_all_are_asked(images: DeviceImages) -> None:
    diary: list[str] = []
    observers = [_Diary("a", diary, stop_after=2), _Diary("b", diary, stop_after=2)]
    trained = train(_model(), _training(images), observers=observers)
    expected = ["start"]
    for epoch in range(2):
        for step in range(1, 4):
            expected += ["predictions", f"step {3 * epoch + step}"]
        expected.append(f"epoch {epoch}")
    assert diary == [f"{name} {what}" for what in expected for name in "ab"]
    assert trained.stopped_early
    assert len(trained.epochs) == 2


def test_predictions_are_those_before_the_update(images: DeviceImages) -> None:
    first: list[Tensor] = []

    class Watch(Observer):
        def on_predictions(self, batch: Batch, logits: Tensor) -> None:
            if not first:
                fresh = _model().to(memory_format=torch.channels_last)
                first.extend((logits.detach(), fresh(batch.images).detach()))

    train(_model(), _training(images), observers=[Watch()])
    assert torch.equal(*first)


def test_the_best_epoch_is_the_first_of_the_highest(
    images: DeviceImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = iter([5, 9, 9, 7])
    monkeypatch.setattr(loop, "count_correct", lambda *_: torch.tensor(next(counts)))
    states: list[dict[str, Tensor]] = []

    class Watch(Observer):
        def on_epoch(self, end: EpochEnd) -> bool:
            states.append({n: t.clone() for n, t in end.model.state_dict().items()})
            return False

    trained = train(_model(), _training(images), observers=[Watch()])
    assert (trained.best_epoch, trained.best_accuracy) == (1, 9 / 12)
    assert _equal(trained.best_weights, states[1])
    assert not trained.stopped_early


def test_the_early_bird_waits_for_the_warm_up_and_the_rewind_point(images: DeviceImages) -> None:
    def epochs(warmup: int, earliest: int, patience: int = 1) -> int:
        config = dataclasses.replace(CONFIG, epochs=9, warmup_epochs=warmup)
        model = _model()
        tentative = TentativeMask(
            Mask.dense(model),
            tolerance=1.0,
            patience=patience,
            record_at_once=True,
            warmup_epochs=warmup,
            earliest_epochs=earliest,
        )
        observers = [TentativeObserver(tentative)]
        return len(train(model, _training(images, config), observers=observers).epochs)

    assert epochs(0, 0) == 2
    # Of epochs counted from 0, those above 3 are in the window: number 4 is the fifth.
    assert epochs(3, 0) == 5
    assert epochs(3, 0, patience=3) == 7
    assert epochs(0, 5) == 5


# --- resuming ------------------------------------------------------------------------------------


RESUMED = dataclasses.replace(CONFIG, epochs=6)


class _Killed(Exception):
    pass


class _Kill(Observer):
    """Raises at one step, or at the end of one epoch."""

    name = "kill"

    def __init__(self, at: str = "") -> None:
        self._at = at

    def on_step(self, steps_done: int, model: nn.Module) -> None:
        if self._at == f"step {steps_done}":
            raise _Killed

    def on_epoch(self, end: EpochEnd) -> bool:
        if self._at == f"epoch {end.record.epoch}":
            raise _Killed
        return False


@dataclasses.dataclass
class _Result:
    model: nn.Module
    trained: Trained
    tentative: TentativeMask
    rewind: RewindCapture
    statistics: list[dict[str, object]]


def _attempt(
    images: DeviceImages,
    folder: Path,
    *,
    kill: str = "",
    precision: Precision = "fp32",
    config: TrainConfig = RESUMED,
    tolerance: float | None = 0.3,
) -> _Result:
    model = _model()
    mask = _half(model)
    log = EventLog(Folder(folder / "events"), "run")
    attempt = log.next_attempt()

    def write(epoch: int, table: object) -> None:
        log.write(EventFile(0, epoch, attempt, 1, 0), table, epoch_rows=48)

    tentative = TentativeMask(mask, tolerance=tolerance, patience=3, record_at_once=True)
    rewind = RewindCapture(RewindPoint("step", 4))
    events = EventObserver(EventRecorder(0, write))
    trained = train(
        model,
        _training(images, config, precision=precision),
        mask=mask,
        observers=[TentativeObserver(tentative), rewind, events, _Kill(kill)],
        checkpoints=Folder(folder / "work"),
    )
    read = log.read(round_index=0, epochs=len(trained.epochs), sample_ids=images.training_ids)
    return _Result(model, trained, tentative, rewind, forgetting_statistics(read).to_pylist())


def _assert_same(one: _Result, other: _Result) -> None:
    assert _equal(one.model.state_dict(), other.model.state_dict())
    assert _equal(one.trained.best_weights, other.trained.best_weights)
    assert one.rewind.weights is not None
    assert other.rewind.weights is not None
    assert _equal(one.rewind.weights, other.rewind.weights)
    assert _without_seconds(one.trained) == _without_seconds(other.trained)
    assert one.trained.best_epoch == other.trained.best_epoch
    assert one.trained.best_accuracy == other.trained.best_accuracy
    assert one.trained.stopped_early == other.trained.stopped_early
    assert one.tentative.latest == other.tentative.latest
    assert one.tentative.distances == other.tentative.distances
    assert one.statistics == other.statistics


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_resumed_training_is_the_one_never_interrupted(
    images: DeviceImages, tmp_path: Path, precision: Precision
) -> None:
    whole = _attempt(images, tmp_path / "whole", precision=precision)
    assert whole.trained.stopped_early
    assert 3 < len(whole.trained.epochs) < 6
    for kills in (["step 1"], ["epoch 0"], ["step 5", "step 8", "epoch 2"], ["epoch 3"]):
        folder = tmp_path / "-".join(kills)
        for kill in kills:
            with pytest.raises(_Killed):
                _attempt(images, folder, kill=kill, precision=precision)
        _assert_same(_attempt(images, folder, precision=precision), whole)
        # Once more: the finished checkpoint, without a step.
        _assert_same(_attempt(images, folder, kill="step 1", precision=precision), whole)


def test_a_resumed_training_was_made_by_all_who_trained_a_part(
    images: DeviceImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made_by(version: str, kill: str = "") -> str:
        monkeypatch.setattr(loop, "computed_by", lambda device, precision: {"torch": version})
        if kill:
            with pytest.raises(_Killed):
                _attempt(images, tmp_path, kill=kill)
            return ""
        return _attempt(images, tmp_path).trained.made_by["torch"]

    made_by("1", "epoch 2")
    # Who had not finished an epoch made none of it; nor who took a finished checkpoint.
    made_by("2", "step 9")
    assert made_by("3") == "1 and 3"
    assert made_by("4") == "1 and 3"


@pytest.mark.parametrize("schedule", ["cosine", "onecycle"])
def test_a_modern_training_resumes_in_the_midst_of_its_schedule(
    images: DeviceImages, tmp_path: Path, schedule: Schedule
) -> None:
    config = dataclasses.replace(
        RESUMED, schedule=schedule, milestones=(), label_smoothing=0.1, nesterov=True
    )

    def attempt(name: str, kill: str = "") -> _Result:
        return _attempt(images, tmp_path / name, kill=kill, config=config, tolerance=None)

    whole = attempt("whole")
    assert len(whole.trained.epochs) == 6
    rates = [record.learning_rate for record in whole.trained.epochs]
    assert len(set(rates)) == 6
    for kill in ("step 5", "epoch 3", "step 14"):
        with pytest.raises(_Killed):
            attempt("killed", kill)
    _assert_same(attempt("killed"), whole)


class Counting(torch.optim.Optimizer):
    """Moves every weight, pruned or not, and counts in a number of its own and of its group."""

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float) -> None:
        super().__init__(parameters, {"lr": lr, "calls": 0})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            group["calls"] += 1
            for parameter in group["params"]:
                kept = self.state[parameter]
                kept["moved"] = kept.get("moved", 0.0) + 0.1
                parameter.add_(parameter.grad + kept["moved"] / group["calls"], alpha=-group["lr"])


@pytest.mark.parametrize("name", ["adamw", "torch.optim:NAdam", "counting"])
def test_every_optimiser_resumes_to_the_bit_and_leaves_pruned_weights_at_zero(
    images: DeviceImages, tmp_path: Path, name: str
) -> None:
    optimizer = Counting if name == "counting" else name
    config = dataclasses.replace(CONFIG, learning_rate=0.01, optimizer=optimizer)

    def attempt(where: str, kill: str = "") -> nn.Module:
        model = _model()
        train(
            model,
            _training(images, config),
            mask=_half(model),
            observers=[_Kill(kill)],
            checkpoints=Folder(tmp_path / where),
        )
        return model

    whole = attempt("whole")
    with pytest.raises(_Killed):
        attempt("killed", "step 8")
    assert _equal(attempt("killed").state_dict(), whole.state_dict())
    for pruned, alive in _half(_model()).items():
        weight = whole.state_dict()[pruned]
        assert not weight[~alive].any()
        assert weight[alive].all()


def test_an_optimiser_that_can_not_be_is_one_line(images: DeviceImages) -> None:
    for name, reason in {
        "torch.nn:Identity": "returned Identity",
        "torch.optim:Adamm": "did you mean 'Adam",
    }.items():
        config = dataclasses.replace(CONFIG, optimizer=name)
        with pytest.raises(ConfigError, match=reason):
            train(_model(), _training(images, config))
    with pytest.raises(ConfigError, match=r"allowed: sgd, adamw, package\.module:name"):
        dataclasses.replace(CONFIG, optimizer="adam")


def test_the_early_bird_waits_for_the_rise_of_a_cycle(images: DeviceImages) -> None:
    config = dataclasses.replace(CONFIG, epochs=8, milestones=(), schedule="onecycle")
    model, training = _model(), _training(images, config)
    tentative = TentativeMask(
        Mask.dense(model),
        tolerance=1.0,
        patience=1,
        record_at_once=True,
        warmup_epochs=training.budget.rising_epochs,
    )
    # 0.3 * 8 = 2.4 epochs rise, so three count as warm-up; number 4 is the first in the window.
    assert len(train(model, training, observers=[TentativeObserver(tentative)]).epochs) == 5


def test_a_model_with_tied_weights_is_checkpointed_and_resumed(
    images: DeviceImages, tmp_path: Path
) -> None:
    def tied() -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            first, second = nn.Linear(64, 64), nn.Linear(64, 64)
            second.weight = first.weight
            conv = nn.Conv2d(1, 1, 1)
            return nn.Sequential(conv, nn.Flatten(), first, nn.ReLU(), second, nn.Linear(64, 3))

    whole, resumed = tied(), tied()
    train(whole, _training(images), checkpoints=Folder(tmp_path / "whole"))
    with pytest.raises(_Killed):
        train(
            tied(),
            _training(images),
            observers=[_Kill("step 8")],
            checkpoints=Folder(tmp_path / "killed"),
        )
    train(resumed, _training(images), observers=[_Kill()], checkpoints=Folder(tmp_path / "killed"))
    assert _equal(whole.state_dict(), resumed.state_dict())


@pytest.fixture
def checkpointed(images: DeviceImages, tmp_path: Path) -> tuple[Path, Callable[[str], Trained]]:
    folder = Folder(tmp_path)

    def resume(run: str) -> Trained:
        return train(_model(), _training(images, run=run), checkpoints=folder)

    resume("run")
    return tmp_path / FILE_NAME, resume


def test_the_checkpoint_of_another_run_is_refused(
    checkpointed: tuple[Path, Callable[[str], Trained]],
) -> None:
    with pytest.raises(CheckpointError, match="is of run run, not of run other") as info:
        checkpointed[1]("other")
    assert "\n" not in str(info.value)


def test_a_damaged_checkpoint_is_refused(
    checkpointed: tuple[Path, Callable[[str], Trained]],
) -> None:
    file, resume = checkpointed
    good = file.read_bytes()
    length = struct.unpack("<Q", good[:8])[0]
    header = json.loads(good[8 : 8 + length])
    progress = header["__metadata__"]["prac.progress"]
    at = good.index(b"best_epoch")

    def flipped(position: int) -> bytes:
        return good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :]

    def headed(header: object) -> bytes:
        text = json.dumps(header).encode()
        return struct.pack("<Q", len(text)) + text + good[8 + length :]

    assert progress
    damaged = [b"", good[:5], good[:200], good[:-1], good + b"\0", b"\xff" * 64, b"x\n" * 99]
    damaged += [flipped(i) for i in (0, 7, 8, 20, at, 8 + length, 8 + length + 1001, len(good) - 1)]
    damaged += [headed([]), headed({k: v for k, v in header.items() if k != "__metadata__"})]
    damaged += [headed({**header, "__metadata__": None})]
    for data in damaged:
        file.write_bytes(data)
        with pytest.raises(CheckpointError, match=r"is damaged .*; remove it to start") as info:
            resume("run")
        assert "\n" not in str(info.value)
    file.write_bytes(good)
    assert len(resume("run").epochs) == 4


@pytest.mark.parametrize(
    ("told", "change"),
    [
        ("observers.a", lambda p, t: p["observers"].update(a=1)),
        ("epochs.0", lambda p, t: p["epochs"][0].pop("loss")),
        ("no finite number", lambda p, t: p.update(best_accuracy=float("nan"))),
        ("best_accuracy", lambda p, t: p.update(best_accuracy=1.5)),
        ("best_epoch", lambda p, t: p.update(best_epoch="0")),
        ("stopped_early", lambda p, t: p.update(stopped_early=None)),
        ("more", lambda p, t: p.update(more=1)),
        ("rewind", lambda p, t: p["observers"].update(rewind={"captured": 1})),
        ("captured", lambda p, t: p["observers"].update(rewind={})),
        ("tentative.distances", lambda p, t: p["observers"]["tentative"].update(distances=["a"])),
        ("tentative.early_bird", lambda p, t: p["observers"]["tentative"].pop("early_bird")),
        ("early_bird", lambda p, t: p["observers"]["tentative"].update(early_bird=None)),
        ("early_bird.epoch", lambda p, t: p["observers"]["tentative"]["early_bird"].pop("epoch")),
        ("tentative", lambda p, t: p["observers"].pop("tentative")),
        ("state_dict", lambda p, t: t.pop("model.0.weight")),
        ("size", lambda p, t: t.update({"momentum.0.weight": torch.ones(1, 2, 3)})),
    ],
)
def test_a_checkpoint_that_somebody_wrote_is_refused(
    images: DeviceImages, tmp_path: Path, told: str, change: Callable[[Any, Any], object]
) -> None:
    """With a right checksum: what it holds is of another form, or of another network."""
    folder = Folder(tmp_path)

    def resume() -> Trained:
        model = _model()
        tentative = TentativeMask(Mask.dense(model), 0.2, 0.1)
        rewind = RewindCapture(RewindPoint("epoch", 1))
        observers = [TentativeObserver(tentative), rewind]
        return train(model, _training(images), observers=observers, checkpoints=folder)

    resume()
    resume()
    whole = Checkpoint.load(folder, "run")
    assert whole is not None
    progress, tensors = dataclasses.asdict(whole.progress), dict(whole.tensors)
    change(progress, tensors)
    text = json.dumps(progress)
    metadata = {"prac.run": "run", "prac.progress": text}
    metadata["prac.crc32"] = str(_checksum(tensors, text))
    folder.write(FILE_NAME, safetensors.torch.save(tensors, metadata))
    with pytest.raises(CheckpointError, match="remove it to start this training again") as info:
        resume()
    assert told in str(info.value)
    assert "\n" not in str(info.value)


def test_resuming_unpickles_nothing(
    checkpointed: tuple[Path, Callable[[str], Trained]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("unpickled")

    monkeypatch.setattr("pickle.loads", refuse)
    monkeypatch.setattr("pickle.load", refuse)
    monkeypatch.setattr("torch.load", refuse)
    assert len(checkpointed[1]("run").epochs) == 4


def test_rewind_weights_are_those_of_their_moment(images: DeviceImages) -> None:
    points = {
        name: RewindCapture(RewindPoint.parse(name)) for name in ("init", "epoch:2", "step:4")
    }
    states: dict[str, dict[str, Tensor]] = {"init": _model().state_dict()}

    class Watch(Observer):
        def on_step(self, steps_done: int, model: nn.Module) -> None:
            states[f"step:{steps_done}"] = {n: t.clone() for n, t in model.state_dict().items()}

        def on_epoch(self, end: EpochEnd) -> bool:
            state = {n: t.clone() for n, t in end.model.state_dict().items()}
            states[f"epoch:{end.record.epoch + 1}"] = state
            return False

    train(_model(), _training(images), observers=[Watch(), *points.values()])
    for name, capture in points.items():
        assert capture.weights is not None
        assert _equal(capture.weights, states[name])
    assert int(states["epoch:2"]["1.num_batches_tracked"]) == 6
    assert not np.array_equal(states["init"]["0.weight"], states["step:4"]["0.weight"])


# --- fresh subsets in every epoch ----------------------------------------------------------------


class _Presented(Observer):
    """The samples of every epoch, in the order of their batches."""

    name = "presented"

    def __init__(self) -> None:
        self.epochs: list[list[int]] = [[]]

    def on_predictions(self, batch: Batch, logits: Tensor) -> None:
        self.epochs[-1] += batch.sample_ids.tolist()

    def on_epoch(self, end: EpochEnd) -> bool:
        self.epochs.append([])
        return False


def _fresh(images: DeviceImages, size: int, stream: tuple[str | int, ...]) -> Training:
    plain = _training(images)
    budget = full_budget(plain.config, size)
    return dataclasses.replace(plain, fresh=size, budget=budget, stream=stream)


def test_every_epoch_draws_anew_without_doubles(images: DeviceImages) -> None:
    watch = _Presented()
    trained = train(_model(), _fresh(images, 20, ("round", 1)), observers=[watch])
    epochs = watch.epochs[:-1]
    assert [len(epoch) for epoch in epochs] == [20] * 4
    assert all(len(set(epoch)) == 20 for epoch in epochs)
    assert all(set(epoch) <= set(images.training_ids.tolist()) for epoch in epochs)
    assert len({frozenset(epoch) for epoch in epochs}) == 4
    assert trained.steps == 4 * 2
    again, other = _Presented(), _Presented()
    train(_model(), _fresh(images, 20, ("round", 1)), observers=[again])
    train(_model(), _fresh(images, 20, ("round", 2)), observers=[other])
    assert again.epochs == watch.epochs
    assert set(other.epochs[0]) != set(watch.epochs[0])


def test_fresh_draws_are_even(images: DeviceImages) -> None:
    training = _fresh(images, 12, ("round", 1))
    drawn = np.concatenate([training.epoch_rows(epoch)[0] for epoch in range(400)])
    counts = np.bincount(drawn, minlength=60)[images.training_ids]
    # Each of 48 samples is expected 100 times with a deviation of 8.7.
    assert counts.sum() == 4800
    assert abs(counts - 100).max() < 5 * 8.7


@pytest.mark.parametrize("shares", [1, 2])
def test_samples_of_a_soft_set_weigh_in_the_loss(images: DeviceImages, shares: int) -> None:
    """One step on all samples of an epoch against autograd by hand."""
    ids = images.training_ids
    soft = SoftSet(critical=ids[::4], sample_ids=ids, share=0.5)
    config = dataclasses.replace(CONFIG, epochs=1, batch_size=64, shares=shares, weight_decay=0.0)
    training = dataclasses.replace(
        _training(images, config), soft=soft, budget=full_budget(config, soft.size)
    )
    ours, plain, watch = _linear(), _linear(), _Presented()
    trained = train(ours, training, observers=[watch])
    rows, weights = training.epoch_rows(0)
    assert weights is not None
    assert [set(epoch) for epoch in watch.epochs] == [set(rows.tolist()), set()]
    weight_of = dict(zip(rows.tolist(), weights.tolist(), strict=True))

    plain.to(memory_format=torch.channels_last)
    loss = torch.zeros(())
    for rank in range(shares):
        (batch,) = images.epoch(rows, 64, generator(3, "round", 0, 0), rank=rank, world_size=shares)
        logits = plain(batch.images)
        for place, sample in enumerate(batch.sample_ids.tolist()):
            one = nn.functional.cross_entropy(logits[place], batch.labels[place])
            loss = loss + weight_of[sample] * one
    (loss / soft.size).backward()
    torch.optim.SGD(plain.parameters(), lr=0.05, momentum=0.9).step()
    assert trained.epochs[0].loss == pytest.approx(loss.item() / soft.size, rel=1e-5)
    assert trained.steps == 1
    for one, other in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def _linear() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 3))


def test_an_end_after_some_epochs_whatever_the_budget(images: DeviceImages) -> None:
    model = _model()
    trained = train(model, _training(images), observers=[StopAfter(2)])
    assert len(trained.epochs) == 2
    assert trained.stopped_early
    assert len(train(_model(), _training(images), observers=[StopAfter(9)]).epochs) == 4


def test_who_is_asked_to_stop_after_the_last_epoch_is_not_stopped_early(
    images: DeviceImages,
) -> None:
    trained = train(_model(), _training(images), observers=[StopAfter(CONFIG.epochs)])
    assert len(trained.epochs) == CONFIG.epochs
    assert not trained.stopped_early
