"""Shared by many tests: one thread, and tiny data sets that a small network can learn."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

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
