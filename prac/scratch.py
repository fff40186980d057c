"""Folders of one process, whose names say whose they are: a killed one's are known."""

from __future__ import annotations

import os
import re
import tempfile
from functools import cache
from pathlib import Path

SHORT_PLACES = ("/tmp", "/var/tmp")
"""Temporary folders with short paths, for what can't lie under a long TMPDIR."""

_OWNER = r"(?P<home>[0-9a-f]{8}\.\d+)\.(?P<process>\d+)\.(?P<start>\d+)"
_NAME = re.compile(rf"prac-{_OWNER}-\w+")
_SHORT = re.compile(r"prac-\w{8}")
_NOTE = re.compile(rf"\.{_OWNER}")


def scratch_folder() -> tempfile.TemporaryDirectory[str]:
    """A new folder that goes with its context, or with this process."""
    owner = _owner()
    return tempfile.TemporaryDirectory(prefix=f"prac-{owner}-" if owner else "prac-")


def short_folder(parent: str) -> str:
    """A new folder with a name of 13 characters, where longer ones have no room: whose it is says
    the name of a file in it. The caller removes it. Raises OSError."""
    folder = tempfile.mkdtemp(prefix="prac-", dir=parent)
    try:
        if owner := _owner():
            Path(folder, f".{owner}").touch()
    except OSError:
        os.rmdir(folder)
        raise
    return folder


def abandoned_folders() -> list[Path]:
    """Those whose process is gone for sure: of this user, this boot of this machine, and among
    those that this one could see. Where a system doesn't tell when a process began, none."""
    places = {Path(place).absolute() for place in (tempfile.gettempdir(), *SHORT_PLACES)}
    return sorted(p for place in places for p in place.glob("prac-*") if is_abandoned(p))


def is_abandoned(folder: Path) -> bool:
    """Whether its process is gone for sure."""
    try:
        ours = folder.lstat().st_uid == os.geteuid()
        if not ours or folder.is_symlink() or not folder.is_dir():
            return False
        named = _NAME.fullmatch(folder.name)
        if named is None and _SHORT.fullmatch(folder.name):
            noted = (_NOTE.fullmatch(file.name) for file in folder.glob(".*"))
            named = next((note for note in noted if note), None)
    except OSError:
        return False
    if named is None or not _home() or named["home"] != _home():
        return False
    # A number may be another process's by now; when that began tells them apart.
    return _start(int(named["process"])) != int(named["start"])


def _owner() -> str:
    """This process, in a name; empty where the system doesn't tell enough."""
    process = os.getpid()
    start, home = _start(process), _home()
    return f"{home}.{process}.{start}" if home and start else ""


@cache
def _home() -> str:
    """This boot of this machine, and the processes that are seen here; empty if nothing tells."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().replace("-", "")[:8]
        seen = re.sub(r"\D", "", os.readlink("/proc/self/ns/pid"))
    except OSError:
        return ""
    return f"{boot}.{seen}"


def _start(process: int) -> int | None:
    """When a process began, in the clock ticks of this boot; None where there is none."""
    try:
        # What stands in parentheses is the program's name, which may hold anything.
        after = Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(")")[2]
        state, *numbers = after.split()
        return None if state in "ZX" else int(numbers[18])
    except (OSError, ValueError, IndexError):
        return None
