"""Events to statistics on several cores: each counts some of the epochs, the counts are merged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import pyarrow as pa

from prac.distributed.context import Context
from prac.distributed.tasks import RAY, SMALL, Tasks
from prac.events.counter import ForgettingCounter
from prac.lottery.round_events import count_epochs

EVENTS_A_TASK = 100_000_000
"""Some seconds of one core: less work is not worth a process of its own."""


def reduce_in_parts(
    context: Context,
    *,
    run: str,
    epochs: int,
    tasks: Tasks = RAY,
    events_a_task: int = EVENTS_A_TASK,
) -> pa.Table:
    """Statistics of the dense run `run`, whose samples are all training samples.

    Raises EventLogError as `count_epochs` does.
    """
    samples = len(context.dataset().training_ids)
    parts = epoch_parts(epochs, samples, cpus=tasks.cpus, events_a_task=events_a_task)
    if len(parts) == 1:
        return _count(context, run, parts[0]).statistics()
    counts = [
        tasks.submit(_count, context, run, part, name=f"count:{part[0]}-{part[-1]}", cpus=SMALL)
        for part in parts
    ]
    return merged(tasks.result(count) for count in counts)


def epoch_parts(
    epochs: int, samples: int, *, cpus: int, events_a_task: int = EVENTS_A_TASK
) -> Sequence[range]:
    """Consecutive ranges of epochs, as even as can be: no more than CPUs, none too small."""
    count = max(1, min(cpus, epochs, epochs * samples // events_a_task))
    edges = [epochs * part // count for part in range(count + 1)]
    return [range(start, stop) for start, stop in pairwise(edges)]


def merged(counts: Iterable[ForgettingCounter]) -> pa.Table:
    """Statistics of counts whose epochs follow one another."""
    total = ForgettingCounter()
    for count in counts:
        total.merge(count)
    return total.statistics()


def _count(context: Context, run: str, part: range) -> ForgettingCounter:
    ids = context.dataset().training_ids
    return count_epochs(context.work(run), run=run, epochs=part, sample_ids=ids)
