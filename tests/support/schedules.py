"""A schedule as executors use it."""

from __future__ import annotations

from prac.lottery.graph import Stage
from prac.lottery.schedule import Schedule


def started(schedule: Schedule) -> Stage:
    """The stage that is next, started."""
    stage = schedule.peek()
    assert stage is not None
    schedule.start(stage)
    return stage
