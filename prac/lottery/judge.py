"""Judging a ticket: train it alone on all the training data, and look at the test split once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from prac.data.batches import DeviceImages
from prac.lottery.stage_config import JudgeConfig
from prac.models import build_model
from prac.pruning.mask import Mask
from prac.storage import Folder
from prac.training.evaluation import test_accuracy
from prac.training.loop import Trained, Training, train
from prac.training.observers import EpochCallback, EpochEnd
from prac.training.schedule import full_budget


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """A ticket trained alone: its training, the model of the best validation epoch, its accuracy.

    test_accuracy: in [0, 1], measured once, by the model of the best validation epoch.
    """

    trained: Trained
    test_accuracy: float


def judge(
    config: JudgeConfig,
    mask: Mask | None,
    rewind_weights: Mapping[str, Tensor],
    images: DeviceImages,
    *,
    run: str,
    checkpoints: Folder | None = None,
    on_epoch: Callable[[EpochEnd], None] | None = None,
) -> Judgement:
    """Train from the rewind weights under `mask` for the full budget (METHOD, "Judging a ticket").

    mask: None is the dense network. The order of samples depends on the seed alone, so that all
    tickets of one seed are compared in pairs.
    """
    model = build_model(
        config.architecture,
        num_classes=images.num_classes,
        image_shape=images.image_shape,
        seed=0,
    )
    model.load_state_dict(dict(rewind_weights))
    training = Training(
        run=run,
        images=images,
        sample_ids=images.training_ids,
        config=config.train,
        budget=full_budget(config.train, len(images.training_ids)),
        precision=config.train.precision,
        seed=config.seed,
        stream=("judge",),
    )
    observers = [] if on_epoch is None else [EpochCallback(on_epoch)]
    trained = train(model, training, mask=mask, observers=observers, checkpoints=checkpoints)
    model.load_state_dict(trained.best_weights)
    return Judgement(
        trained=trained, test_accuracy=test_accuracy(model, images, config.train.precision)
    )
