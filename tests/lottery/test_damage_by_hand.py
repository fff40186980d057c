"""The order of stages when one that was finished is found damaged: nobody runs twice or is lost."""

from __future__ import annotations

import pytest
from support.schedules import started

from prac.lottery.graph import Stage
from prac.lottery.schedule import Schedule
from prac.lottery.store import Finished


def _stage(name: str, *inputs: str) -> Stage:
    return Stage(
        name=name,
        kind="round",
        architecture="net",
        method="prac",
        round_index=0,
        config=None,
        inputs={f"input_{place}": other for place, other in enumerate(inputs)},
        key=name,
    )


def _finished(name: str) -> Finished:
    return Finished(key=name, name=name, run_id=name, where="", manifest_sha256="")


def _left(schedule: Schedule) -> list[str]:
    """Start and finish all that is left; the names in their order."""
    order = []
    while (stage := schedule.peek()) is not None:
        started(schedule)
        order.append(stage.name)
        schedule.finish(stage.name, _finished(stage.name))
    return order


@pytest.fixture
def schedule() -> Schedule:
    """`a` is finished; `b` and `c` read it, `d` reads both."""
    schedule = Schedule()
    stages = [_stage("a"), _stage("b", "a"), _stage("c", "a"), _stage("d", "b", "c")]
    schedule.add({stage.name: stage for stage in stages}, {"a": _finished("a")})
    schedule.want(["d"])
    return schedule


def test_who_was_about_to_read_what_is_damaged_waits_and_runs_once(schedule: Schedule) -> None:
    assert started(schedule).name == "b"
    schedule.again("a")
    schedule.again("b")
    assert started(schedule).name == "a"
    schedule.finish("a", _finished("a"))
    assert [started(schedule).name, started(schedule).name] == ["b", "c"]
    assert schedule.peek() is None  # though `c` was ready twice
    for name in ("b", "c"):
        schedule.finish(name, _finished(name))
    assert _left(schedule) == ["d"]
    assert schedule.open == 0


def test_who_is_at_work_is_not_started_again(schedule: Schedule) -> None:
    assert [started(schedule).name, started(schedule).name] == ["b", "c"]
    schedule.again("a")  # `b` found it, `c` had read it before
    schedule.again("b")
    assert started(schedule).name == "a"
    schedule.finish("a", _finished("a"))
    assert started(schedule).name == "b"
    assert schedule.peek() is None
    schedule.finish("c", _finished("c"))
    schedule.finish("b", _finished("b"))
    assert _left(schedule) == ["d"]


def test_who_is_at_work_may_end_before_what_it_read_is_made_again(schedule: Schedule) -> None:
    assert [started(schedule).name, started(schedule).name] == ["b", "c"]
    schedule.again("a")
    schedule.again("b")
    schedule.finish("c", _finished("c"))
    assert _left(schedule) == ["a", "b", "d"]
