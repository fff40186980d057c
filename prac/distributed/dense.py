"""Data-parallel training of a round on Ray Train workers, which write its events."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer

from prac.distributed.context import Context, use_threads
from prac.distributed.progress import epoch_reporter
from prac.search import RoundTask, train_with_workers
from prac.training.workers import Workers


def _worker(config: dict[str, Any]) -> None:
    context: Context = config["context"]
    task: RoundTask = config["task"]
    resources = context.resources
    use_threads(resources.cpus_per_round)
    workers = Workers.of_process_group()
    train_with_workers(
        task,
        context.images(gpus=resources.gpus_per_worker),
        context.work(task.run),
        workers,
        on_epoch=epoch_reporter(context.desk, config["stage"]),
    )


def train_on_workers(task: RoundTask, context: Context, stage: str) -> None:
    """Train with `resources.workers` workers; a worker that dies is replaced and the run resumed.

    What is left in the stage's work folder: the finished checkpoint, and the event files.
    """
    resources = context.resources
    per_worker: dict[str, float] = {"CPU": resources.cpus_per_round}
    if resources.gpus_per_worker > 0:
        per_worker["GPU"] = resources.gpus_per_worker
    storage = context.work(task.run).child("train").describe()
    if "://" not in storage:
        Path(storage).mkdir(parents=True, exist_ok=True)
    trainer = TorchTrainer(
        _worker,
        train_loop_config={"context": context, "task": task, "stage": stage},
        scaling_config=ScalingConfig(
            num_workers=resources.workers,
            use_gpu=resources.gpus_per_worker > 0,
            resources_per_worker=per_worker,
        ),
        torch_config=TorchConfig(
            backend="nccl" if resources.gpus_per_worker >= 1 else "gloo", timeout_s=120
        ),
        run_config=RunConfig(
            # Our own checkpoint resumes the run, to the last finished epoch; Train's own would be
            # found again by this name and could skip the training silently.
            name=f"{stage.replace(':', '-')}-{uuid.uuid4().hex[:8]}",
            storage_path=storage,
            failure_config=FailureConfig(max_failures=resources.max_failures),
        ),
    )
    trainer.fit()
