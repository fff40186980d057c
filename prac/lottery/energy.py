"""Energy that a stage used, where the machine tells it: RAPL for processors, NVML for GPUs.

Counters are of a whole machine. A stage is charged the share of the processors that it was given,
so that stages side by side are not charged for each other, and the GPUs it may use, by its fraction
of them. What nobody was given is charged to nobody.
"""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

POWERCAP = Path("/sys/class/powercap")
NOT_MEASURED = "not measured"


@dataclass(frozen=True, kw_only=True)
class Energy:
    """What a stage used. joules: None where nothing told it; source: what did, or why nothing."""

    joules: float | None
    source: str


class RaplCounter:
    """The packages' and memories' energy counters of Linux, in microjoules, which wrap around."""

    def __init__(self, folder: Path = POWERCAP) -> None:
        self._zones = [zone for zone in _zones(folder) if _read(zone / "energy_uj") is not None]
        self.reason = "" if self._zones else _why_not(folder)

    def read(self) -> list[tuple[int, int]] | None:
        """For each zone its counter and the value at which it wraps, microjoules.

        None where one of them doesn't answer.
        """
        values = [
            (value, _read(zone / "max_energy_range_uj") or 0)
            for zone in self._zones
            if (value := _read(zone / "energy_uj")) is not None
        ]
        return values if len(values) == len(self._zones) else None

    @staticmethod
    def joules(before: list[tuple[int, int]], after: list[tuple[int, int]]) -> float:
        """Between two readings; a counter that went down has wrapped once."""
        used = 0
        for (start, limit), (end, _) in zip(before, after, strict=True):
            used += end - start if end >= start else end - start + limit
        return used / 1e6


class NvmlCounter:
    """The GPUs' energy counters since the driver was loaded, in millijoules, through NVML.

    library: NVIDIA's module `pynvml`, or what plays it. environ: names the GPUs in
    CUDA_VISIBLE_DEVICES, as CUDA reads it: indexes or UUIDs; without it all are read. A slice of a
    GPU (MIG) has no counter of its own.
    """

    def __init__(self, library: Any = None, environ: Mapping[str, str] = os.environ) -> None:
        self._handles: list[Any] = []
        try:
            self._library = library if library is not None else importlib.import_module("pynvml")
        except ImportError:
            self.reason = "nvidia-ml-py is not installed"
            return
        try:
            self._library.nvmlInit()
            visible = self._visible(environ)
        except self._library.NVMLError as error:
            missing = error.value == self._library.NVML_ERROR_LIBRARY_NOT_FOUND
            self.reason = "no NVIDIA GPU library here" if missing else f"NVML says: {error}"
            return
        self._handles = [handle for handle in visible if self._millijoules(handle) is not None]
        self.reason = "" if self._handles else "the GPU has no energy counter"

    def _visible(self, environ: Mapping[str, str]) -> list[Any]:
        """Handles of the GPUs this process may use: all, or those that the environment names."""
        named = environ.get("CUDA_VISIBLE_DEVICES")
        if named is None:
            names = [str(index) for index in range(self._library.nvmlDeviceGetCount())]
        else:
            names = [name.strip() for name in named.split(",")]
        handles = []
        for name in names:
            with contextlib.suppress(self._library.NVMLError):
                handles.append(
                    self._library.nvmlDeviceGetHandleByIndex(int(name))
                    if name.isdecimal()
                    else self._library.nvmlDeviceGetHandleByUUID(name)
                )
        return handles

    def _millijoules(self, handle: Any) -> int | None:
        try:
            return int(self._library.nvmlDeviceGetTotalEnergyConsumption(handle))
        except self._library.NVMLError:
            return None

    def read(self) -> list[int] | None:
        """Each GPU's counter; None where one of them doesn't answer."""
        values = [v for h in self._handles if (v := self._millijoules(h)) is not None]
        return values if len(values) == len(self._handles) else None

    @staticmethod
    def joules(before: list[int], after: list[int]) -> float:
        """Between two readings."""
        return sum(end - start for start, end in zip(before, after, strict=True)) / 1e3


class EnergyMeter:
    """Measures from its making on.

    cpu_share: the share of this machine's processors that is charged, in [0, 1].
    gpu_share: the share of each visible GPU; 0 charges none.
    """

    def __init__(
        self,
        *,
        cpu_share: float,
        gpu_share: float = 0.0,
        rapl: RaplCounter | None = None,
        nvml: Callable[[], NvmlCounter] = NvmlCounter,
    ) -> None:
        counters: list[tuple[str, str, float, Any]] = [
            ("processors", "RAPL", cpu_share, rapl if rapl is not None else RaplCounter())
        ]
        if gpu_share > 0:
            # Asked for only where a GPU is used: loading the driver's library takes a while.
            counters.append(("GPU", "NVML", gpu_share, nvml()))
        self._counters = counters
        self._last = [counter.read() for _, _, _, counter in counters]
        self._joules = [0.0] * len(counters)
        self._gone = [False] * len(counters)

    def used(self) -> Energy:
        """What was used since the making. May be asked again and again: counters that are read
        often enough wrap around once at most in between."""
        joules, told, missing = 0.0, [], []
        for place, (what, source, share, counter) in enumerate(self._counters):
            before, after = self._last[place], counter.read()
            self._last[place] = after
            if counter.reason or before is None or after is None:
                self._gone[place] = True
            else:
                self._joules[place] += min(1.0, share) * counter.joules(before, after)
            if self._gone[place]:
                reason = counter.reason or "a counter stopped answering"
                missing.append(f"{what} {NOT_MEASURED}: {reason}")
            else:
                joules += self._joules[place]
                told.append(source)
        source = "; ".join([" and ".join(told), *missing] if told else missing)
        return Energy(joules=joules if told else None, source=source)


def num_gpus() -> int:
    """NVIDIA GPUs of this machine."""
    return len(list(Path("/proc/driver/nvidia/gpus").glob("*")))


def _zones(folder: Path) -> list[Path]:
    """Packages, and memory beside them; a package's own parts are in its count already."""
    found = []
    for zone in sorted(folder.glob("intel-rapl:*")):
        try:
            name = (zone / "name").read_text().strip()
        except OSError:
            continue  # nobody may read it: no zone of ours
        top = zone.name.count(":") == 1
        if (top and name.startswith("package")) or name == "dram":
            found.append(zone)
    return found


def _why_not(folder: Path) -> str:
    if not _zones(folder):
        return "this machine has no RAPL counters"
    return "the RAPL counters can be read by the superuser only"


def _read(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
