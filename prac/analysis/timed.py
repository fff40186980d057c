"""What is timed on a machine, and what that found."""

from __future__ import annotations

from dataclasses import dataclass, field

from prac.config.sections import AugmentConfig, TrainConfig
from prac.schema import Amount, Count


@dataclass(frozen=True, kw_only=True)
class Speed:
    """What a network takes on a machine. training, predicting: seconds of one image, where
    nothing else runs; start: until a process is ready to train it. memory: bytes that such a
    process holds, beside the images of the data set."""

    training: Amount
    predicting: Amount
    start: Amount
    memory: Count


@dataclass(frozen=True, kw_only=True)
class Timed:
    """A network to be timed. image_shape: `(H, W, C)`. device: `auto`, `cpu` or `cuda`."""

    architecture: str
    image_shape: tuple[int, int, int]
    num_classes: int
    train: TrainConfig
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    device: str = "auto"
