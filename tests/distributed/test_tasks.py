"""Tasks on Ray: errors as their functions raised them, whatever wraps them on the way."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import ray
from ray.exceptions import RayError, RayTaskError

from prac.distributed.progress import RayDesk
from prac.distributed.sweep.trials import Ask, RayExchange
from prac.distributed.tasks import RAY, own_error
from prac.errors import EmptySetError, PracError
from prac.lottery.progress import EpochNews
from prac.lottery.store import DamagedArtifact, Finished

FINISHED = Finished(key="k", name="reduce:net", run_id="r", where="w", manifest_sha256="")


def _wrapped(error: Exception) -> RayTaskError:
    trace = f"Traceback (most recent call last):\n  somewhere\n{error!r}"
    wrapped: RayTaskError = RayTaskError("stage", trace, error).as_instanceof_cause()
    return wrapped


@pytest.mark.parametrize(
    "error",
    [EmptySetError("the set is empty"), ZeroDivisionError("1/0"), DamagedArtifact(FINISHED, "it")],
)
def test_a_function_s_own_error_comes_out_of_ray_s(error: Exception) -> None:
    assert own_error(_wrapped(error)) is error


def test_an_error_that_could_not_travel_is_told_by_its_last_line() -> None:
    lost = RayTaskError("stage", "Traceback ...\n  somewhere\nOddError: of a library", None)
    assert str(own_error(lost)) == "OddError: of a library"


def add(one: int, other: int) -> int:
    return one + other


def fail() -> None:
    raise DamagedArtifact(FINISHED, "a table fails its checksum")


def sleep() -> None:
    time.sleep(600)


@pytest.fixture(scope="module")
def _cluster() -> Iterator[None]:
    ray.init(address="local", num_cpus=2, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.mark.usefixtures("_cluster")
def test_a_real_cluster_runs_waits_raises_and_cancels() -> None:
    assert RAY.cpus == 2
    sum_, failing, sleeping = (
        RAY.submit(add, 2, 3, name="add"),
        RAY.submit(fail, name="fail", cpus=0),
        RAY.submit(sleep, name="sleep", cpus=0),
    )
    left = [sum_, failing, sleeping]
    deadline = time.monotonic() + 60
    while len(left) > 1 and time.monotonic() < deadline:
        for done in RAY.wait(left):
            left.remove(done)
    assert left == [sleeping]
    assert RAY.result(sum_) == 5
    with pytest.raises(DamagedArtifact) as caught:
        RAY.result(failing)
    # The error itself, which says what it is of in one line; Ray's traceback is behind it.
    assert type(caught.value) is DamagedArtifact
    assert caught.value.finished == FINISHED
    assert str(caught.value) == "a table fails its checksum of stage reduce:net (run r)"
    assert isinstance(caught.value.__cause__, RayTaskError)
    RAY.cancel(sleeping)
    with pytest.raises(RayError):
        RAY.result(sleeping)


@pytest.mark.usefixtures("_cluster")
def test_a_desk_keeps_a_stage_s_newest_news_and_is_no_reason_to_fail() -> None:
    desk = RayDesk.open()

    def news(epoch: int, stage: str = "dense:net") -> EpochNews:
        return EpochNews(stage=stage, epoch=epoch, epochs=9, validation_accuracy=0.5, seconds=1.0)

    for each in (news(1), news(2), news(1, "round:net:1")):
        desk.report(each)
    assert desk.collect() == [news(2), news(1, "round:net:1")]
    assert desk.collect() == []
    ray.kill(desk.actor)
    assert desk.collect() == []


@pytest.mark.usefixtures("_cluster")
def test_an_exchange_answers_each_goal_once() -> None:
    exchange = RayExchange.open()
    ask = Ask(values={"select.threshold": 1}, goal=0, reach=0)
    exchange.answer("select.threshold=1", 0, {"rounds": 1})
    assert exchange.ask(ask) == {"rounds": 1}
    exchange.answer("select.threshold=1", 0, {"rounds": 2})
    exchange.answer("select.threshold=1", 1, {"failed": "no events"})
    assert exchange.ask(ask) == {"rounds": 1}
    assert exchange.collect() == [ask, ask]
    assert exchange.collect() == []
    failing = Ask(values={"select.threshold": 1}, goal=1, reach=1)
    with pytest.raises(PracError, match="no events"):
        exchange.ask(failing)
