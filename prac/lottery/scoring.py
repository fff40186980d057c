"""What scores are made of: a run's events, a model's predictions, a proxy that is trained first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from torch import Tensor

from prac.config.sections import Precision
from prac.data.batches import DeviceImages
from prac.lottery.stage_config import ProxyConfig
from prac.models.registry import network_for
from prac.models.state import load_state
from prac.selection.scores import Evidence
from prac.storage import Folder
from prac.training.evaluation import predict_probabilities
from prac.training.loop import Trained, Training, train
from prac.training.observers import EpochCallback, OnEpoch
from prac.training.randomness import derived_seed

Weights = Mapping[str, Tensor]


class Witness:
    """Gathers evidence on the data set of a search. predicted: images that it was made of."""

    def __init__(self, images: DeviceImages, precision: Precision) -> None:
        self._images, self._precision = images, precision
        self.predicted = 0

    def evidence(
        self,
        *,
        seed: int,
        round_index: int,
        events: Callable[[int | None], Iterator[pa.RecordBatch]] | None = None,
        architecture: str = "",
        weights: Weights | None = None,
    ) -> Evidence:
        """What a score may read. weights: of the model of this architecture that it calls."""
        images = self._images
        asks = None if weights is None else partial(self._probabilities, architecture, weights)
        return Evidence(
            sample_ids=images.training_ids,
            labels=training_labels(images),
            num_classes=images.num_classes,
            seed=(seed, round_index),
            events=events,
            probabilities=asks,
        )

    def _probabilities(self, architecture: str, weights: Weights) -> NDArray[np.float32]:
        """Of all training rows, by the model; their images are counted."""
        images = self._images
        model = network_for(images, architecture).to(images.device)
        load_state(model, weights)
        self.predicted += len(images.training_ids)
        return predict_probabilities(model, images, images.training_ids, self._precision)


def training_labels(images: DeviceImages) -> NDArray[np.int64]:
    """(N,) labels of the training rows."""
    labels: NDArray[np.int64] = images.labels(images.training_ids).cpu().numpy()
    return labels


def train_proxy(
    config: ProxyConfig,
    images: DeviceImages,
    *,
    run: str,
    checkpoints: Folder | None = None,
    on_epoch: OnEpoch | None = None,
) -> Trained:
    """Train a small dense network on the whole training split, whose predictions select for others.

    Selection via proxy: Coleman et al. 2020 (arXiv:1906.11829), section 3.1.
    """
    seed = derived_seed(config.seed, "proxy")
    model = network_for(images, config.architecture, seed=seed)
    training = Training.on_everything(
        images, config.train, run=run, seed=config.seed, stream=("proxy",)
    )
    observers = [] if on_epoch is None else [EpochCallback(on_epoch)]
    return train(model, training, observers=observers, checkpoints=checkpoints)
