"""Data-parallel training of a round on Ray Train workers, which write its events."""

from __future__ import annotations

import contextlib
import dataclasses
import uuid
from typing import Any

from ray.train import FailureConfig, RunConfig, ScalingConfig, WorkerGroupError
from ray.train.torch import TorchTrainer

from prac.distributed.context import Context, Resources
from prac.distributed.process_group import BoundTorchConfig
from prac.distributed.progress import epoch_reporter
from prac.distributed.ray_internals import cause_of
from prac.distributed.tasks import RAY, Tasks, beside_small
from prac.errors import PracError, StoreError, telling_line
from prac.lottery.rounds import RoundOutcome, RoundTask, outcome_of_workers, train_with_workers
from prac.lottery.run import TRAIN_PREFIX
from prac.scratch import scratch_folder
from prac.storage import Folder

# Another pipeline that trains the same at the same time may put its earlier checkpoint in place of
# the finished one; the training then goes on from there.
_MAX_SHARED = 3
MAX_FAILURES = 3
"""How often workers of one training may fail."""


class DenseTrainer(TorchTrainer):
    """Without the process that Ray Train starts to hand out Ray datasets: here it would have none,
    and the workers wait until it has imported what it needs."""

    def _create_default_callbacks(self) -> list[Any]:
        callbacks = super()._create_default_callbacks()  # type: ignore[misc]  # Ray's own
        return [each for each in callbacks if type(each).__name__ != "DatasetsCallback"]


def _worker(config: dict[str, Any]) -> None:
    context: Context = config["context"]
    task: RoundTask = config["task"]
    train_with_workers(
        task,
        context.images_on(gpus=context.resources.gpus_per_worker),
        context.work(task.run),
        on_epoch=epoch_reporter(context.desk, config["stage"]),
    )


def train_dense(task: RoundTask, context: Context, stage: str) -> RoundOutcome:
    """Train round 0 on workers, and take what they left. Raises PracError where they fail."""
    for _ in range(_MAX_SHARED):
        train_on_workers(task, context, stage)
        outcome = take_outcome(task, context, stage)
        if outcome is not None:
            seconds = sum(record.seconds for record in outcome.epochs)
            return dataclasses.replace(outcome, seconds=seconds)
    raise StoreError(
        f"{context.work(task.run).describe()} holds no finished checkpoint after the training: "
        "another pipeline trains the same; run this again when that has ended"
    )


def take_outcome(
    task: RoundTask, context: Context, stage: str, tasks: Tasks = RAY
) -> RoundOutcome | None:
    """What the workers left, with the dense predictions; None where it isn't finished.

    The stage itself only waits and holds no accelerator, so where rounds have one, a task of its
    own asks for it.
    """
    resources = context.resources
    if resources.gpus_per_round == 0:
        return _outcome(task, context)
    handle = tasks.submit(
        _outcome,
        task,
        context,
        name=f"{stage}: predictions",
        cpus=beside_small(resources.cpus_per_round),
        gpus=resources.gpus_per_round,
    )
    outcome: RoundOutcome | None = tasks.result(handle)
    return outcome


def _outcome(task: RoundTask, context: Context) -> RoundOutcome | None:
    images = context.images()
    with scratch_folder() as scratch:
        return outcome_of_workers(task, images, context.work(task.run), Folder(scratch))


def train_on_workers(task: RoundTask, context: Context, stage: str) -> None:
    """Train with `resources.workers` workers; a worker that dies is replaced and the run resumed,
    with as few as `resources.min_workers` where the others can't be had.

    What is left in the stage's work folder: the finished checkpoint, and the event files.
    Raises PracError where workers fail more often than MAX_FAILURES times.
    """
    resources = context.resources
    per_worker: dict[str, float] = {"CPU": beside_small(resources.cpus_per_round)}
    if resources.gpus_per_worker > 0:
        per_worker["GPU"] = resources.gpus_per_worker
    # Our own checkpoint resumes the run, to the last finished epoch; Train's own would be found
    # again by a fixed name and could skip the training silently.
    name = f"{TRAIN_PREFIX}{stage.replace(':', '-')}-{uuid.uuid4().hex[:8]}"
    work = context.work(task.run)
    if work.is_local:
        work.local_path.mkdir(parents=True, exist_ok=True)
    trainer = DenseTrainer(
        _worker,
        train_loop_config={"context": context, "task": task, "stage": stage},
        scaling_config=ScalingConfig(
            num_workers=_number(resources),
            use_gpu=resources.gpus_per_worker > 0,
            resources_per_worker=per_worker,
        ),
        torch_config=BoundTorchConfig(
            backend="nccl" if resources.gpus_per_worker >= 1 else "gloo", timeout_s=120
        ),
        run_config=RunConfig(
            name=name,
            storage_path=work.describe(),
            failure_config=FailureConfig(max_failures=MAX_FAILURES),
        ),
    )
    try:
        trainer.fit()
    except WorkerGroupError as error:
        raise PracError(f"its workers failed: {_reason(error)}") from error
    finally:
        # This run's alone: another pipeline may train the same at this moment.
        with contextlib.suppress(OSError):
            work.child(name).delete()


def _number(resources: Resources) -> Any:
    """Of workers: as many, or from as many to as many."""
    if resources.min_workers in (None, resources.workers):
        return resources.workers
    return resources.min_workers, resources.workers


def _reason(error: WorkerGroupError) -> str:
    """What the workers' own code said, in one line; of others' errors the telling one."""
    causes = [cause_of(failure) for failure in error.worker_failures.values()]
    # A worker whose partner failed says only that the connection broke.
    ours = [cause for cause in causes if isinstance(cause, PracError)]
    return telling_line(str((ours or causes or [error])[0])) or type(error).__name__
