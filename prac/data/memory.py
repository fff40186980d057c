"""Memory is asked for before it is taken: a run that is killed says nothing."""

from __future__ import annotations

from pathlib import Path

from prac.errors import ConfigError


def free_memory() -> int | None:
    """Bytes that can be had, of the machine and of the container; None where nobody says."""
    found = []
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        found += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")]
        group = Path("/sys/fs/cgroup")
        limit = (group / "memory.max").read_text().strip()
        used = int((group / "memory.current").read_text())
        found += [int(limit) - used] if limit.isdigit() else []
    except (OSError, ValueError, IndexError):
        pass  # another system, or an older kernel: what is known so far
    return min(found, default=None)


def refuse_larger_than_memory(count: int, shape: tuple[int, int, int], source: str) -> None:
    """Raise ConfigError where `count` images of (H, W, C) bytes are more than can be had."""
    height, width, channels = shape
    needed, free = count * height * width * channels, free_memory()
    if free is not None and needed > free:
        raise ConfigError(
            f"{source}: {count} images of {width}x{height}x{channels} take {needed / 1e9:.1f} GB "
            f"and {free / 1e9:.1f} GB of memory are free; allowed: a smaller data.image_size"
        )
