"""A head that is lost ends what the main thread does; one that answers ends nothing."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from prac.distributed.head_watch import Part, ray_patience, watched
from prac.errors import OutsideError


@pytest.fixture
def head() -> Iterator[socket.socket]:
    """Something that takes connections."""
    with socket.socket() as there:
        there.bind(("127.0.0.1", 0))
        there.listen(1000)
        yield there


def _part(there: socket.socket, patience: float) -> Part:
    address = f"127.0.0.1:{there.getsockname()[1]}"
    return Part("head of the Ray cluster", address, patience, "start again")


def test_a_lost_head_ends_the_work_in_a_line(head: socket.socket) -> None:
    before = signal.getsignal(signal.SIGUSR1)
    seen = []

    def work() -> None:
        with watched(_part(head, 0.3), pause=0.05) as watch:
            time.sleep(0.5)
            seen.append(watch.lost)
            head.close()
            time.sleep(60)

    with pytest.raises(OutsideError, match=r"head of the Ray cluster at .* was lost") as raised:
        work()
    assert seen == [False]
    assert len(str(raised.value).splitlines()) == 1
    assert signal.getsignal(signal.SIGUSR1) == before


def test_any_part_that_is_lost_is_told(head: socket.socket) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen(1000)
        parts = [_part(head, 60), replace(_part(other, 0.2), name="raylet", way_out="look")]

        def work() -> None:
            with watched(*parts, pause=0.05):
                other.close()
                time.sleep(60)

        said = f"the raylet at {parts[1].address} was lost: .* finished stages are kept, look"
        with pytest.raises(OutsideError, match=said):
            work()


def test_a_part_too_busy_to_answer_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """One connection waits to be taken and no other has room: the machine is busy, nobody ended."""
    monkeypatch.setattr("prac.distributed.head_watch._ASKED", 0.1)
    with socket.socket() as busy, socket.socket() as first:
        busy.bind(("127.0.0.1", 0))
        busy.listen(0)
        first.connect(busy.getsockname())
        with watched(_part(busy, 0.2), pause=0.05) as watch:
            time.sleep(1.5)
            assert not watch.lost
        monkeypatch.setenv("RAY_gcs_rpc_server_reconnect_timeout_s", "1")

        def work() -> None:
            with watched(_part(busy, 0.2), pause=0.05):
                time.sleep(60)

        with pytest.raises(OutsideError, match="no answer for 1 s"):
            work()


def test_one_answer_that_is_missed_after_a_rest_is_none(
    head: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that slept longer than its patience asks twice."""
    answers = iter([None, 0.0, None])
    monkeypatch.setattr(
        "prac.distributed.head_watch._without_answer", lambda part: next(answers, None)
    )
    with watched(_part(head, 0.0), pause=0.05) as watch:
        time.sleep(0.5)
        assert not watch.lost


def test_what_ray_makes_of_it_is_told_the_same(head: socket.socket) -> None:
    """Its compiled functions wrap what is raised in them."""
    part = _part(head, 0.1)
    head.close()

    def work() -> None:
        with watched(part, pause=0.05):
            try:
                time.sleep(60)
            except OutsideError as error:
                raise SystemError("returned a result with an exception set") from error

    with pytest.raises(OutsideError, match="was lost"):
        work()


def test_a_head_that_is_back_in_time_is_not_lost(head: socket.socket) -> None:
    port = head.getsockname()[1]
    with watched(_part(head, 5), pause=0.05) as seen:
        head.close()
        time.sleep(0.5)
        with socket.socket() as again:
            again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            again.bind(("127.0.0.1", port))
            again.listen(1000)
            time.sleep(0.5)
    assert not seen.lost


def test_nothing_goes_on_behind_it(head: socket.socket) -> None:
    threads = threading.active_count()
    with watched(_part(head, 1), pause=0.05):
        pass
    assert threading.active_count() == threads


def test_off_the_main_thread_it_lets_be(head: socket.socket) -> None:
    ended = []

    def work() -> None:
        with watched(_part(head, 0.1), pause=0.05):
            ended.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ended == [True]


def test_it_gives_up_before_ray_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_gcs_rpc_server_reconnect_timeout_s", raising=False)
    assert ray_patience() == 60
    monkeypatch.setenv("RAY_gcs_rpc_server_reconnect_timeout_s", "300")
    assert ray_patience() == 300


ENDED = """
import os, signal, sys
from prac.distributed.head_watch import Part, watched
with watched(Part("head", sys.argv[1], 60, "")):
    print("at work", flush=True)
    exec(sys.argv[2])
"""


@pytest.mark.parametrize(
    ("end", "status", "lines"),
    [
        ("os._exit(1)", 1, 1),  # as Ray does
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL, 1),
        ("sys.exit(3)", 3, 0),
        ("pass", 0, 0),
    ],
)
def test_a_process_that_is_ended_in_the_middle_is_told_of(
    end: str, status: int, lines: int, head: socket.socket
) -> None:
    words = [sys.executable, "-c", ENDED, _part(head, 60).address, end]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.stdout == "at work\n"
    assert done.returncode == status
    said = done.stderr.splitlines()
    assert len(said) == lines, said
    assert all("finished stages are kept" in line for line in said)
