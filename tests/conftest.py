"""Shared by many tests: one thread, and tiny data sets that a small network can learn."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.launch import empty_database
from support.requests import make_request

from prac.config.sections import DataConfig
from prac.data.dataset import ImageDataset
from prac.data.sources import open_source
from prac.lottery.request import Request
from prac.lottery.store import Finished, Store

ToyData = Callable[..., ImageDataset]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of real runs, which take minutes, come first: else one core ends with them alone."""

    def minutes(item: pytest.Item) -> float:
        limit = item.get_closest_marker("timeout")
        return float(limit.args[0]) if limit else 0.0

    longest: dict[Path, float] = {}
    for item in items:
        longest[item.path] = max(longest.get(item.path, 0.0), minutes(item))
    items.sort(key=lambda item: longest[item.path] < 1000)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is kept between runs is of this session alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRAC_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def request_for() -> Callable[..., Request]:
    """Makes requests."""
    return make_request


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
def commit_ticket(digits_data: ImageDataset) -> Callable[..., Finished]:
    """Puts a ticket of `make_ticket` into a store, as a pipeline's stage does."""
    from support.tickets import make_ticket

    def commit(store: Store, **options: Any) -> Finished:
        stage, made = make_ticket(digits_data, **options)
        return store.commit(stage, made, data=digits_data.fingerprint, started=time.time())

    return commit


@pytest.fixture(scope="session")
def empty_database_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow database to copy: making one takes seconds."""
    return empty_database(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def ticket_home(
    commit_ticket: Callable[..., Finished],
    empty_database_file: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A folder with a store: a judged ticket of resnet8 (version 1), two others, one of vgg8s."""
    from prac.app.places import dress_ticket
    from prac.tracking.store import MlflowStore
    from prac.tracking.tickets import update_aliases

    home = tmp_path_factory.mktemp("tickets")
    shutil.copy(empty_database_file, home / "mlflow.db")
    store = MlflowStore(f"sqlite:///{home / 'mlflow.db'}", dress_ticket)
    store.prepare()
    for options in (
        {"trained": True},
        {"round_index": 6},
        {"round_index": 6, "method": "vanilla", "seed": 1},
        {"architecture": "vgg8s", "round_index": 2, "test_accuracy": 0.5},
    ):
        commit_ticket(store, **options)
    for name in ("prac-digits-resnet8", "prac-digits-vgg8s"):
        update_aliases(store, name)
    return home
