"""The end of the dense stage: where its predictions are made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.played import PlayedTasks, played_context

from prac.config.recipes import digits
from prac.data.dataset import ImageDataset
from prac.distributed.dense import take_outcome
from prac.distributed.tasks import SMALL
from prac.lottery.rounds import RoundTask, train_round
from prac.lottery.stage_config import round_config


@pytest.fixture
def task(toy_data: Callable[..., ImageDataset]) -> RoundTask:
    recipe = digits()
    recipe = recipe.replace(train=recipe.train.with_epochs(2))
    config = round_config(recipe, "conv4", 0, precision="fp32", records_events=False)
    return RoundTask(run="key", config=config, sample_ids=toy_data().training_ids)


def test_what_workers_left_is_taken_where_the_stage_runs(
    task: RoundTask, toy_data: Callable[..., ImageDataset], tmp_path: Path
) -> None:
    tasks = PlayedTasks()
    context = played_context(tmp_path, dataset=toy_data())
    assert take_outcome(task, context, "dense:conv4", tasks) is None  # nothing was trained
    trained = train_round(task, context.images(), context.work(task.run))
    taken = take_outcome(task, context, "dense:conv4", tasks)
    assert taken is not None
    assert taken.predictions is not None
    np.testing.assert_array_equal(taken.predictions, trained.predictions)
    assert tasks.asked == []


def test_an_accelerator_is_asked_for_where_one_is_used(task: RoundTask, tmp_path: Path) -> None:
    """The stage itself only waits and holds none."""
    tasks = PlayedTasks(play=lambda asked: "by a task")
    context = played_context(tmp_path, cpus_per_round=3, gpus_per_round=0.5)
    assert take_outcome(task, context, "dense:conv4", tasks) == "by a task"
    (asked,) = tasks.asked
    # What the task leaves is for small stages beside it.
    asked_for = (asked.name, asked.cpus, asked.gpus)
    assert asked_for == ("dense:conv4: predictions", pytest.approx(3 - SMALL), 0.5)
    assert asked.arguments == (task, context)
