"""What this machine's processor is called and can compute, known without torch."""

from __future__ import annotations

import contextlib
import platform
from pathlib import Path
from typing import Literal

# torch takes a second to import: plans, replays and checks of names do without.

_LINUX = Path("/proc/cpuinfo")


def processor_name() -> str:
    """Its maker's name for it, or what kind it is."""
    with contextlib.suppress(OSError):
        for line in _LINUX.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def cpu_precision() -> Literal["bf16", "fp32"]:
    """`bf16` where the processor computes in it rather than emulates it."""
    return "bf16" if _computes_bf16() else "fp32"


def _computes_bf16() -> bool:
    try:
        # Linux leaves out what it doesn't support itself, as torch's own answer does.
        return "avx512_bf16" in _LINUX.read_text().split()
    except OSError:
        return _torch_says()


def _torch_says() -> bool:
    import torch

    # Torch 2.10 has no public answer; the plain format is right everywhere.
    ask = getattr(torch.cpu, "get_capabilities", None)
    return ask is not None and bool(ask().get("avx512_bf16", False))
