"""How numbers are computed: bf16 autocast where the device has it, fp32 and TF32 on request."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from prac.config.sections import Precision
from prac.errors import ConfigError
from prac.training.processor import cpu_precision


def pick_device(name: str = "auto") -> torch.device:
    """`auto` takes an accelerator that is there, else the CPU. Raises ConfigError."""
    name = str(name)  # a torch.device is as good
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError(f"device {name!r} is not on this machine; allowed here: cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise ConfigError(f"device {name!r} is not known; known: auto, cpu, cuda, cuda:N")
    if device.type == "cuda" and (device.index or 0) >= (there := torch.cuda.device_count()):
        raise ConfigError(
            f"device {name!r} is not on this machine; allowed here: cuda:0 to cuda:{there - 1}"
        )
    return device


def resolve_precision(requested: Precision, device: torch.device) -> Precision:
    """`bf16` or `fp32` for `auto`: bf16 where the device computes in it rather than emulates it.
    Raises ConfigError for one that the device doesn't have."""
    if requested == "tf32" and device.type != "cuda":
        raise ConfigError(
            "train.precision tf32 is of NVIDIA's GPUs; allowed on a CPU: auto, fp32, bf16"
        )
    if requested != "auto":
        return requested
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return cpu_precision()


@contextmanager
def autocast(device: torch.device, precision: Precision) -> Iterator[None]:
    """The context in which a forward pass runs."""
    with float32(device, precision):
        if precision != "bf16":
            yield
            return
        with torch.autocast(device.type, torch.bfloat16):
            yield


@contextmanager
def float32(device: torch.device, precision: Precision) -> Iterator[None]:
    """Have float32 products computed in float32, unless the precision is `tf32`.

    Left alone, cuDNN rounds what convolutions are given to TF32's 10 bits of mantissa. Backward
    passes need it as forward passes do. What the process computed by is put back afterwards.
    """
    if device.type != "cuda":
        yield
        return
    backends: Any = torch.backends
    products = (backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn)
    before = [each.fp32_precision for each in products]
    try:
        for each in products:
            each.fp32_precision = "tf32" if precision == "tf32" else "ieee"
        yield
    finally:
        for each, was in zip(products, before, strict=True):
            each.fp32_precision = was


def use_deterministic(on: bool) -> None:
    """Have this process compute by algorithms that find the same bits in every run on the same
    device, and raise RuntimeError where there is none; or by the fastest.

    cuBLAS reads its part of it from the environment, at its first use.
    """
    if on:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(on)
