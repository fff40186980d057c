"""How a command ends: a line of JSON, or one line of error and a status."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import select
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any

from prac.app.console import say
from prac.errors import (
    ConfigError,
    OutsideError,
    PracError,
    first_line,
    lacks,
    shown,
    without_passwords,
)
from prac.machine import reach_loopback_directly

_NO_PATH = {errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR}
"""What no path on this machine can be: somebody named it."""
_LONGEST = 8000
_READER_GONE = 141
"""The status that a shell gives a program which SIGPIPE ended."""


def guarded(action: Callable[[], dict[str, Any] | None], words: Sequence[str] = ()) -> int:
    """Run something; whatever it raises ends in one line on stderr and an exit status.

    words: of the command line that asks for it.
    What the action returns is printed as one line of JSON, the last. The whole text of what was
    foreseen by nobody, and of what services and machines failed with, goes to a file that the line
    names.
    """
    _never_fail_to_print()
    reach_loopback_directly()
    try:
        with _stopped_by_signals():
            _refuse_null_bytes(words)
            result = action()
        if result:
            say(json.dumps(result))
        sys.stdout.flush()
    except PracError as error:
        kept = f" ({_keep(error)})" if isinstance(error, OutsideError) else ""
        return _end(f"{' '.join(str(error).split())}{kept}", error.exit_status)
    except KeyboardInterrupt:
        kept = "finished stages are kept, the same command goes on from there"
        return _end(f"interrupted; {kept}", 130)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and (error.name or "").startswith("prac."):
            return _end(lacks(str(error.name).replace(".", "/")), 1)
        if isinstance(error, BrokenPipeError) and _reader_is_gone():
            return _READER_GONE
        if isinstance(error, OSError) and error.errno in _NO_PATH and error.filename is not None:
            return _end(f"{str(error.filename)[:200]}: {error.strerror}", ConfigError.exit_status)
        kind = "" if isinstance(error, OSError) else f"{type(error).__name__}: "
        return _end(f"{kind}{first_line(error)} ({_keep(error)})", 1)
    return 0


def _refuse_null_bytes(words: Sequence[str]) -> None:
    """No shell passes any, but a program does: paths, names and addresses have none."""
    for before, word in zip(("", *words), words, strict=False):
        if "\0" in word:
            option = f"{before} " if before.startswith("-") else ""
            raise ConfigError(f"{option}{word[:200]!r} is not allowed: it has a null byte")


def _end(line: str, status: int) -> int:
    # Who hung up, or closed the other end, has not to be told.
    with contextlib.suppress(OSError):
        say(f"error: {shown(line[:_LONGEST])}", error=True)
    return status


def _keep(error: BaseException) -> str:
    """Write an error with all its causes to a file that only this user reads; where it is."""
    text = without_passwords("".join(traceback.format_exception(error)))
    for find in (tempfile.gettempdir, os.getcwd, lambda: os.path.expanduser("~")):
        try:
            number, name = tempfile.mkstemp(prefix="prac-error-", suffix=".txt", dir=find())
        except OSError:
            continue  # not there, or not ours
        try:
            with open(number, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
        except OSError:
            os.unlink(name)  # full: another may have room
            continue
        return f"the whole text: {name}"
    return "no folder has room for the whole text"


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """SIGTERM and a terminal that hangs up stop as Ctrl-C does."""
    # Off the main thread Python allows no handler, and nobody would interrupt it there.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # `nohup` has a program ignore that its terminal hangs up, and it goes on doing so.
    stops = (s for s in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(s) != signal.SIG_IGN)
    previous = {number: signal.signal(number, _interrupt) for number in stops}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _never_fail_to_print() -> None:
    """A character that the terminal's encoding lacks is told by its number."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _reader_is_gone() -> bool:
    """Whether nobody reads standard output any more, as behind `| head`; it is let go then, or the
    interpreter would complain at its end."""
    with contextlib.suppress(OSError, ValueError):  # it may be no file at all
        asked = select.poll()
        asked.register(sys.stdout.fileno(), 0)
        if any(event & (select.POLLERR | select.POLLHUP) for _, event in asked.poll(0)):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return True
    return False
