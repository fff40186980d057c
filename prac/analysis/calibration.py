"""How fast a network trains on this machine: a few steps of the real loop on random images."""

from __future__ import annotations

import dataclasses

import numpy as np

from prac.config.sections import AugmentConfig, TrainConfig
from prac.data.batches import DeviceImages
from prac.data.dataset import ImageDataset
from prac.models import build_model
from prac.training.loop import Training, train
from prac.training.precision import pick_device, resolve_precision
from prac.training.schedule import full_budget

CPU_BATCH = 32
"""Images of a timed step on a CPU, whose speed an image hardly depends on it."""
_STEPS, _TIMED_EPOCHS = 2, 4


def seconds_per_image(
    architecture: str,
    image_shape: tuple[int, int, int],
    num_classes: int,
    config: TrainConfig,
    *,
    device: str = "auto",
) -> float:
    """Wall seconds that training takes for one image: augmentation, forward, backward, update.

    image_shape: `(H, W, C)`. After two steps that warm up, the least time of four times two steps,
    in the precision that the configuration resolves to on this device; at most `CPU_BATCH` images a
    step on a CPU. What other programs take all the time is in the figure, evaluation is not.
    """
    place = pick_device(device)
    batch = min(config.batch_size, CPU_BATCH) if place.type == "cpu" else config.batch_size
    config = dataclasses.replace(
        config,
        epochs=1 + _TIMED_EPOCHS,
        milestones=(),
        warmup_epochs=0,
        batch_size=batch,
        precision=resolve_precision(config.precision, place),
        # Random labels teach nothing; a small rate keeps the loss finite.
        learning_rate=1e-3,
    )
    images = DeviceImages(
        _random_images(batch * _STEPS, image_shape, num_classes), AugmentConfig(), place
    )
    training = Training(
        run="calibration",
        images=images,
        sample_ids=images.training_ids,
        config=config,
        budget=full_budget(config, len(images.training_ids)),
        precision=config.precision,
        seed=0,
        stream=("calibration",),
    )
    model = build_model(architecture, num_classes=num_classes, image_shape=image_shape, seed=0)
    trained = train(model, training)
    return min(record.seconds for record in trained.epochs[1:]) / len(images.training_ids)


def _random_images(count: int, image_shape: tuple[int, int, int], num_classes: int) -> ImageDataset:
    """Noise: `count` training rows, one validation row."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (count + 1, *image_shape), dtype=np.uint8)
    labels = random.integers(0, num_classes, count + 1)
    channels = image_shape[2]
    return ImageDataset(
        name="noise",
        fingerprint="noise",
        class_names=tuple(map(str, range(num_classes))),
        train_images=pixels,
        train_labels=labels,
        test_images=pixels[:1],
        test_labels=labels[:1],
        training_ids=np.arange(count, dtype=np.int32),
        validation_ids=np.array([count], dtype=np.int32),
        mean=(0.5,) * channels,
        std=(0.25,) * channels,
    )
