"""Number formats: bf16 autocast where the device has it, fp32 on request."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from prac.config.sections import Precision
from prac.errors import ConfigError
from prac.training.processor import cpu_precision


def pick_device(name: str = "auto") -> torch.device:
    """`auto` takes an accelerator that is there, else the CPU. Raises ConfigError."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError(f"device {name!r} is not on this machine; allowed here: cpu")
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"device {name!r} is not known; known: auto, cpu, cuda") from error


def resolve_precision(requested: Precision, device: torch.device) -> Precision:
    """`bf16` or `fp32` for `auto`: bf16 where the device computes in it rather than emulates it."""
    if requested != "auto":
        return requested
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return cpu_precision()


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """The context in which a forward pass runs."""
    if precision == "bf16":
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()
