"""The stages that train: rounds, judgements, proxies."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from torch import Tensor, nn

from prac.config.costs import TRAINING_FLOPS
from prac.errors import PracError
from prac.lottery.env import Work
from prac.lottery.outputs import (
    BEST,
    NEXT_MASK,
    PREDICTIONS,
    REWIND,
    SET,
    STATISTICS,
    TRAINED,
    Cost,
    File,
    JudgeFacts,
    Made,
    RoundFacts,
    SetFacts,
    TrainedFacts,
    curves,
    starting_weights,
)
from prac.lottery.rounds import RoundOutcome, RoundTask
from prac.lottery.scoring import train_proxy
from prac.lottery.stage_config import JudgeConfig, ProxyConfig, RoundConfig
from prac.models.cost import dense_flops
from prac.models.layout import placed
from prac.models.registry import network_for
from prac.models.state import load_state
from prac.selection.soft import SoftSet, soft_size
from prac.ticket.retrain import train_alone
from prac.training.evaluation import test_accuracy
from prac.training.hardest import part_size
from prac.training.loop import Trained


def train_stage(
    config: RoundConfig,
    work: Work,
    *,
    before: Made | None = None,
    rewind: Made | None = None,
    samples: Made | None = None,
    size: Made | None = None,
    epochs: Made | None = None,
) -> Made:
    """Round k: train under m_k on D_k from the rewind weights, watch its samples, prune.

    before: made m_k; rewind: the weights to start from; both None in round 0. samples: D_k; None is
    everything. size: as many samples, drawn anew in every epoch. epochs: a round that had as many.
    """
    ids = training_ids = work.env.dataset().training_ids
    fresh, soft = None if size is None else size.known(SetFacts).set_size, None
    if samples is not None:
        ids = samples[SET].sample_ids
    if config.soft and samples is not None:
        soft = SoftSet(critical=ids, sample_ids=training_ids, share=config.soft)
        ids = training_ids
    elif config.soft and fresh is not None:
        # As many an epoch as the soft set of that size has.
        fresh = soft_size(fresh, len(training_ids), config.soft)
    elif config.filter:
        fresh = part_size(len(ids) if fresh is None else fresh, config.filter)
    task = RoundTask(
        run=work.run,
        config=config,
        sample_ids=ids,
        fresh=fresh,
        soft=soft,
        hardest=config.filter > 0 and not config.filtered_by_chance,
        max_epochs=None if epochs is None else epochs.known(RoundFacts).epochs,
        mask=None if before is None else before[NEXT_MASK],
        weights=None if rewind is None else starting_weights(rewind),
    )
    outcome = work.env.train(task, work)
    return _round_made(task, outcome, work)


def _round_made(task: RoundTask, outcome: RoundOutcome, work: Work) -> Made:
    dataset = work.env.dataset()
    _check(task, outcome)
    files: dict[File[Any], Any] = {NEXT_MASK: outcome.next_mask, BEST: outcome.best_weights}
    if outcome.rewind_weights is not None:
        files[REWIND] = outcome.rewind_weights
    predicted = 0 if outcome.predictions is None else len(outcome.predictions)
    if outcome.predictions is not None:
        columns = {"sample_id": dataset.training_ids, "predicted": outcome.predictions}
        files[PREDICTIONS] = pa.table(columns)
    if outcome.statistics is not None:
        files[STATISTICS] = outcome.statistics
    epochs = len(outcome.epochs)
    return Made(
        facts=RoundFacts(
            set_size=task.epoch_size,
            epochs=epochs,
            budget_epochs=outcome.budget.epochs,
            best_epoch=outcome.best_epoch,
            best_accuracy=outcome.best_accuracy,
            stopped_early=outcome.stopped_early,
            distances=outcome.distances,
            next_sparsity=outcome.next_mask.sparsity,
            next_weights_alive=outcome.next_mask.num_alive,
            weights=outcome.next_mask.size,
            curves=curves(outcome.epochs),
        ),
        cost=Cost(
            steps=outcome.steps,
            samples=task.epoch_size * epochs,
            cep_samples=predicted,
            # Passed forward to find the hardest, which are passed again.
            score_samples=task.presented * epochs if task.hardest else 0,
            evaluation_samples=epochs * len(dataset.validation_ids),
            score_gradient_samples=outcome.score_samples,
            score_passes=outcome.score_passes,
            seconds=outcome.seconds,
        ),
        files=files,
        made_by=outcome.made_by,
    )


def _check(task: RoundTask, outcome: RoundOutcome) -> None:
    """Raise PracError where a trainer of the user's left other than what the task asks for."""
    config, next_mask, told = task.config, outcome.next_mask, f"round {task.config.round_index}"
    # Those of round 0 are reduced from its events by a stage of their own.
    reduced = config.records_events and config.round_index > 0
    asked = (
        ("rewind_weights", config.rewind is not None, outcome.rewind_weights),
        ("statistics", reduced, outcome.statistics),
        ("predictions", config.predicts_with is not None, outcome.predictions),
    )
    for name, needed, left in asked:
        if needed and left is None:
            raise PracError(
                f"{told} left no {name}, which its configuration asks its trainer for "
                "(prac.RoundOutcome)"
            )
    alive = next_mask.size if task.mask is None else task.mask.num_alive
    if task.mask is not None and not next_mask.is_subset_of(task.mask):
        raise PracError(f"{told} left a next_mask with weights that were pruned before it")
    if round(config.prune.fraction * alive) and next_mask.num_alive >= alive:
        raise PracError(
            f"{told} left a next_mask that prunes nothing; prune.fraction asks its trainer for "
            f"{config.prune.fraction:g} of the {alive:,} weights that were alive "
            "(prac.TentativeMask)"
        )
    if config.prune.gradual:
        _check_pruned(task, outcome)


def _check_pruned(task: RoundTask, outcome: RoundOutcome) -> None:
    for name, alive in outcome.next_mask.items():
        if bool(outcome.best_weights[name][~alive].any()):
            raise PracError(
                f"round {task.config.round_index} left weights that its mask prunes; "
                "prune.gradual asks its trainer to prune the network itself (prac.GradualMask), "
                "and prune.gradual=0 does not"
            )


def judge_stage(
    config: JudgeConfig, work: Work, *, rewind: Made, before: Made | None = None
) -> Made:
    """Train a ticket alone for the full budget; test accuracy once. before: made its mask; None is
    the dense network. As found: test what the round `rewind` left."""
    dataset = work.env.dataset()
    model = network_for(dataset, config.architecture)
    weights: Mapping[str, Tensor] = rewind[BEST] if config.as_found else starting_weights(rewind)
    load_state(model, weights)
    if config.as_found:
        return _as_found(model, rewind, config, work)
    found = train_alone(
        model,
        None if before is None else before[NEXT_MASK],
        work.env.images(),
        config.train,
        seed=config.seed,
        run=work.run,
        checkpoints=work.folder,
        on_epoch=work.on_epoch,
    )
    cost = _cost(found.trained, work)
    tested = cost.evaluation_samples + len(dataset.test_labels)
    return Made(
        facts=JudgeFacts(test_accuracy=found.test_accuracy, **_training(found.trained)),
        cost=dataclasses.replace(cost, evaluation_samples=tested),
        files={TRAINED: found.trained.kept_weights},
        made_by=found.trained.made_by,
    )


def _as_found(model: nn.Module, left: Made, config: JudgeConfig, work: Work) -> Made:
    images, facts = work.env.images(), left.known(RoundFacts)
    placed(model, images.device)
    return Made(
        facts=JudgeFacts(
            test_accuracy=test_accuracy(model, images, config.train.precision),
            epochs=0,
            budget_epochs=0,
            best_epoch=facts.best_epoch,
            best_accuracy=facts.best_accuracy,
        ),
        cost=Cost(evaluation_samples=images.num_test),
        # As every judgement leaves the network that it tested.
        files={TRAINED: left[BEST]},
    )


def proxy_stage(config: ProxyConfig, work: Work) -> Made:
    """A small dense network, trained for its predictions."""
    trained = train_proxy(
        config, work.env.images(), run=work.run, checkpoints=work.folder, on_epoch=work.on_epoch
    )
    cost, dataset = _cost(trained, work), work.env.dataset()
    passes = TRAINING_FLOPS * cost.samples + cost.evaluation_samples
    flops = dense_flops(config.architecture, dataset)
    return Made(
        facts=TrainedFacts(**_training(trained)),
        cost=dataclasses.replace(cost, other_flops=flops * passes),
        files={BEST: trained.kept_weights},
        made_by=trained.made_by,
    )


def _training(trained: Trained) -> dict[str, Any]:
    """The facts of a training that nothing ended early."""
    epochs = len(trained.epochs)
    return {
        "epochs": epochs,
        "budget_epochs": epochs,
        "best_epoch": trained.best_epoch,
        "best_accuracy": trained.best_accuracy,
        "curves": curves(trained.epochs),
    }


def _cost(trained: Trained, work: Work) -> Cost:
    """Of a training on everything."""
    dataset, epochs = work.env.dataset(), len(trained.epochs)
    return Cost(
        steps=trained.steps,
        samples=epochs * len(dataset.training_ids),
        evaluation_samples=epochs * len(dataset.validation_ids),
    )
