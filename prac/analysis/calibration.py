"""How fast a network trains on this machine: a few steps of the real loop on random images."""

from __future__ import annotations

import dataclasses
import resource
import time
from itertools import pairwise

import numpy as np
import torch

from prac.analysis.timed import Speed, Timed
from prac.data.batches import DeviceImages
from prac.data.dataset import ImageDataset
from prac.models.registry import network_for
from prac.training.evaluation import count_correct
from prac.training.loop import Training, train
from prac.training.observers import EpochEnd, Observer
from prac.training.precision import pick_device, resolve_precision

CPU_BATCHES = 8, 16, 32
"""Images of a step that are tried on a CPU before a whole batch, which takes minutes of a large
network."""
_LONG = 1.0
"""Seconds of a step: whoever takes longer is hardly faster with more images in a step."""
_PATIENCE = 2.0
"""Seconds after which no further epoch is timed."""
_STEPS, _TIMED_EPOCHS = 2, 4


def calibrate(timed: Timed, threads: int) -> Speed:
    """The speed of a network with so many threads, in a process that does nothing else: its memory
    is counted. What a whole batch would hold is told from smaller ones where those were timed.

    Training an image is augmentation, forward, backward, update: after two steps that warm up, the
    least time of up to four times two steps, in the precision that the configuration resolves to on
    this device.
    """
    start = time.process_time()
    torch.set_num_threads(threads)
    speed, held = _trained(timed)
    whole, (batch, most) = timed.train.batch_size, held[-1]
    smaller, less = held[-2] if held[1:] else (0, most)
    most += (most - less) * (whole - batch) // (batch - smaller)
    return dataclasses.replace(speed, start=start, memory=most)


def _trained(timed: Timed) -> tuple[Speed, list[tuple[int, int]]]:
    """The speed; and of each batch that was timed its images, and the most bytes that this process
    had held by then."""
    place, whole = pick_device(timed.device), timed.train.batch_size
    model = network_for(timed, timed.architecture)
    tried = [size for size in CPU_BATCHES if size < whole and place.type == "cpu"]
    held: list[tuple[int, int]] = []
    for batch, following in pairwise([*tried, whole, whole]):
        images = DeviceImages(_random_images(batch * _STEPS, timed), timed.augment, place)
        config = dataclasses.replace(
            timed.train,
            epochs=1 + _TIMED_EPOCHS,
            milestones=(),
            warmup_epochs=0,
            batch_size=batch,
            precision=resolve_precision(timed.train.precision, place),
            # Random labels teach nothing; a small rate keeps the loss finite.
            learning_rate=1e-3,
        )
        told = "calibration"
        training = Training.on_everything(images, config, run=told, seed=0, stream=(told,))
        clock = _Clock(place)
        train(model, training, observers=[clock])
        seconds = min(clock.seconds[1:]) / len(images.training_ids)
        held.append((batch, _most_held()))
        if seconds * following > _LONG and held[1:]:
            break
    for _ in range(2):  # the first of them warms up
        clock.lap()
        # Read, so that a device is done.
        int(count_correct(model, images, images.training_ids, config.precision))
        predicting = clock.lap() / len(images.training_ids)
    return Speed(training=seconds, predicting=predicting, start=0, memory=0), held


class _Clock(Observer):
    """The seconds of each epoch; ends a training once a time has passed and an epoch was timed.

    On one thread of a CPU they are those that this process was at work: what other programs take
    meanwhile is not in them, nor kept with them.
    """

    name = "clock"

    def __init__(self, device: torch.device) -> None:
        self._counts_work = device.type == "cpu"
        self._began = self._last = self._now()
        self.seconds: list[float] = []

    def _now(self) -> tuple[float, float]:
        return time.perf_counter(), time.process_time()

    def lap(self) -> float:
        """Seconds since the last one."""
        before, self._last = self._last, self._now()
        wall, work = (now - then for now, then in zip(self._last, before, strict=True))
        # Several threads work longer than the time that passes.
        return min(wall, work) if self._counts_work else wall

    def on_epoch(self, end: EpochEnd) -> bool:
        self.seconds.append(self.lap())
        return end.record.epoch > 0 and self._now()[0] - self._began[0] > _PATIENCE


def _most_held() -> int:
    """Bytes of memory; Linux counts in units of 1024."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _random_images(count: int, timed: Timed) -> ImageDataset:
    """Noise: `count` training rows, one validation row."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (count + 1, *timed.image_shape), dtype=np.uint8)
    labels = random.integers(0, timed.num_classes, count + 1)
    channels = timed.image_shape[2]
    return ImageDataset(
        name="noise",
        fingerprint="noise",
        class_names=tuple(map(str, range(timed.num_classes))),
        train_images=pixels,
        train_labels=labels,
        test_images=pixels[:1],
        test_labels=labels[:1],
        training_ids=np.arange(count, dtype=np.int32),
        validation_ids=np.array([count], dtype=np.int32),
        mean=(0.5,) * channels,
        std=(0.25,) * channels,
    )
