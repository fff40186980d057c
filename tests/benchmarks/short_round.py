"""What the timing programs share: an epoch or two of our loop, and the bare step beside it."""

import dataclasses

import torch
from numpy.typing import NDArray

from prac.config.sections import Precision, TrainConfig
from prac.data.batches import DeviceImages
from prac.training.loop import Training
from prac.training.precision import autocast
from prac.training.schedule import full_budget

CONFIG = TrainConfig(epochs=1, milestones=(), learning_rate=1e-3)


def training_of(
    images: DeviceImages, ids: NDArray, precision: Precision, epochs: int = 1
) -> Training:
    """Some epochs over `ids`, as a round trains them."""
    config = dataclasses.replace(CONFIG, epochs=epochs, precision=precision)
    return Training(
        run="benchmark",
        images=images,
        sample_ids=ids,
        config=config,
        budget=full_budget(config, len(ids)),
        seed=0,
        stream=("benchmark",),
    )


def bare_steps(
    model: torch.nn.Module, images: DeviceImages, ids: NDArray, precision: Precision
) -> None:
    """Forward, backward and SGD on one resident batch, as many steps as an epoch has."""
    part = ids[: CONFIG.batch_size]
    inputs, labels = images.clean(part), images.labels(part)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-4, foreach=True
    )
    model.train()
    for _ in range(-(-len(ids) // CONFIG.batch_size)):
        optimizer.zero_grad(set_to_none=True)
        with autocast(images.device, precision):
            logits = model(inputs)
        torch.nn.functional.cross_entropy(logits.float(), labels).backward()
        optimizer.step()
