"""Shared by many tests: one thread, and tiny data sets that a small network can learn."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from support.launch import empty_database

from prac.config.sections import AugmentConfig, DataConfig, TrainConfig
from prac.data import open_source
from prac.data.dataset import ImageDataset

ToyData = Callable[..., ImageDataset]


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def toy_data() -> ToyData:
    """Makes an ImageDataset: a noisy pattern a class, three classes, every fifth row held out."""

    def make(
        count: int = 60, *, shape: tuple[int, int, int] = (8, 8, 1), noise: int = 60, seed: int = 0
    ) -> ImageDataset:
        random = np.random.default_rng(seed)
        patterns = random.integers(0, 256, (3, *shape))

        def draw(rows: int) -> tuple[np.ndarray, np.ndarray]:
            labels = random.integers(0, 3, rows)
            images = patterns[labels] + random.normal(0, noise, (rows, *shape))
            return np.clip(images, 0, 255).astype(np.uint8), labels.astype(np.int64)

        train_images, train_labels = draw(count)
        test_images, test_labels = draw(max(10, count // 3))
        for array in (train_images, train_labels, test_images, test_labels):
            array.flags.writeable = False
        rows = np.arange(count, dtype=np.int32)
        training = rows[rows % 5 != 4]
        pixels = train_images[training] / 255
        return ImageDataset(
            name="toy",
            fingerprint=f"toy-{count}-{shape}-{noise}-{seed}",
            class_names=("a", "b", "c"),
            train_images=train_images,
            train_labels=train_labels,
            test_images=test_images,
            test_labels=test_labels,
            training_ids=training,
            validation_ids=rows[rows % 5 == 4],
            mean=tuple(pixels.mean((0, 1, 2)).tolist()),
            std=tuple(pixels.std((0, 1, 2)).tolist()),
        )

    return make


@pytest.fixture(scope="session")
def digits_data() -> ImageDataset:
    return open_source(DataConfig(source="digits")).load()


@pytest.fixture(scope="session")
def commit_ticket(digits_data: ImageDataset) -> Callable[..., str]:
    """Puts a ticket of the digits into a store as a pipeline's stage does; returns where it is.

    Random weights, or `epochs` of training with trained=True; accuracies are then the real ones.
    """
    from prac.distributed.made import Made
    from prac.distributed.ticket_stage import TicketFacts

    from prac.distributed import ticket_stage
    from prac.fingerprint import fingerprint
    from prac.models import build_model
    from prac.pruning import Mask, global_magnitude
    from prac.pruning.mask import prunable_weights
    from prac.report.layers import save_layers
    from prac.ticket.cost import ticket_cost
    from prac.ticket.format import Ticket
    from prac.ticket.retrain import train_ticket
    from prac.tracking.datasets import DataInput
    from prac.tracking.models import write_model
    from prac.tracking.store import TICKETS, Store
    from prac.tracking.tickets import register

    def commit(
        store: Store,
        folder: Path,
        *,
        architecture: str = "resnet8",
        round_index: int = 3,
        method: str = "prac",
        test_accuracy: float | None = None,
        dense_test_accuracy: float | None = 0.98,
        trained: bool = False,
        epochs: int = 6,
        seed: int = 0,
        figure: bool = False,
    ) -> str:
        shape = digits_data.image_shape
        model = build_model(architecture, num_classes=10, image_shape=shape, seed=seed)
        mask = Mask.dense(model)
        for _ in range(round_index):
            mask = global_magnitude(prunable_weights(model), mask, 0.2)
        facts_known = {
            "num_classes": 10,
            "class_names": list(digits_data.class_names),
            "image_shape": list(shape),
            "mean": list(digits_data.mean),
            "std": list(digits_data.std),
            "data_fingerprint": digits_data.fingerprint,
            "architecture": architecture,
        }
        ticket = Ticket.of(mask, model.state_dict(), facts_known)
        after = None
        if trained:
            config = TrainConfig(epochs=epochs, batch_size=64, milestones=(), precision="fp32")
            augment = AugmentConfig(crop_padding=1, flip=False)
            made = train_ticket(ticket, digits_data, config, augment, seed=seed)
            test_accuracy, after = made.test_accuracy, made.ticket.trained
        steps = 168 * round_index if method == "vanilla" else 40 * round_index + 168
        facts = TicketFacts(
            architecture=architecture,
            data="digits",
            method=method,
            round=round_index,
            sparsity=mask.sparsity,
            weights_alive=mask.num_alive,
            weights=mask.size,
            set_size=1294 if method == "vanilla" else 420 - 20 * round_index,
            num_training=1294,
            search_steps=steps,
            steps_saved=1 - steps / (504 * round_index),
            test_accuracy=test_accuracy,
            validation_accuracy=test_accuracy,
            dense_test_accuracy=dense_test_accuracy if test_accuracy is not None else None,
            rewind="epoch:1",
            recipe="digits",
            seed=seed,
            image_shape=shape,
            **vars(ticket_cost(model, mask, shape)),
        )
        lineage = {**vars(facts), **facts_known, "precision": "fp32"}
        ticket = Ticket.of(mask, model.state_dict(), lineage, after)
        ticket.save(folder / "ticket")
        if after is not None:
            write_model(ticket, folder / "ticket")
        if figure:
            save_layers(mask, facts.title, folder / "figures" / "layers.png")
        key = fingerprint((architecture, round_index, method, seed))
        data = [DataInput.of(digits_data), DataInput.of_set(digits_data, key, facts.set_size)]
        made = Made(facts=facts, values={**vars(facts)}, data=data)
        finished = store.commit(
            experiment=TICKETS,
            key=key,
            name=facts.title,
            data=digits_data.fingerprint,
            folder=folder,
            values=made.values,
            started=time.time(),
            parameters=ticket_stage._parameters(facts),
            metrics=ticket_stage._metrics(facts),
            tags=facts.tags(),
            before_finish=register(
                store, facts.registered_model, key, facts.description, facts.tags(), made.data
            ),
        )
        return str(store.client.get_run(finished.run_id).data.tags["prac.ticket"])

    return commit


@pytest.fixture(scope="session")
def empty_database_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow database to copy: making one takes seconds."""
    return empty_database(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def ticket_home(
    commit_ticket: Callable[..., str],
    empty_database_file: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A folder with a store: a judged ticket of resnet8 (version 1), two others, one of vgg8s."""
    from prac.tracking.store import Store
    from prac.tracking.tickets import update_aliases

    home = tmp_path_factory.mktemp("tickets")
    shutil.copy(empty_database_file, home / "mlflow.db")
    store = Store(f"sqlite:///{home / 'mlflow.db'}")
    store.prepare()
    for index, options in enumerate(
        (
            {"trained": True, "figure": True},
            {"round_index": 6},
            {"round_index": 6, "method": "vanilla", "seed": 1},
            {"architecture": "vgg8s", "round_index": 2, "test_accuracy": 0.5},
        )
    ):
        folder = tmp_path_factory.mktemp(f"ticket-{index}")
        commit_ticket(store, folder, **options)
    for name in ("prac-digits-resnet8", "prac-digits-vgg8s"):
        update_aliases(store, name)
    return home
