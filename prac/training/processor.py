"""What this machine's processor can compute, known without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

_LINUX = Path("/proc/cpuinfo")


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

    capabilities = getattr(torch.cpu, "get_capabilities", None)  # torch 2.11 and newer
    if capabilities is not None:
        return bool(capabilities().get("avx512_bf16", False))
    return bool(torch.cpu._is_avx512_bf16_supported())
