"""How long stages take on this machine at most, from a few timed steps of their networks."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

from prac.analysis.timed import Speed, Timed
from prac.cache import keep, kept, versions
from prac.config.counts import num_batches
from prac.errors import OutsideError, first_line
from prac.fingerprint import fingerprint
from prac.lottery.graph import Stage
from prac.lottery.stage_config import (
    JudgeConfig,
    MaskConfig,
    RoundConfig,
    ScoreStageConfig,
    TrainingConfig,
)
from prac.machine import available_cpus
from prac.plugins import identity, is_custom, is_of_this_process
from prac.training.processor import processor_name

_KEPT = "speeds"
_VERSION = 1
"""Rises when networks are timed otherwise."""


@dataclass(frozen=True, kw_only=True)
class Images:
    """How many there are in each part of a data set."""

    training: int
    validation: int
    test: int


def speeds_here(
    every: Iterable[Timed],
    *,
    threads: int,
    device: str,
    told: Callable[[list[str]], None] = lambda _: None,
) -> dict[Timed, Speed]:
    """The speeds of networks, each timed once and kept by all that it depends on.

    threads: of a training. device: the name of a GPU, empty for a CPU, on whose cores several are
    timed side by side. Each has a process of its own, whose memory is counted. Those whose callable
    is of this process alone are left out. told: which networks are about to be timed. Raises
    OutsideError where a process fails.
    """
    digests = {}
    for timed in every:
        name = timed.architecture
        if is_custom(name) and is_of_this_process(name):
            continue
        read = {
            "version": _VERSION,
            "libraries": versions("torch", "torchvision"),
            "network": identity(name),
            "parts": (identity(timed.train.optimizer), identity(timed.augment.transform)),
            "images": (timed.num_classes, *timed.image_shape),
            "reads": (timed.train, timed.augment),
            "machine": (processor_name(), available_cpus(), threads, timed.device, device),
        }
        digests[timed] = fingerprint(read)
    found = {timed: kept(Speed, _KEPT, digest) for timed, digest in digests.items()}
    missing = [timed for timed, speed in found.items() if speed is None]
    if missing:
        told([timed.architecture for timed in missing])
    at_once = 1 if device else max(1, available_cpus() // threads)
    for timed, speed in zip(missing, _measured(missing, threads, at_once), strict=True):
        found[timed] = speed
        keep(speed, _KEPT, digests[timed])
    return {timed: speed for timed, speed in found.items() if speed is not None}


def _measured(every: list[Timed], threads: int, at_once: int) -> list[Speed]:
    if not every:
        return []
    fresh = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(
            min(at_once, len(every)), mp_context=fresh, max_tasks_per_child=1
        ) as processes:
            asked = [processes.submit(_calibrated, timed, threads) for timed in every]
            return [answer.result() for answer in asked]
    except BrokenProcessPool as error:
        why = "its process ended; is a training too large for this machine's memory?"
        raise OutsideError(f"a network can't be timed: {why}") from error
    except Exception as error:
        raise OutsideError(f"a network can't be timed: {first_line(error)}") from error


def _calibrated(timed: Timed, threads: int) -> Speed:
    from prac.analysis.calibration import calibrate  # torch

    return calibrate(timed, threads)


def most_seconds(stage: Stage, speed: Speed, images: Images) -> float:
    """Wall seconds that a stage's network is at work, with all the steps that it may take."""
    config, trained, predicted = stage.config, 0.0, 0.0
    if isinstance(config, TrainingConfig):
        epochs = stage.max_steps / num_batches(images.training, config.train.batch_size)
        trained = epochs * images.training
        predicted = epochs * images.validation
    if isinstance(config, RoundConfig):
        predicted += trained if config.filter else 0
        predicted += images.training if config.predicts_with is not None else 0
    elif isinstance(config, JudgeConfig):
        predicted += images.test
    elif isinstance(config, ScoreStageConfig):
        predicted += images.training
    elif isinstance(config, MaskConfig):
        trained = config.iterations * (config.scoring_samples or images.training)
    return trained * speed.training + predicted * speed.predicting
