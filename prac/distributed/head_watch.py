"""A cluster that loses what a run needs: said in a line, before Ray ends the process itself."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from prac.errors import OutsideError
from prac.machine import knock

_ENDED = (
    "error: this run was killed, or Ray ended it because a part of the cluster on this machine was "
    "(short of memory?); finished stages are kept, the same command goes on from there"
)
_ASKED = 1.0
"""Seconds for one answer: several are missed before the least patience is over."""
_RAYS_NAME = "RAY_gcs_rpc_server_reconnect_timeout_s"


@dataclass(frozen=True)
class Part:
    """What a run can't do without. name: in words. address: `HOST:PORT`, where it takes
    connections. patience: seconds without an answer until it is given up, where nobody listens at
    the address any more; one who listens and is too busy to answer has Ray's own. way_out: what
    then."""

    name: str
    address: str
    patience: float
    way_out: str


@dataclass
class Watch:
    """lost: whether a part has not answered for so long that it was given up."""

    lost: bool = False


def ray_patience() -> float:
    """Seconds after which Ray ends every process that finds no head, with a dump of its state."""
    try:
        return float(os.environ.get(_RAYS_NAME, "60"))
    except ValueError:
        return 60.0


def far_patience() -> float:
    """With what may be busy, or behind a network: until shortly before Ray ends this process."""
    return ray_patience() * 0.75


@contextmanager
def watched(*parts: Part, pause: float = 1.0) -> Iterator[Watch]:
    """Have what the main thread does end with an OutsideError where a part takes no connection for
    as long as its patience.

    Whatever Ray is doing then, it lets signals through: it comes as SIGUSR1. Off the main thread
    nothing is watched.
    """
    watch = Watch()
    if not parts or threading.current_thread() is not threading.main_thread():
        yield watch
        return
    over = threading.Event()
    told: list[OutsideError] = []

    def give_up(*_: object) -> None:
        if told:
            raise told[0]

    def look() -> None:
        if (part := _first_lost(parts, over, pause)) is not None:
            told.append(_error(part))
            watch.lost = True
            signal.pthread_kill(main, signal.SIGUSR1)

    main = threading.get_ident()
    previous = signal.signal(signal.SIGUSR1, give_up)
    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        with _last_words():
            yield watch
    except BaseException as error:
        if told and error is not told[0]:
            # Ray's compiled functions wrap what a handler raises.
            raise told[0] from error
        raise
    finally:
        over.set()
        thread.join()
        signal.signal(signal.SIGUSR1, previous)


@contextmanager
def _last_words() -> Iterator[None]:
    """Have a shell tell it where this process ends in the middle. Ray ends it without a word at the
    moment in which a raylet takes its leave, and so does a machine that is short of memory."""
    teller = 'trap "" INT HUP TERM; read -r over || printf "%s\\n" "$0" >&2'
    with subprocess.Popen(["/bin/sh", "-c", teller, _ENDED], stdin=subprocess.PIPE, bufsize=0) as p:
        assert p.stdin is not None
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                p.stdin.write(b"over\n")


def _first_lost(parts: Sequence[Part], over: threading.Event, pause: float) -> Part | None:
    answered = dict.fromkeys(parts, time.monotonic())
    missed = dict.fromkeys(parts, 0)
    while not over.wait(pause):
        for part in parts:
            patience = _without_answer(part)
            missed[part] = 0 if patience is None else missed[part] + 1
            if patience is None:
                answered[part] = time.monotonic()
            # This process may have been at rest itself: once is not enough.
            elif missed[part] > 1 and time.monotonic() - answered[part] > patience:
                return replace(part, patience=patience)
    return None


def _without_answer(part: Part) -> float | None:
    """How long to be patient with a part that gives none now; None: it does."""
    host, _, port = part.address.rpartition(":")
    try:
        knock(host.strip("[]"), int(port), seconds=_ASKED)
    except TimeoutError:
        return max(part.patience, far_patience())
    except OSError:
        return part.patience
    return None


def _error(part: Part) -> OutsideError:
    return OutsideError(
        f"the {part.name} at {part.address} was lost: no answer for {part.patience:.0f} s; "
        f"finished stages are kept, {part.way_out}"
    )
