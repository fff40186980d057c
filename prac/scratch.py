"""Folders of one process, whose names say whose they are: a killed one's are known."""

from __future__ import annotations

import os
import re
import tempfile
from functools import cache
from pathlib import Path

_NAME = re.compile(r"prac-(?P<home>[0-9a-f]{8}\.\d+)\.(?P<process>\d+)\.(?P<start>\d+)-\w+")


def scratch_folder() -> tempfile.TemporaryDirectory[str]:
    """A new folder that goes with its context, or with this process."""
    process = os.getpid()
    start = _start(process)
    home = _home()
    owner = f"{home}.{process}.{start}-" if home and start else ""
    return tempfile.TemporaryDirectory(prefix=f"prac-{owner}")


def abandoned_folders() -> list[Path]:
    """Those whose process is gone for sure: of this user, this boot of this machine, and among
    those that this one could see. Where a system doesn't tell when a process began, none."""
    return sorted(p for p in Path(tempfile.gettempdir()).glob("prac-*") if is_abandoned(p))


def is_abandoned(folder: Path) -> bool:
    """Whether its process is gone for sure."""
    named = _NAME.fullmatch(folder.name)
    if named is None or not _home() or named["home"] != _home():
        return False
    try:
        ours = folder.lstat().st_uid == os.geteuid()
    except OSError:
        return False
    # A number may be another process's by now; when that began tells them apart.
    gone = _start(int(named["process"])) != int(named["start"])
    return ours and gone and folder.is_dir() and not folder.is_symlink()


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
