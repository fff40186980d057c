"""A cluster whose head is lost in mid-run: said in a line, before Ray ends the process itself."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from prac.errors import OutsideError
from prac.machine import knock

_RAYS_NAME = "RAY_gcs_rpc_server_reconnect_timeout_s"


@dataclass
class Head:
    """A cluster's head. lost: whether it has not answered for so long that it was given up."""

    lost: bool = False


def ray_patience() -> float:
    """Seconds after which Ray ends every process that finds no head, with a dump of its state."""
    try:
        return float(os.environ.get(_RAYS_NAME, "60"))
    except ValueError:
        return 60.0


@contextmanager
def watched(
    address: str | None, *, patience: float | None = None, pause: float = 5.0
) -> Iterator[Head]:
    """Have what the main thread does end with an OutsideError where the head at `HOST:PORT` takes
    no connection for a while, three quarters of Ray's own patience.

    address: None watches nothing. Whatever Ray is doing then, it lets signals through: it comes as
    SIGUSR1.
    """
    head = Head()
    if address is None or threading.current_thread() is not threading.main_thread():
        yield head
        return
    host, _, port = address.rpartition(":")
    wait = ray_patience() * 0.75 if patience is None else patience
    over = threading.Event()

    told = OutsideError(
        f"the head of the Ray cluster at {address} was lost: no answer for {wait:.0f} s; finished "
        "stages are kept, the same command goes on from there once it is back"
    )

    def give_up(*_: object) -> None:
        if head.lost:
            raise told

    def watch() -> None:
        answered = time.monotonic()
        while not over.wait(pause):
            try:
                knock(host.strip("[]"), int(port), seconds=pause)
                answered = time.monotonic()
            except OSError:
                if time.monotonic() - answered > wait:
                    head.lost = True
                    signal.pthread_kill(main, signal.SIGUSR1)
                    return

    main = threading.get_ident()
    previous = signal.signal(signal.SIGUSR1, give_up)
    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield head
    except BaseException as error:
        if head.lost and error is not told:
            # Ray's compiled functions wrap what a handler raises.
            raise told from error
        raise
    finally:
        over.set()
        thread.join()
        signal.signal(signal.SIGUSR1, previous)
