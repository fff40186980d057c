"""Each kind of stage: reads its inputs from the store, calls the core, leaves files and values."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from prac.config.sections import SelectConfig
from prac.distributed import artifacts
from prac.distributed.context import use_threads
from prac.distributed.made import Made, Running
from prac.distributed.method_stages import (
    bill,
    make_proxy,
    make_pruned,
    make_scores,
    make_start,
    make_subset,
)
from prac.distributed.progress import epoch_reporter
from prac.distributed.reducer import reduce_in_parts
from prac.errors import EventLogError, StoreError
from prac.lottery.energy import stage_meter
from prac.lottery.graph import Kind
from prac.lottery.judge import judge
from prac.lottery.rounds import (
    RoundOutcome,
    RoundTask,
    run_round,
)
from prac.lottery.scoring import ScoringCost
from prac.lottery.stage_config import RoundConfig
from prac.selection import PracSet, select_critical
from prac.selection.easy import with_easy
from prac.tracking.store import DamagedArtifact, Metric
from prac.training.observers import EpochRecord

# Another pipeline that trains the same at the same time may put its earlier checkpoint in place of
# the finished one; the training then goes on from there.
_MAX_SHARED = 3


def _epoch_metrics(epochs: tuple[EpochRecord, ...] | list[EpochRecord]) -> list[Metric]:
    names = ("loss", "train_accuracy", "validation_accuracy", "learning_rate", "seconds")
    return [
        Metric(name=f"epoch/{name}", value=getattr(record, name), step=record.epoch + 1)
        for record in epochs
        for name in names
    ]


def _leave_round(running: Running, task: RoundTask, outcome: RoundOutcome, seconds: float) -> Made:
    folder, context = running.folder, running.context
    artifacts.write_mask(folder, outcome.next_mask)
    artifacts.write_weights(folder, artifacts.BEST, outcome.best_weights)
    if outcome.rewind_weights is not None:
        artifacts.write_weights(folder, artifacts.REWIND, outcome.rewind_weights)
    predicted = 0 if outcome.predictions is None else len(outcome.predictions)
    if outcome.predictions is not None:
        ids = context.load_dataset().training_ids
        table = artifacts.predictions_table(ids, outcome.predictions)
        artifacts.write_table(folder, artifacts.PREDICTIONS, table)
    if outcome.statistics is not None:
        artifacts.write_table(folder, artifacts.STATISTICS, outcome.statistics)
    epochs = len(outcome.epochs)
    before = running.stage.config["round"]
    values: dict[str, Any] = {
        "set_size": task.epoch_size,
        "steps": outcome.steps,
        "epochs": epochs,
        "budget_epochs": outcome.budget.epochs,
        "budget_steps": outcome.budget.steps,
        "stopped_early": outcome.stopped_early,
        "best_epoch": outcome.best_epoch,
        "best_accuracy": outcome.best_accuracy,
        "distances": list(outcome.distances),
        "next_sparsity": outcome.next_mask.sparsity,
        "next_weights_alive": outcome.next_mask.num_alive,
        "weights": outcome.next_mask.size,
        "samples": task.epoch_size * epochs,
        "cep_samples": predicted,
        "evaluation_samples": epochs * len(context.load_dataset().validation_ids),
        "score_gradient_samples": outcome.score_samples,
        "score_passes": outcome.score_passes,
        "seconds": seconds,
    }
    metrics = _epoch_metrics(outcome.epochs)
    metrics += [
        Metric(name="epoch/mask_distance", value=distance, step=epoch + 2)
        for epoch, distance in enumerate(outcome.distances)
    ]
    metrics += [
        Metric(name=name, value=float(values[name]))
        for name in ("steps", "epochs", "set_size", "best_accuracy", "next_sparsity")
    ]
    return Made(values=values, metrics=metrics, parameters=_round_parameters(before))


def _round_parameters(config: RoundConfig) -> dict[str, Any]:
    return {
        "architecture": config.architecture,
        "round": config.round_index,
        "seed": config.seed,
        "records_events": config.records_events,
        "rewind": config.rewind or "",
        **{f"train.{name}": value for name, value in vars(config.train).items()},
        **{f"prune.{name}": value for name, value in vars(config.prune).items()},
        **{f"budget.{name}": value for name, value in vars(config.budget).items()},
    }


def _dense(running: Running) -> Made:
    """Round 0: data-parallel training on Ray Train workers; its events stay in the storage."""
    started, context = time.monotonic(), running.context
    config: RoundConfig = running.stage.config["round"]
    task = RoundTask(
        run=running.stage.key,
        config=config,
        sample_ids=context.load_dataset().training_ids,
    )
    outcome = _train_on_workers(running, task)
    return _leave_round(running, task, outcome, time.monotonic() - started)


def _train_on_workers(running: Running, task: RoundTask) -> RoundOutcome:
    # Ray Train takes 2 s to import: nothing that a process of rounds should pay.
    from prac.distributed.dense import take_outcome, train_on_workers

    context = running.context
    for _ in range(_MAX_SHARED):
        train_on_workers(task, context, running.stage.name)
        outcome = take_outcome(task, context, running.stage.name)
        if outcome is not None:
            return outcome
    raise StoreError(
        f"{context.work(task.run).describe()} holds no finished checkpoint after the training: "
        "another pipeline trains the same; run this again when that has ended"
    )


def _reduce(running: Running) -> Made:
    """Event files of the dense run to statistics: one pass, by several tasks where it is long."""
    context = running.context
    dense = running.inputs["dense"]
    try:
        epochs = int(running.values("dense")["epochs"])
        statistics = reduce_in_parts(context, run=dense.key, epochs=epochs)
    except EventLogError as error:
        raise DamagedArtifact(dense, str(error)) from error
    artifacts.write_table(running.folder, artifacts.STATISTICS, statistics)
    events = int(np.sum(statistics["presentations"].to_numpy()))
    return Made(
        values={"events": events},
        metrics=[Metric(name="events", value=events)],
    )


def _select(running: Running) -> Made:
    """D_k: critical for training, with critical for pruning from round 1 on."""
    config = running.stage.config
    select = SelectConfig(threshold=config["threshold"], cet=config["cet"], cep=config["cep"])
    if "statistics" in running.inputs:
        statistics = running.read("statistics", artifacts.STATISTICS, artifacts.read_table)
        chosen = select_critical(statistics, select)
    else:
        statistics = running.read("before", artifacts.STATISTICS, artifacts.read_table)
        columns = {}
        if "dense" in running.inputs:
            dense, pruned = (
                running.read(role, artifacts.PREDICTIONS, artifacts.read_table)
                for role in ("dense", "before")
            )
            columns = {
                "dense": dense["predicted"].to_numpy(),
                "pruned": pruned["predicted"].to_numpy(),
                "sample_ids": pruned["sample_id"].to_numpy(),
            }
        chosen = select_critical(statistics, select, **columns)
    if "easy" in config:
        dataset = running.context.load_dataset()
        chosen = with_easy(
            chosen,
            config["easy"],
            sample_ids=dataset.training_ids,
            labels=dataset.train_labels[dataset.training_ids],
            seed=config["seed"],
            round_index=config["round"],
        )
    return _leave_set(running, chosen, dict(config))


def _leave_set(running: Running, chosen: PracSet, parameters: dict[str, Any]) -> Made:
    artifacts.write_table(running.folder, artifacts.SAMPLES, chosen.to_table())
    training, pruning = chosen.training_ids, chosen.pruning_ids
    values: dict[str, Any] = {
        "set_size": len(chosen),
        "cet_size": len(training),
        "cep_size": len(pruning),
        "overlap": len(np.intersect1d(training, pruning)),
        "digest": chosen.digest,
    }
    metrics = [
        Metric(name=name, value=float(values[name]), step=running.stage.round_index)
        for name in ("set_size", "cet_size", "cep_size", "overlap")
    ]
    return Made(values=values, metrics=metrics, parameters=parameters)


def _subset(running: Running) -> Made:
    """As many samples as PrAC's set has, or a fraction, by their scores."""
    started, config = time.monotonic(), running.stage.config
    made = _leave_set(running, make_subset(running), {"seed": config["seed"]})
    made.values |= bill(ScoringCost(), started)
    return made


def _samples(running: Running) -> PracSet:
    if "samples" not in running.inputs:
        return PracSet.everything(running.context.load_dataset().training_ids)
    table = running.read("samples", artifacts.SAMPLES, artifacts.read_table)
    return PracSet.from_table(table)


def _round(running: Running) -> Made:
    """Round k: train under m_k on D_k from the rewind weights, reduce its events, prune."""
    started, context = time.monotonic(), running.context
    use_threads(context.resources.cpus_per_round)
    counted = "epochs" in running.inputs
    task = RoundTask(
        run=running.stage.key,
        config=running.stage.config["round"],
        sample_ids=_samples(running).sample_ids,
        # Of methods that borrow: samples an epoch (RS2) and epochs, as many as PrAC's round had.
        fresh=int(running.values("size")["set_size"]) if "size" in running.inputs else None,
        max_epochs=int(running.values("epochs")["epochs"]) if counted else None,
        mask=running.read("before", artifacts.MASK, artifacts.read_mask),
        weights=running.read("rewind", artifacts.REWIND, artifacts.read_weights),
    )
    outcome = run_round(
        task,
        context.images(gpus=context.resources.gpus_per_round),
        context.work(running.stage.key),
        on_epoch=epoch_reporter(context.desk, running.stage.name),
    )
    return _leave_round(running, task, outcome, time.monotonic() - started)


def _judge(running: Running) -> Made:
    """Train a ticket alone for the full budget; test accuracy once."""
    started, context, stage = time.monotonic(), running.context, running.stage
    use_threads(context.resources.cpus_per_round)
    mask = None
    if "before" in running.inputs:
        mask = running.read("before", artifacts.MASK, artifacts.read_mask)
    judgement = judge(
        stage.config["judge"],
        mask,
        running.read("rewind", artifacts.REWIND, artifacts.read_weights),
        context.images(gpus=context.resources.gpus_per_round),
        run=stage.key,
        checkpoints=context.work(stage.key),
        on_epoch=epoch_reporter(context.desk, stage.name),
    )
    trained, dataset = judgement.trained, context.load_dataset()
    epochs = len(trained.epochs)
    artifacts.write_weights(running.folder, artifacts.TRAINED, trained.best_weights)
    values: dict[str, Any] = {
        "test_accuracy": judgement.test_accuracy,
        "best_accuracy": trained.best_accuracy,
        "best_epoch": trained.best_epoch,
        "steps": trained.steps,
        "epochs": epochs,
        "budget_epochs": epochs,
        "samples": epochs * len(dataset.training_ids),
        "evaluation_samples": epochs * len(dataset.validation_ids) + len(dataset.test_labels),
        "seconds": time.monotonic() - started,
    }
    metrics = _epoch_metrics(trained.epochs)
    metrics += [
        Metric(name=name, value=values[name], step=stage.round_index)
        for name in ("test_accuracy", "best_accuracy", "steps")
    ]
    config = stage.config["judge"]
    parameters = {
        "architecture": config.architecture,
        "seed": config.seed,
        **{f"train.{name}": value for name, value in vars(config.train).items()},
    }
    return Made(values=values, metrics=metrics, parameters=parameters)


def _ticket(running: Running) -> Made:
    """Mask, rewind weights and lineage, bound together and described."""
    from prac.distributed.ticket_stage import make_ticket

    return make_ticket(running)


def _metered(make: Callable[[Running], Made]) -> Callable[[Running], Made]:
    """The same stage, with its wall time and its energy among its values, for the bill."""

    def run(running: Running) -> Made:
        started = time.monotonic()
        meter = stage_meter(running.stage.kind, running.context.resources)
        made = make(running)
        energy = meter.stop()
        made.values.setdefault("seconds", time.monotonic() - started)
        made.values |= {"joules": energy.joules, "energy_source": energy.source}
        return made

    return run


RUN: Mapping[Kind, Callable[[Running], Made]] = {
    "dense": _metered(_dense),
    "reduce": _metered(_reduce),
    "select": _metered(_select),
    "proxy": _metered(make_proxy),
    "score": _metered(make_scores),
    "subset": _metered(_subset),
    "round": _metered(_round),
    "prune": _metered(make_pruned),
    "start": _metered(make_start),
    "judge": _metered(_judge),
    "ticket": _ticket,
}
