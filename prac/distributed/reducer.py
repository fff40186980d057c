"""Events to statistics on several cores: each counts some of the epochs, the counts are merged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import pyarrow as pa
import ray
from ray.exceptions import RayTaskError

from prac.data.dataset import ImageDataset
from prac.distributed.context import Context
from prac.errors import EventLogError
from prac.events.counter import ForgettingCounter
from prac.lottery.round_events import count_epochs

EVENTS_A_TASK = 100_000_000
"""Some seconds of one core: less work is not worth a process of its own."""


def reduce_in_parts(context: Context, *, run: str, epochs: int) -> pa.Table:
    """Statistics of the dense run `run`, whose samples are all training samples.

    Raises EventLogError as `count_epochs` does.
    """
    samples = len(context.dataset().training_ids)
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    parts = epoch_parts(epochs, samples, cpus=int(resources.get("CPU", 1)))
    if len(parts) == 1:
        return _count(context, context.dataset(), run, parts[0]).statistics()
    counts = [_count_remotely.remote(context, run, part) for part in parts]
    try:
        return merged(ray.get(count) for count in counts)
    except RayTaskError as error:
        # Its message is the worker's whole traceback.
        if isinstance(error.cause, EventLogError):
            raise error.cause from error
        raise


def epoch_parts(epochs: int, samples: int, *, cpus: int) -> Sequence[range]:
    """Consecutive ranges of epochs, as even as can be: no more than CPUs, none too small."""
    count = max(1, min(cpus, epochs, epochs * samples // EVENTS_A_TASK))
    edges = [epochs * part // count for part in range(count + 1)]
    return [range(start, stop) for start, stop in pairwise(edges)]


def merged(counts: Iterable[ForgettingCounter]) -> pa.Table:
    """Statistics of counts whose epochs follow one another."""
    total = ForgettingCounter()
    for count in counts:
        total.merge(count)
    return total.statistics()


def _count(context: Context, dataset: ImageDataset, run: str, part: range) -> ForgettingCounter:
    return count_epochs(
        context.work(run),
        run=run,
        round_index=0,
        epochs=part,
        sample_ids=dataset.training_ids,
    )


@ray.remote(num_cpus=1, max_retries=3)
def _count_remotely(context: Context, run: str, part: range) -> ForgettingCounter:
    return _count(context, context.dataset(), run, part)
