"""Energy from counters that the test writes: a powercap folder, and a library that plays NVML."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import pytest

from prac.lottery.energy import EnergyMeter, NvmlCounter, RaplCounter


def _zone(folder: Path, name: str, label: str, microjoules: int, limit: int = 1000_000_000) -> Path:
    zone = folder / name
    zone.mkdir()
    (zone / "name").write_text(label + "\n")
    (zone / "energy_uj").write_text(f"{microjoules}\n")
    (zone / "max_energy_range_uj").write_text(f"{limit}\n")
    return zone


@pytest.fixture
def powercap(tmp_path: Path) -> Path:
    """Two packages, one with its cores and its memory beside it, and what isn't a counter."""
    _zone(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    _zone(tmp_path, "intel-rapl:0:0", "core", 777)
    _zone(tmp_path, "intel-rapl:0:1", "dram", 500_000)
    _zone(tmp_path, "intel-rapl:1", "package-1", 999_000_000)
    _zone(tmp_path, "intel-rapl:2", "psys", 1)
    (tmp_path / "intel-rapl").mkdir()
    return tmp_path


def test_packages_and_memory_are_added_and_wraps_are_seen(powercap: Path) -> None:
    meter = EnergyMeter(cpu_share=0.5, rapl=RaplCounter(powercap))
    (powercap / "intel-rapl:0" / "energy_uj").write_text("4000000")  # 3 J
    (powercap / "intel-rapl:0:0" / "energy_uj").write_text("9000000")  # within the package's 3 J
    (powercap / "intel-rapl:0:1" / "energy_uj").write_text("1500000")  # 1 J
    (powercap / "intel-rapl:1" / "energy_uj").write_text("1000000")  # wrapped at 1000 J: 2 J
    (powercap / "intel-rapl:2" / "energy_uj").write_text("900000000")  # the whole board: not added
    energy = meter.stop()
    assert energy.joules == pytest.approx(0.5 * 6)
    assert energy.source == "RAPL"


def test_a_machine_without_counters_says_so(tmp_path: Path) -> None:
    energy = EnergyMeter(cpu_share=1, rapl=RaplCounter(tmp_path / "nowhere")).stop()
    assert energy.joules is None
    assert energy.source == "processors not measured: this machine has no RAPL counters"


def test_counters_that_may_not_be_read_are_no_zeros(powercap: Path) -> None:
    for file in powercap.glob("*/energy_uj"):
        file.write_text("no number")  # as unreadable as a file of the superuser's
    energy = EnergyMeter(cpu_share=1, rapl=RaplCounter(powercap)).stop()
    assert energy.joules is None
    assert "superuser only" in energy.source


class Nvml:
    """Plays the library: two GPUs, a counter each, in millijoules."""

    def __init__(self, *, counters: bool = True) -> None:
        self.millijoules, self.counters = [1000, 5000], counters

    def nvmlInit_v2(self) -> int:
        return 0

    def nvmlDeviceGetCount_v2(self, count: Any) -> int:
        count._obj.value = 2
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, index: ctypes.c_uint, handle: Any) -> int:
        handle._obj.value = index.value + 1
        return 0

    def nvmlDeviceGetHandleByUUID(self, name: bytes, handle: Any) -> int:
        handle._obj.value = {b"GPU-b": 2}[name]
        return 0

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: ctypes.c_void_p, value: Any) -> int:
        value._obj.value = self.millijoules[(handle.value or 0) - 1]
        return 0 if self.counters else 3


@pytest.mark.parametrize(
    ("visible", "joules"), [(None, 5.0), ("0", 2.0), ("1", 3.0), ("GPU-b", 3.0), ("0,1", 5.0)]
)
def test_the_visible_gpus_are_charged(
    visible: str | None, joules: float, powercap: Path, tmp_path: Path
) -> None:
    library = Nvml()
    environ = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    meter = EnergyMeter(
        cpu_share=1,
        gpu_share=0.25,
        rapl=RaplCounter(powercap),
        nvml=lambda: NvmlCounter(library, environ),
    )
    library.millijoules = [3000, 8000]
    energy = meter.stop()
    assert energy.joules == pytest.approx(0.25 * joules)
    assert energy.source == "RAPL and NVML"


def test_a_gpu_without_counter_is_told(powercap: Path) -> None:
    meter = EnergyMeter(
        cpu_share=1,
        gpu_share=1,
        rapl=RaplCounter(powercap),
        nvml=lambda: NvmlCounter(Nvml(counters=False), {}),
    )
    assert meter.stop().source == "RAPL; GPU not measured: the GPU has no energy counter"
