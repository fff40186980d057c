"""A task computes on the device that Ray gave it, in whichever process it runs."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

from prac.distributed.given_devices import given_device, place_of
from prac.distributed.tasks import RAY
from prac.errors import PracError


def where_it_computes(number: int, meeting: Path, size: int) -> tuple[int, set[str], str]:
    """In a task: its process, the devices that Ray gave it, and the one that it computes on.

    CUDA is played: it reads the list of devices once, at its first use in a process. The task is
    over when `size` of them have met, so that as many run at once, on as many devices as they fill.
    """
    given = set(ray.get_runtime_context().get_accelerator_ids()["GPU"])
    seen = os.environ.setdefault("PLAYED_CUDA", os.environ.get("CUDA_VISIBLE_DEVICES", "0,1"))
    place = int(given_device().removeprefix("cuda:"))
    (meeting / str(number)).touch()
    until = time.monotonic() + 30
    while len(list(meeting.iterdir())) < size and time.monotonic() < until:
        time.sleep(0.01)
    return os.getpid(), given, seen.split(",")[place]


@pytest.fixture(params=[None, "GPU-aa,GPU-bb"], ids=["all", "named"])
def two_devices(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A node of two GPUs that nobody looks for."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if request.param is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", request.param)
    ray.init(address="local", num_cpus=4, num_gpus=2, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.mark.timeout(120)
def test_every_task_computes_on_the_device_that_ray_gave_it(
    two_devices: None, tmp_path: Path
) -> None:
    for gpus, size in ((1, 2), (0.5, 4)):
        told = []
        for place in range(0, 24, size):
            meeting = tmp_path / f"{gpus}-{place}"
            meeting.mkdir()
            handles = [
                RAY.submit(
                    where_it_computes, n, meeting, size, name=f"task-{n}", cpus=0.5, gpus=gpus
                )
                for n in range(place, place + size)
            ]
            told += [RAY.result(handle) for handle in handles]
        assert [given for _, given, _ in told] == [{used} for _, _, used in told]
        # Both devices were used, and by processes that had used the other one before.
        assert len({used for _, _, used in told}) == 2
        assert len({process for process, _, _ in told}) < 24


@pytest.mark.parametrize(
    ("given", "visible", "place"),
    [
        (["0"], None, 0),
        (["3"], None, 3),
        (["1"], "", 1),
        (["5"], "4,5", 1),
        (["5", "4"], "4,5", 0),
        (["GPU-bb"], "GPU-aa, GPU-bb", 1),
        # Ray itself names one device alone to a process whose list it may write.
        (["5"], "5", 0),
    ],
)
def test_devices_are_addressed_by_their_place_in_the_list(given, visible, place) -> None:
    assert place_of(given, visible) == place


@pytest.mark.parametrize(("given", "visible"), [([], None), (["2"], "0,1"), (["GPU-aa"], None)])
def test_a_process_that_has_no_such_device_says_so(given, visible) -> None:
    with pytest.raises(PracError, match="device") as raised:
        place_of(given, visible)
    assert "\n" not in str(raised.value)
