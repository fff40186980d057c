"""A `Training` of what a test has to say of it, and processes that take part in one."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prac.config.sections import TrainConfig
from prac.data.batches import DeviceImages
from prac.training.loop import Training
from prac.training.schedule import full_budget


def training_of(
    images: DeviceImages, config: TrainConfig, *, ids: NDArray[np.int32] | None = None, **more: Any
) -> Training:
    """On all training rows, or on these, for the full budget, in fp32."""
    ids = images.training_ids if ids is None else ids
    config = dataclasses.replace(config, precision=more.pop("precision", "fp32"))
    told: dict[str, Any] = {"run": "run", "seed": 0, "stream": ("round", 0)}
    told["budget"] = full_budget(config, more.get("fresh") or len(ids))
    return Training(images=images, sample_ids=ids, config=config, **{**told, **more})


def workers_environment() -> dict[str, str]:
    """Of processes on this machine that run a test's file as a program."""
    paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    told = {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    return {**os.environ, **told, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
