"""What golden files hold: the graph whose keys are frozen, and the search whose store is kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from prac.config.methods import METHODS
from prac.config.recipe import Recipe
from prac.config.recipes import digits
from prac.config.sections import (
    AugmentConfig,
    BudgetConfig,
    PruneConfig,
    SearchConfig,
    SelectConfig,
    TrainConfig,
)
from prac.config.values import RewindPoint
from prac.data.dataset import ImageDataset
from prac.data.sources import as_source
from prac.lottery.compose import build_graph
from prac.lottery.graph import Graph
from prac.lottery.request import Request
from prac.lottery.search import local_request

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
KEYS = GOLDEN / "keys.json"
"""Keys by stage name."""
COMPUTES = GOLDEN / "computes.json"
"""Of each kind its version, and the digest of what it computes with."""
STORE = GOLDEN / "store"
"""A `FolderStore`."""


def frozen_graph() -> Graph:
    """The digits by every method, for two rounds; the data's fingerprint stands for any."""
    recipe = digits()
    recipe = recipe.replace(
        architectures=("resnet8",),
        search=SearchConfig(rounds=2, seed=recipe.search.seed, rewind=recipe.search.rewind),
        compare=tuple(name for name in METHODS if name != "prac"),
    )
    return build_graph(
        Request(
            recipe=recipe, data="d" * 32, data_name="digits", num_training=1294, precision="fp32"
        )
    )


class _Network:
    """Makes a network of 247 weights, whose first values are the same everywhere and always."""

    __name__ = "golden"
    prac_key = "golden network 1"

    def __call__(self, num_classes: int, in_channels: int) -> nn.Module:
        model = nn.Sequential(
            nn.Conv2d(in_channels, 4, 3),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Conv2d(4, 4, 3, stride=2),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(16, num_classes),
        )
        with torch.no_grad():
            for number, weight in enumerate(model.parameters()):
                if weight.dim() > 1:
                    count = torch.arange(weight.numel()) * (37 + number) % 61
                    weight.copy_(((count - 30) / 64).view_as(weight))
        return model


NETWORK = _Network()
RECIPE = Recipe(
    name="golden",
    description="",
    architectures=(NETWORK,),  # type: ignore[arg-type]  # held by its name
    augment=AugmentConfig(crop_padding=1, flip=False),
    train=TrainConfig(epochs=4, batch_size=8, learning_rate=0.1, milestones=(3,), precision="fp32"),
    prune=PruneConfig(tolerance=0.05, patience=2),
    select=SelectConfig(options={"proxy": NETWORK, "proxy_epochs": 1}),
    budget=BudgetConfig(min_round_epochs=3),
    search=SearchConfig(rounds=2, rewind=RewindPoint("epoch", 1), seed=1),
    compare=("proxy", "snip"),
)
"""Every kind of stage that a step makes."""


def images() -> ImageDataset:
    """48 images of 8x8 pixels in three classes, a third of them hard, by whole numbers alone."""

    def draw(count: int, start: int) -> tuple[np.ndarray, np.ndarray]:
        rows = np.arange(start, start + count)
        labels = rows % 3
        y, x = np.mgrid[0:8, 0:8]
        stripes = (x[None] * (labels + 1)[:, None, None] + y[None]) % 5 * 40
        noise = (rows[:, None, None] * 53 + x[None] * 29 + y[None] * 71) ** 2 % 97
        swapped = np.where(rows % 9 == 4, (labels + 1) % 3, labels)
        return (stripes + noise).astype(np.uint8)[..., None], swapped.astype(np.int64)

    train, test = draw(48, 0), draw(12, 48)
    ids = np.arange(48, dtype=np.int32)
    return ImageDataset(
        name="golden",
        fingerprint="golden images 1",
        class_names=("a", "b", "c"),
        train_images=train[0],
        train_labels=train[1],
        test_images=test[0],
        test_labels=test[1],
        training_ids=ids[ids % 6 != 5],
        validation_ids=ids[ids % 6 == 5],
        mean=(0.5,),
        std=(0.25,),
    )


def kept_graph() -> Graph:
    """The graph of the search whose store is kept."""
    source = as_source(images(), RECIPE.data)
    return build_graph(local_request(RECIPE, source, "cpu", judge="last"))
