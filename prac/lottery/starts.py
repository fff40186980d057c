"""The networks that a search starts from, before any training."""

from __future__ import annotations

from torch import Tensor, nn

from prac.data.batches import DeviceImages
from prac.data.dataset import ImageDataset
from prac.lottery.stage_config import MaskConfig, RoundConfig, StartConfig
from prac.models.initial import started
from prac.training.randomness import derived_seed


def initial_model(config: RoundConfig | MaskConfig, images: DeviceImages) -> nn.Module:
    """The network with its initial weights: a function of the architecture and the seed, and of
    the file that it starts from."""
    return started(
        config.architecture,
        config.weights,
        num_classes=images.num_classes,
        image_shape=images.image_shape,
        seed=derived_seed(config.seed, "weights"),
    )


def start_weights(config: StartConfig, dataset: ImageDataset) -> dict[str, Tensor]:
    """Where tickets start that don't rewind: the search's initial weights, or others, drawn with
    another seed (random tickets)."""
    purpose = {"initial": "weights", "redrawn": "redrawn weights"}[config.start]
    model = started(
        config.architecture,
        config.weights if config.start == "initial" else None,
        num_classes=dataset.num_classes,
        image_shape=dataset.image_shape,
        seed=derived_seed(config.seed, purpose),
    )
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
