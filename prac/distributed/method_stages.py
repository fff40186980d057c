"""The stages that only some methods have: proxies, scores, sets by a score, masks, starts."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from prac.analysis.bill import BACKWARD
from prac.distributed import artifacts
from prac.distributed.context import use_threads
from prac.distributed.made import Made, Running
from prac.distributed.progress import epoch_reporter
from prac.errors import EventLogError
from prac.lottery.masks import make_mask
from prac.lottery.method_config import set_size
from prac.lottery.round_events import read_events
from prac.lottery.rounds import start_weights
from prac.lottery.scoring import ScoringCost, Witness, train_proxy
from prac.models import build_model
from prac.models.describe import forward_flops
from prac.selection import PracSet
from prac.selection.scores import Evidence
from prac.selection.subsets import score_samples, take_by_score
from prac.tracking.store import DamagedArtifact, Metric


def bill(cost: ScoringCost, started: float) -> dict[str, Any]:
    """What a stage that isn't a round cost, as values. started: of `time.monotonic`."""
    return {**dataclasses.asdict(cost), "seconds": time.monotonic() - started}


def make_proxy(running: Running) -> Made:
    """A small dense network, trained for its predictions."""
    started, context, stage = time.monotonic(), running.context, running.stage
    use_threads(context.resources.cpus_per_round)
    proxy = train_proxy(
        stage.config["proxy"],
        context.images(gpus=context.resources.gpus_per_round),
        run=stage.key,
        checkpoints=context.work(stage.key),
        on_epoch=epoch_reporter(context.desk, stage.name),
    )
    artifacts.write_weights(running.folder, artifacts.BEST, proxy.weights)
    epochs = len(proxy.trained.epochs)
    once = _forward_flops(running, stage.config["proxy"].architecture)
    passes = (1 + BACKWARD) * proxy.cost.samples + proxy.cost.evaluation_samples
    values: dict[str, Any] = {
        **bill(proxy.cost, started),
        "other_flops": once * passes,
        "epochs": epochs,
        "budget_epochs": epochs,
        "best_accuracy": proxy.trained.best_accuracy,
        "best_epoch": proxy.trained.best_epoch,
    }
    metrics = [Metric(name=n, value=float(values[n])) for n in ("steps", "best_accuracy")]
    return Made(values=values, metrics=metrics)


def make_scores(running: Running) -> Made:
    """One number a training sample, from round 0's events or a model's predictions."""
    started, context, config = time.monotonic(), running.context, running.stage.config
    use_threads(context.resources.cpus_per_round)
    images = context.images(gpus=context.resources.gpus_per_round)
    witness = Witness(images, config.get("precision", "fp32"))
    source: dict[str, Any] = {}
    if "dense" in running.inputs:
        source["events"] = lambda epochs: _dense_events(running, epochs)
    else:
        source["weights"] = running.read("model", artifacts.BEST, artifacts.read_weights)
        source["architecture"] = config["architecture"]
    evidence = witness.evidence(seed=config["seed"], round_index=config["round"], **source)
    try:
        scores = score_samples(config["score"], evidence)
    except EventLogError as error:
        raise DamagedArtifact(running.inputs["dense"], str(error)) from error
    table = artifacts.scores_table(images.training_ids, scores)
    artifacts.write_table(running.folder, artifacts.SCORES, table)
    values = bill(witness.cost(), started)
    if running.inputs.get("model") and config["architecture"] != running.stage.architecture:
        once = _forward_flops(running, config["architecture"])
        values["other_flops"] = once * witness.cost().score_samples
    return Made(
        values=values,
        metrics=[Metric(name="mean_score", value=float(np.mean(scores)))],
        parameters={"score": config["score"]["score"][0]},
    )


def _forward_flops(running: Running, architecture: str) -> int:
    """Of one image through a network that is not the search's own."""
    dataset = running.context.load_dataset()
    model = build_model(
        architecture, num_classes=dataset.num_classes, image_shape=dataset.image_shape, seed=0
    )
    return sum(forward_flops(model, dataset.image_shape).values())


def _dense_events(running: Running, epochs: int | None) -> Iterator[pa.RecordBatch]:
    dense = running.inputs["dense"]
    recorded = int(running.values("dense")["epochs"])
    return read_events(
        running.context.work(dense.key),
        run=dense.key,
        round_index=0,
        epochs=range(recorded if epochs is None else min(epochs, recorded)),
        sample_ids=running.context.load_dataset().training_ids,
    )


def make_subset(running: Running) -> PracSet:
    """The samples that a round trains on, by their scores."""
    config, dataset = running.stage.config, running.context.load_dataset()
    ids = dataset.training_ids
    labels = dataset.train_labels[ids]
    if "scores" in running.inputs:
        table = running.read("scores", artifacts.SCORES, artifacts.read_table)
        scores = table["score"].to_numpy()
    else:
        evidence = Evidence(
            sample_ids=ids,
            labels=labels,
            num_classes=dataset.num_classes,
            seed=(config["seed"], config["round"]),
        )
        scores = score_samples(config["score"], evidence)
    borrowed = int(running.values("prac")["set_size"]) if "prac" in running.inputs else None
    return take_by_score(
        config["sampler"],
        scores,
        ids,
        labels,
        set_size(config.get("fraction"), len(ids), borrowed),
        seed=config["seed"],
        round_index=config["round"],
    )


def make_pruned(running: Running) -> Made:
    """m_{k+1} by a criterion that needs no training."""
    started, context, config = time.monotonic(), running.context, running.stage.config
    use_threads(context.resources.cpus_per_round)
    images = context.images(gpus=context.resources.gpus_per_round)
    before = None
    if "before" in running.inputs:
        before = running.read("before", artifacts.MASK, artifacts.read_mask)
    made = make_mask(config["mask"], images, before)
    artifacts.write_mask(running.folder, made.mask)
    cost = ScoringCost(score_gradient_samples=made.score_samples, score_passes=made.score_passes)
    values: dict[str, Any] = {
        **bill(cost, started),
        # As a round leaves them, of one that trains nothing.
        "set_size": len(images.training_ids),
        "budget_steps": config["budget_steps"],
        "distances": [],
        "next_sparsity": made.mask.sparsity,
        "next_weights_alive": made.mask.num_alive,
        "weights": made.mask.size,
    }
    return Made(
        values=values,
        metrics=[Metric(name="next_sparsity", value=made.mask.sparsity)],
        parameters={
            **{f"mask.{name}": value for name, value in vars(config["mask"]).items()},
            "mask.criterion": config["mask"].criterion[0],
        },
    )


def make_start(running: Running) -> Made:
    """The weights that tickets start from which don't rewind."""
    started, images = time.monotonic(), running.context.images(gpus=0)
    weights = start_weights(running.stage.config["start"], images)
    artifacts.write_weights(running.folder, artifacts.REWIND, weights)
    return Made(values=bill(ScoringCost(), started), parameters=vars(running.stage.config["start"]))
