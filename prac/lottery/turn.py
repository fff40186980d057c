"""Searches and judgements of one process, one at a time: torch has one state for all of them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import torch

from prac.errors import ConfigError

_TURN = threading.RLock()


@contextlib.contextmanager
def turn(threads: int | None) -> Iterator[None]:
    """Wait for one's turn, then have this many threads; None leaves torch its own.

    The caller's own work has afterwards the threads that it had. Raises ConfigError.
    """
    if threads is not None and not (type(threads) is int and threads >= 1):
        raise ConfigError(f"threads {threads!r} is not allowed; allowed: 1 or more, or none")
    with _TURN:
        before = torch.get_num_threads()
        try:
            if threads is not None:
                torch.set_num_threads(threads)
            yield
        finally:
            torch.set_num_threads(before)
