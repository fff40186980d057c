"""A ticket's stage and what it made, as a search would have left it, in a second."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from prac import Mask, global_magnitude
from prac.config.sections import AugmentConfig, TrainConfig
from prac.config.values import RewindPoint
from prac.data.batches import DeviceImages
from prac.data.dataset import ImageDataset
from prac.fingerprint import fingerprint
from prac.lottery.env import Work
from prac.lottery.graph import Stage
from prac.lottery.local import LocalEnv
from prac.lottery.outputs import (
    NEXT_MASK,
    REWIND,
    SET,
    TRAINED,
    Cost,
    Facts,
    JudgeFacts,
    Made,
    MaskFacts,
    SetFacts,
    TicketFacts,
)
from prac.lottery.stage_config import TicketStageConfig
from prac.lottery.steps.tickets import ticket_stage
from prac.models.registry import build_model
from prac.pruning.prunable import prunable_weights
from prac.selection.prac_set import PracSet, Reason
from prac.storage import Folder
from prac.ticket.retrain import train_alone

AUGMENT = AugmentConfig(crop_padding=1, flip=False)
DENSE_ACCURACY = 0.98


def make_ticket(
    data: ImageDataset,
    *,
    architecture: str = "resnet8",
    round_index: int = 3,
    method: str = "prac",
    test_accuracy: float | None = None,
    trained: bool = False,
    epochs: int = 6,
    seed: int = 0,
) -> tuple[Stage, Made]:
    """A ticket with random weights, 20 % pruned in each round.

    trained: it is judged by `epochs` of training. test_accuracy: one that is made up, of a ticket
    that was not trained.
    """
    model = build_model(
        architecture, num_classes=data.num_classes, image_shape=data.image_shape, seed=seed
    )
    rewind = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    mask = Mask.dense(model)
    for _ in range(round_index):
        mask = global_magnitude(prunable_weights(model), mask, 0.2)
    steps = 168 * round_index if method == "vanilla" else 40 * round_index + 168
    inputs = {
        "mask": Made(facts=_mask_facts(mask), files={NEXT_MASK: mask}),
        "rewind": Made(facts=Facts(), files={REWIND: rewind}),
        "training_0": Made(facts=Facts(), cost=Cost(steps=steps)),
    }
    if method != "vanilla":
        inputs["samples"] = _set(data, 420 - 20 * round_index)
    if trained:
        config = TrainConfig(epochs=epochs, batch_size=64, milestones=(), precision="fp32")
        images = DeviceImages(data, AUGMENT, torch.device("cpu"))
        alone = train_alone(model, mask, images, config, seed=seed, run="a ticket")
        files = {TRAINED: alone.trained.best_weights}
        inputs["judge"] = Made(facts=_judged(alone.test_accuracy), files=files)
        inputs["dense_judge"] = Made(facts=_judged(DENSE_ACCURACY))
    stage = _stage(architecture, method, round_index, seed, data.name)
    env = LocalEnv(
        data=data.fingerprint, load=lambda: data, augment=AUGMENT, storage=Folder("unused")
    )
    made = ticket_stage(stage.config, Work(stage, env, {}), **inputs)
    if test_accuracy is not None:
        facts = dataclasses.replace(
            made.known(TicketFacts),
            test_accuracy=test_accuracy,
            validation_accuracy=test_accuracy,
            dense_test_accuracy=DENSE_ACCURACY,
        )
        made = dataclasses.replace(made, facts=facts)
    return stage, made


def _mask_facts(mask: Mask) -> MaskFacts:
    return MaskFacts(
        next_sparsity=mask.sparsity, next_weights_alive=mask.num_alive, weights=mask.size
    )


def _set(data: ImageDataset, size: int) -> Made:
    chosen = PracSet.from_reasons({Reason.FORGOTTEN: data.training_ids[:size]})
    digest = fingerprint((chosen.sample_ids, chosen.reasons))
    facts = SetFacts(set_size=size, cet_size=size, cep_size=0, overlap=0, digest=digest)
    return Made(facts=facts, files={SET: chosen})


def _judged(accuracy: float) -> JudgeFacts:
    return JudgeFacts(
        epochs=1, budget_epochs=1, best_epoch=1, best_accuracy=accuracy, test_accuracy=accuracy
    )


def _stage(architecture: str, method: str, round_index: int, seed: int, data: str) -> Stage:
    config: dict[str, Any] = {
        "architecture": architecture,
        "method": method,
        "round_index": round_index,
    }
    return Stage(
        name=f"ticket:{architecture}:{method}:{round_index}",
        kind="ticket",
        config=TicketStageConfig(
            **config,
            network=(architecture,),
            budget_steps=504,
            rewind=RewindPoint.parse("epoch:1"),
            seed=seed,
            precision="fp32",
            data_name=data,
            recipe="digits",
            transfer_from=None,
        ),
        inputs={},
        key=fingerprint((architecture, round_index, method, seed)),
        **config,
    )
