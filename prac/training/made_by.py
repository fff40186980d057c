"""What made a result: versions, commit, machine, threads. In no key: told beside it."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from prac.training.processor import processor_name

# torch takes a second to import: stages that move tables and bytes do without.
if TYPE_CHECKING:
    import torch

MadeBy = Mapping[str, str]
"""By name: packages, `python`, `commit`, `processor`; of what computes `device`, `threads`,
`precision` and, where they were asked for, `algorithms`. Empty where nothing was noted, as by
earlier versions."""

NOT_NOTED = "not noted"
_PACKAGES = ("prac", "torch", "torchvision", "numpy", "pyarrow", "ray", "mlflow")


def process_made_by() -> dict[str, str]:
    """Of this process, whatever it does."""
    return dict(_process())


def computed_by(device: torch.device, precision: str = "") -> dict[str, str]:
    """Of this process where it computes with a network."""
    import torch

    told = str(device)
    if device.type == "cuda":
        told = f"{torch.cuda.get_device_name(device)}, CUDA {torch.version.cuda}"
    known = {"device": told, "threads": str(torch.get_num_threads())}
    if torch.are_deterministic_algorithms_enabled():
        known["algorithms"] = "deterministic"
    return {**_process(), **known, **({"precision": precision} if precision else {})}


def together(*parts: MadeBy) -> dict[str, str]:
    """What made several things, or one thing in several attempts: different answers with `and`."""
    names = dict.fromkeys(name for part in parts for name in part)
    return {
        name: " and ".join(
            dict.fromkeys(
                answer
                for part in parts
                if name in part or not part
                for answer in part.get(name, NOT_NOTED).split(" and ")
            )
        )
        for name in names
    }


@functools.cache
def _process() -> MadeBy:
    known = {}
    for name in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            known[name] = importlib.metadata.version(name)
    known |= {"python": platform.python_version(), "processor": processor_name()}
    commit = _commit(Path(__file__).parents[2])
    return {**known, **({"commit": commit} if commit else {})}


def _commit(clone: Path) -> str:
    """Of the clone that the code runs from, `-dirty` where that was changed; empty elsewhere."""
    if not (clone / ".git").exists():
        return ""
    describe = ("git", "-C", str(clone), "describe", "--always", "--dirty", "--abbrev=40")
    try:
        ran = subprocess.run(
            [*describe, "--exclude=*"], capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return ran.stdout.strip()
