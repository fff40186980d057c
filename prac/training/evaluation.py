"""Predictions in evaluation mode, without augmentation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from prac.config.sections import Precision
from prac.data.batches import DeviceImages
from prac.models.mode import in_mode
from prac.training.precision import autocast

EVALUATION_BATCH = 256
"""Images a forward pass on a CPU, where larger ones are no faster; an accelerator takes four times
as many."""


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    with in_mode(model, training=False), torch.inference_mode():
        yield


def _batch_size(images: DeviceImages) -> int:
    return EVALUATION_BATCH if images.device.type == "cpu" else 4 * EVALUATION_BATCH


def _predict(
    model: nn.Module,
    images: DeviceImages,
    count: int,
    batch: Callable[[int, int], Tensor],
    precision: Precision,
) -> Tensor:
    size = _batch_size(images)
    with _evaluating(model), autocast(images.device, precision):
        parts = [
            model(batch(start, min(start + size, count))).argmax(dim=1)
            for start in range(0, count, size)
        ]
    return torch.cat(parts) if parts else torch.empty(0, dtype=torch.int64, device=images.device)


def predict_probabilities(
    model: nn.Module, images: DeviceImages, sample_ids: NDArray[np.int32], precision: Precision
) -> NDArray[np.float32]:
    """(N, K) float32 softmax of the logits for training-split rows; N is 1 or more."""
    size, rows, parts = _batch_size(images), images.rows(sample_ids), []
    with _evaluating(model), autocast(images.device, precision):
        for start in range(0, len(sample_ids), size):
            logits = model(images.clean_rows(rows[start : start + size]))
            parts.append(logits.float().softmax(dim=1))
    return torch.cat(parts).cpu().numpy()


def predict(
    model: nn.Module, images: DeviceImages, sample_ids: NDArray[np.int32], precision: Precision
) -> NDArray[np.int32]:
    """(N,) int32 predicted classes of training-split rows."""
    return _classes(model, images, sample_ids, precision).cpu().numpy().astype(np.int32)


def count_correct(
    model: nn.Module, images: DeviceImages, sample_ids: NDArray[np.int32], precision: Precision
) -> Tensor:
    """How many training-split rows are predicted right: a scalar int64 tensor on the device."""
    predictions = _classes(model, images, sample_ids, precision)
    return (predictions == images.labels(sample_ids)).sum()


def _classes(
    model: nn.Module, images: DeviceImages, sample_ids: NDArray[np.int32], precision: Precision
) -> Tensor:
    rows = images.rows(sample_ids)

    def batch(start: int, stop: int) -> Tensor:
        return images.clean_rows(rows[start:stop])

    return _predict(model, images, len(sample_ids), batch, precision)


def test_accuracy(model: nn.Module, images: DeviceImages, precision: Precision) -> float:
    """Share of the test split that is predicted right, in [0, 1]."""
    predictions = _predict(model, images, images.num_test, images.test, precision)
    return int((predictions == images.test_labels).sum()) / images.num_test
