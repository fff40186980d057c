"""What first runs on a GPU: training, masks, events, resumption, precision, one device for two.

Skipped without a CUDA device. Of what prac needs it takes torch, numpy, pyarrow, pydantic and
safetensors alone, so that a GPU machine can run it from the tree, in under two minutes:

PYTHONPATH=. python -m pytest -q -c /dev/null --noconftest tests/training/test_cuda.py
"""

from __future__ import annotations

import copy
import os
import socket
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

# Read by cuBLAS at its first use: algorithms that find the same bits again.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor, nn

import prac
from prac import Mask, global_magnitude
from prac.config.sections import AugmentConfig, TrainConfig
from prac.data.batches import Batch, DeviceImages
from prac.data.dataset import ImageDataset
from prac.events.recorder import EventRecorder
from prac.models.layout import placed
from prac.models.registry import build_model
from prac.pruning.prunable import prunable_weights
from prac.pruning.saliency import snip_saliency
from prac.storage import Folder
from prac.training.checkpoint import Checkpoint
from prac.training.evaluation import predict
from prac.training.loop import Trained, Training, train
from prac.training.observers import EpochEnd, EventObserver, Observer
from prac.training.passes import CudaRecorder, EagerPasses, RecordedPasses
from prac.training.precision import float32, pick_device, resolve_precision, use_deterministic
from prac.training.randomness import generators_kept, seed_generators
from prac.training.schedule import full_budget
from prac.training.workers import Workers

CUDA = "cuda"
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is here")

Run = tuple[Trained, dict[str, Tensor], pa.Table]


AUGMENT = AugmentConfig(crop_padding=1, flip=False)


def make_data(rows: int = 480, seed: int = 0) -> ImageDataset:
    """Ten noisy patterns of 16x16 pixels, which a small network learns in an epoch or two."""
    random = np.random.default_rng(seed)
    patterns = random.integers(0, 256, (10, 4, 4, 3)).repeat(4, axis=1).repeat(4, axis=2)

    def draw(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = random.integers(0, 10, count)
        noisy = patterns[labels] + random.normal(0, 60, (count, 16, 16, 3))
        return np.clip(noisy, 0, 255).astype(np.uint8), labels.astype(np.int64)

    train_images, train_labels = draw(rows)
    test_images, test_labels = draw(100)
    ids = np.arange(rows, dtype=np.int32)
    return ImageDataset(
        name="patterns",
        fingerprint=f"patterns-{rows}-{seed}",
        class_names=tuple("abcdefghij"),
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        training_ids=ids[ids % 5 != 4],
        validation_ids=ids[ids % 5 == 4],
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
    )


@pytest.fixture(scope="module")
def data() -> ImageDataset:
    return make_data()


def train_on(
    data: ImageDataset,
    device: str,
    *,
    architecture: str = "resnet8",
    epochs: int = 2,
    sparse: float = 0.0,
    precision: Any = "fp32",
    observers: Sequence[Observer] = (),
    checkpoints: Folder | None = None,
    workers: Workers | None = None,
    **config: Any,
) -> Run:
    """A training, its last weights and the statistics of its events, on the CPU."""
    images = DeviceImages(data, AUGMENT, device)
    shape = data.image_shape
    model = build_model(architecture, num_classes=10, image_shape=shape, seed=0)
    mask = Mask.dense(model)
    if sparse:
        mask = global_magnitude(prunable_weights(model), mask, sparse)
    settings = {"learning_rate": 0.02, "shares": 1, "precision": precision, **config}
    train_config = TrainConfig(epochs=epochs, milestones=(), batch_size=64, **settings)
    training = Training(
        run="run",
        images=images,
        sample_ids=images.training_ids,
        config=train_config,
        budget=full_budget(train_config, len(images.training_ids)),
        seed=0,
        stream=("round", 0),
    )
    # What an attempt has counted is gone with it: events of resumed runs go to files, in a search.
    recorder = EventRecorder()
    watching = [EventObserver(recorder), *observers]
    trained = train(
        model,
        training,
        mask=mask if sparse else None,
        observers=watching,
        checkpoints=checkpoints,
        workers=workers,
    )
    if sparse:
        for name, alive in mask.items():
            assert not model.state_dict()[name].cpu()[~alive].any(), name
    assert {t.device.type for t in model.state_dict().values()} == {torch.device(device).type}
    state = {name: tensor.cpu() for name, tensor in model.state_dict().items()}
    return trained, state, recorder.statistics()


@pytest.fixture
def deterministic() -> Any:
    use_deterministic(True)
    yield
    use_deterministic(False)


def test_events_and_weights_are_the_cpu_s_within_rounding(data: ImageDataset) -> None:
    """Of one epoch with small steps: longer trainings drift apart, as on two kinds of CPU."""
    runs = [
        train_on(data, device, epochs=1, learning_rate=1e-3, momentum=0.0)
        for device in ("cpu", CUDA)
    ]
    (here, weights, counted), (there, other, on_device) = runs
    assert counted["sample_id"].equals(on_device["sample_id"])
    for name in ("mean_margin", "mean_el2n"):
        a, b = (table[name].to_numpy() for table in (counted, on_device))
        np.testing.assert_allclose(a, b, atol=0.02, rtol=0.01)
    for name, weight in weights.items():
        torch.testing.assert_close(other[name], weight, atol=1e-3, rtol=1e-2)
    assert there.epochs[0].loss == pytest.approx(here.epochs[0].loss, rel=1e-3)
    # A tie that rounding breaks may tell one sample otherwise.
    assert abs(there.epochs[0].train_accuracy - here.epochs[0].train_accuracy) < 0.02


@pytest.mark.parametrize("architecture", ["resnet8", "vgg8s", "conv4"])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("precision", ["fp32", "bf16", "tf32"])
def test_pruned_weights_are_exactly_zero(data, architecture, optimizer, precision) -> None:
    rate = 0.02 if optimizer == "sgd" else 1e-3
    settings = {"optimizer": optimizer, "learning_rate": rate, "nesterov": optimizer == "sgd"}
    trained, state, _ = train_on(
        data, CUDA, architecture=architecture, sparse=0.8, precision=precision, **settings
    )
    assert all(tensor.isfinite().all() for tensor in state.values())
    assert len(trained.epochs) == 2


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_it_learns(data: ImageDataset, precision: str) -> None:
    trained, _, statistics = train_on(data, CUDA, epochs=8, precision=precision)
    assert trained.best_accuracy > 0.8
    assert statistics["presentations"].to_pylist() == [8] * len(data.training_ids)


def test_the_same_bits_again_and_after_a_resumption(data, deterministic, tmp_path: Path) -> None:
    whole = train_on(data, CUDA, epochs=3, sparse=0.5)
    again = train_on(data, CUDA, epochs=3, sparse=0.5)
    work = Folder(tmp_path)

    class Killed(Exception):
        pass

    class Killer(Observer):
        name = "killer"

        def on_predictions(self, batch: Batch, logits: Tensor) -> None:
            self.steps = getattr(self, "steps", 0) + 1
            if self.steps == 10:  # in the third epoch
                raise Killed

    with pytest.raises(Killed):
        train_on(data, CUDA, epochs=3, sparse=0.5, checkpoints=work, observers=[Killer()])

    class Quiet(Observer):
        name = "killer"

    resumed = train_on(data, CUDA, epochs=3, sparse=0.5, checkpoints=work, observers=[Quiet()])
    for other in (again, resumed):
        assert other[0].best_epoch == whole[0].best_epoch
        assert [r.loss for r in other[0].epochs] == [r.loss for r in whole[0].epochs]
        for name, tensor in whole[1].items():
            assert torch.equal(other[1][name], tensor), name
        for name, tensor in whole[0].best_weights.items():
            assert torch.equal(other[0].best_weights[name], tensor), name
    assert again[2].equals(whole[2])


class Interrupted(Observer):
    """Ends the process, as it were, at the end of an epoch, before its checkpoint; 0: never."""

    name = "interrupted"

    def __init__(self, epoch: int = 0) -> None:
        self._epoch = epoch

    def on_epoch(self, end: EpochEnd) -> bool:
        if end.record.epoch + 1 == self._epoch:
            raise KeyboardInterrupt
        return False


@pytest.mark.parametrize(("first", "then"), [(CUDA, "cpu"), ("cpu", CUDA)])
def test_a_checkpoint_goes_on_on_another_device(data, first, then, tmp_path: Path) -> None:
    work = Folder(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        train_on(data, first, epochs=2, checkpoints=work, observers=[Interrupted(2)])
    kept = Checkpoint.load(work, "run")
    assert kept is not None
    assert {tensor.device.type for tensor in kept.tensors.values()} == {"cpu"}
    trained, *_ = train_on(data, then, epochs=2, checkpoints=work, observers=[Interrupted()])
    assert [record.epoch for record in trained.epochs] == [0, 1]
    assert trained.epochs[1].loss < trained.epochs[0].loss
    assert {t.device.type for t in trained.best_weights.values()} == {torch.device(then).type}


class Strict(Observer):
    """Torch raises where a step waits for the device; the first and the last of an epoch are left
    out, beside which rows are moved and results are read."""

    name = "strict"

    def __init__(self, steps: int) -> None:
        self._steps = steps

    def on_step(self, steps_done: int, model: nn.Module) -> None:
        within = steps_done % self._steps in range(1, self._steps - 1)
        torch.cuda.set_sync_debug_mode("error" if within else "default")


@pytest.mark.parametrize("settings", [{}, {"sparse": 0.5}, {"shares": 2}, {"optimizer": "adamw"}])
def test_no_step_waits_for_the_device(data: ImageDataset, settings: dict[str, Any]) -> None:
    try:
        train_on(data, CUDA, observers=[Strict(len(data.training_ids) // 64)], **settings)
    finally:
        torch.cuda.set_sync_debug_mode("default")


class Noisy(nn.Module):
    """A network that draws random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.5))
        self.head = nn.Linear(8, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.body(images).mean((2, 3)))


def test_recorded_passes_are_the_eager_ones(data: ImageDataset, deterministic: None) -> None:
    """Gradients, logits, losses, buffers; dropout draws by the step's seed in both."""
    device = torch.device(CUDA)
    images = DeviceImages(data, AugmentConfig(), device)
    torch.manual_seed(0)
    model = Noisy()
    eager_model, recorded_model = (placed(copy.deepcopy(model), device).train() for _ in range(2))
    settings = {"precision": "fp32", "label_smoothing": 0.1}
    eager = EagerPasses(model=eager_model, **settings)
    recorded = RecordedPasses(EagerPasses(model=recorded_model, **settings), CudaRecorder(device))
    for step in range(4):
        ids = images.training_ids[64 * step :][:64]
        found = []
        for network, passes in ((eager_model, eager), (recorded_model, recorded)):
            for parameter in network.parameters():
                parameter.grad = None
            seed_generators(device, step)
            logits, loss = passes(images.clean(ids), images.labels(ids), 1 / 64)
            gradients = [p.grad.clone() for p in network.parameters() if p.grad is not None]
            found.append([logits.clone(), loss.clone(), *gradients, *network.buffers()])
        for one, other in zip(*found, strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
    assert recorded._possible


def test_masks_and_scores_are_those_of_the_cpu(data: ImageDataset) -> None:
    model = build_model("vgg8s", num_classes=10, image_shape=data.image_shape, seed=0)
    with torch.no_grad():  # many are equal: ties are told by their places
        for weight in prunable_weights(model).values():
            weight.copy_((weight * 50).round() / 50)
    here = global_magnitude(prunable_weights(model), Mask.dense(model), 0.37)
    on_device = copy.deepcopy(model).to(CUDA)
    there = global_magnitude(prunable_weights(on_device), Mask.dense(on_device), 0.37)
    assert all(torch.equal(there[name].cpu(), here[name]) for name in here)
    images = [DeviceImages(data, AugmentConfig(), device) for device in ("cpu", CUDA)]
    ids = data.training_ids[:64]
    scores = []
    for network, on in zip((model, on_device), images, strict=True):
        with float32(on.device, "fp32"):
            batches = [(on.clean(ids), on.labels(ids))]
            scores.append(snip_saliency(network, Mask.dense(network), batches))
    for name, score in scores[0].items():
        torch.testing.assert_close(scores[1][name].cpu(), score, atol=1e-4, rtol=1e-2)
    predictions = [
        predict(placed(network, on.device), on, ids, "fp32")
        for network, on in zip((model, on_device), images, strict=True)
    ]
    assert (predictions[0] == predictions[1]).mean() > 0.95


def test_images_and_weights_are_channels_last_on_one_device(data: ImageDataset) -> None:
    images = DeviceImages(data, AugmentConfig(), "cuda:0")
    batch = next(images.epoch(images.training_ids, 64, torch.Generator().manual_seed(0)))
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    assert {batch.images.device, batch.labels.device} == {torch.device("cuda:0")}
    on_cpu = DeviceImages(data, AugmentConfig())
    same = next(on_cpu.epoch(images.training_ids, 64, torch.Generator().manual_seed(0)))
    assert np.array_equal(same.sample_ids, batch.sample_ids)
    torch.testing.assert_close(batch.images.cpu(), same.images)
    model = placed(build_model("resnet8", num_classes=10, image_shape=(16, 16, 3), seed=0), CUDA)
    convolution = next(m for m in model.modules() if isinstance(m, nn.Conv2d))
    assert convolution.weight.is_contiguous(memory_format=torch.channels_last)


def test_generators_are_left_as_they_were(data: ImageDataset) -> None:
    for device in (torch.device("cuda"), torch.device("cuda:0")):
        before = torch.cuda.get_rng_state(device), torch.get_rng_state()
        with generators_kept(device):
            seed_generators(device, 7)
            first = torch.rand(3, device=device)
            seed_generators(device, 7)
            assert torch.equal(torch.rand(3, device=device), first)
        assert torch.equal(torch.cuda.get_rng_state(device), before[0])
        assert torch.equal(torch.get_rng_state(), before[1])


@pytest.mark.parametrize(("precision", "error"), [("fp32", 3e-6), ("tf32", 3e-3)])
def test_fp32_is_fp32(precision: Any, error: float) -> None:
    torch.manual_seed(0)
    one, other = torch.randn(512, 512), torch.randn(512, 512)
    image, kernel = torch.randn(8, 64, 16, 16), torch.randn(64, 64, 3, 3)
    device = torch.device(CUDA)
    with float32(device, precision):
        product = (one.to(device) @ other.to(device)).cpu()
        convolved = nn.functional.conv2d(image.to(device), kernel.to(device)).cpu()
    exact = one.double() @ other.double()
    exactly = nn.functional.conv2d(image.double(), kernel.double())
    for found, wanted in ((product, exact), (convolved, exactly)):
        off = ((found.double() - wanted).norm() / wanted.norm()).item()
        assert off < error


def test_what_the_device_is_picked_for() -> None:
    assert pick_device("auto").type == CUDA
    assert pick_device("cuda:0") == torch.device("cuda:0")
    capability = torch.cuda.get_device_capability(0)
    wanted = "bf16" if capability >= (8, 0) else "fp32"
    assert resolve_precision("auto", torch.device(CUDA)) == wanted


def _worker(rank: int, port: int, folder: str) -> None:
    """One of two that share the device, over gloo: NCCL refuses two on one device."""
    import torch.distributed as dist

    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    seconds = timedelta(seconds=60)
    store = dist.TCPStore("127.0.0.1", port, 2, is_master=rank == 0, timeout=seconds)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2, timeout=seconds)
    use_deterministic(True)
    workers = Workers.of_process_group(2)
    _, state, _ = train_on(make_data(), CUDA, epochs=1, shares=2, workers=workers)
    if rank == 0:
        torch.save(state, Path(folder, "state.pt"))
    dist.destroy_process_group()


def test_two_workers_share_one_device(data, deterministic, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(_worker, (port, str(tmp_path)), nprocs=2)
    together = torch.load(tmp_path / "state.pt", weights_only=True)
    _, alone, _ = train_on(data, CUDA, epochs=1, shares=2)
    for name, tensor in alone.items():
        torch.testing.assert_close(together[name], tensor, atol=1e-5, rtol=1e-4)


def test_a_whole_search() -> None:
    """Sets, masks, rounds, a ticket that is judged: in this process, on the device."""
    data = make_data(rows=400)
    recipe = prac.get_recipe("digits").replace(compare=("random-subset",)).with_epochs(3)
    recipe = recipe.replace(augment=AUGMENT).set(
        search={"rounds": 2, "rewind": prac.RewindPoint.parse("init")},
        budget={"min_round_epochs": 1},
    )
    result = prac.search(recipe, data=data, network="resnet8", how=prac.Local(device=CUDA))
    assert len(result.rounds) == 3
    assert result.rounds[-1].mask.sparsity > 0.3
    assert result.rounds[-1].test_accuracies
    assert {p.device.type for p in result.ticket.build().parameters()} == {"cpu"}
