"""What a cluster of our own writes: its token and its session, for this user's eyes alone."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

from prac.errors import ConfigError
from prac.scratch import SHORT_PLACES, abandoned_folders, short_folder

_LONGEST_SOCKET = len("/ray/session_2026-11-27_15-04-32_123456_1234567/sockets/dash_UsageStatsHead")
_LIMIT = 107
"""Bytes in the path of a socket."""


@contextlib.contextmanager
def session_folder() -> Iterator[str]:
    """A folder for Ray's sessions, removed at the end. Raises ConfigError.

    Ray opens its own folders to everybody, so this one lies in one that is closed; and where the
    path of the temporary folder leaves no room for the names of sockets, that is in another. Those
    of runs that were killed go first. Ray's processes look there, too, for the cluster they are of:
    in the folder that all share they would find another, or one that is long gone.
    """
    known = [tempfile.gettempdir(), *SHORT_PLACES]
    for left in abandoned_folders():
        if (left / "ray").is_dir():
            shutil.rmtree(left, ignore_errors=True)
    room = _LIMIT - _LONGEST_SOCKET - len("/prac-12345678")
    for folder in (folder for folder in known if len(os.fsencode(folder)) <= room):
        with contextlib.suppress(OSError):
            closed = short_folder(folder)
            break
    else:
        raise ConfigError(
            f"Ray needs a temporary folder that can be written and has a path of {room} bytes at "
            f"most, and none of {', '.join(known)} is one; set TMPDIR to another"
        )
    before = {name: os.environ.pop(name, None) for name in ("RAY_TMPDIR", "RAY_ADDRESS")}
    os.environ["RAY_TMPDIR"] = closed
    try:
        yield os.path.join(closed, "ray")
    finally:
        del os.environ["RAY_TMPDIR"]
        os.environ |= {name: value for name, value in before.items() if value is not None}
        shutil.rmtree(closed, ignore_errors=True)


def end_session(session: str) -> None:
    """Kill what is left of a cluster that this process started there, which lost a part: the rest
    would look for it for minutes."""
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if any(session in word for word in child.cmdline()):
                for process in (child, *child.children(recursive=True)):
                    with contextlib.suppress(psutil.Error):
                        process.kill()


def session_logs(session: str, lines: int = 20) -> str:
    """The ends of what Ray's processes wrote, for who has to find out why they don't start."""
    said = []
    for file in sorted(Path(session).glob("session_*/logs/*")):
        with contextlib.suppress(OSError):
            if file.is_file() and (text := file.read_text(errors="replace").strip()):
                said.append(f"--- {file.name}\n" + "\n".join(text.splitlines()[-lines:]))
    return "\n".join(said)


def private_token() -> None:
    """Have Ray ask every client for a token that no other user can read.

    Ray makes it for everybody to read. It is in the home folder; where nothing can be written there
    it is one of this run's own, in the environment.
    """
    if {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys():
        return
    token = secrets.token_hex(32)
    try:
        file = Path.home() / ".ray" / "auth_token"
        if not file.is_file():
            _make(file, token)
        if file.stat().st_mode & 0o077:
            file.chmod(0o600)
    except (OSError, RuntimeError):  # or there is no home at all
        os.environ["RAY_AUTH_TOKEN"] = token


def _make(file: Path, token: str) -> None:
    """Write it whole or not at all; who was first keeps his."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    number, made = tempfile.mkstemp(dir=file.parent)
    try:
        with open(number, "w") as out:
            out.write(token)
        with contextlib.suppress(FileExistsError):
            os.link(made, file)
    finally:
        os.unlink(made)
