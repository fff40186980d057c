"""Energy from counters that the test writes: a powercap folder, and a library that plays NVML."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

import pynvml
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
    energy = meter.used()
    assert energy.joules == pytest.approx(0.5 * 6)
    assert energy.source == "RAPL"


def test_a_counter_that_is_asked_between_may_wrap_each_time(powercap: Path) -> None:
    meter = EnergyMeter(cpu_share=0.5, rapl=RaplCounter(powercap))
    counter = powercap / "intel-rapl:1" / "energy_uj"
    # It stood at 999 J, and wraps at 1000 J.
    for microjoules, joules in ((0, 1), (1_000_000, 2), (500_000, 1001.5), (400_000, 2001.4)):
        counter.write_text(f"{microjoules}\n")
        assert meter.used().joules == pytest.approx(joules / 2)


def test_a_machine_without_counters_says_so(tmp_path: Path) -> None:
    energy = EnergyMeter(cpu_share=1, rapl=RaplCounter(tmp_path / "nowhere")).used()
    assert energy.joules is None
    assert energy.source == "processors not measured: this machine has no RAPL counters"


def test_counters_that_may_not_be_read_are_no_zeros(powercap: Path) -> None:
    for file in powercap.glob("*/energy_uj"):
        file.write_text("no number")  # as unreadable as a file of the superuser's
    energy = EnergyMeter(cpu_share=1, rapl=RaplCounter(powercap)).used()
    assert energy.joules is None
    assert "superuser only" in energy.source


class Nvml:
    """Plays pynvml: two GPUs with a counter each, in millijoules, and a slice of one without."""

    NVMLError = pynvml.NVMLError
    NVML_ERROR_LIBRARY_NOT_FOUND = pynvml.NVML_ERROR_LIBRARY_NOT_FOUND

    def __init__(self, *, counters: bool = True, at_start: int = pynvml.NVML_SUCCESS) -> None:
        self.millijoules, self.counters, self.at_start = [1000, 5000], counters, at_start

    def nvmlInit(self) -> None:
        if self.at_start != pynvml.NVML_SUCCESS:
            raise pynvml.NVMLError(self.at_start)

    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        if index >= 2:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        return index

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> int:
        handles = {"GPU-a": 0, "GPU-b": 1, "MIG-c": 2}
        if uuid not in handles:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return handles[uuid]

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: int) -> int:
        if not self.counters or handle == 2:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return self.millijoules[handle]


def test_the_played_library_has_the_functions_of_the_real_one() -> None:
    for name, played in inspect.getmembers(Nvml(), inspect.ismethod):
        if name != "__init__":
            real = inspect.signature(getattr(pynvml, name))
            assert list(real.parameters) == list(inspect.signature(played).parameters), name


@pytest.mark.parametrize(
    ("visible", "joules"),
    [
        (None, 5.0),
        ("0", 2.0),
        ("1", 3.0),
        ("GPU-b", 3.0),
        ("0,1", 5.0),
        ("GPU-a, GPU-b", 5.0),
        ("1,MIG-c,7,GPU-gone", 3.0),
    ],
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
    energy = meter.used()
    assert energy.joules == pytest.approx(0.25 * joules)
    assert energy.source == "RAPL and NVML"


@pytest.mark.parametrize(
    ("library", "environ", "reason"),
    [
        (Nvml(counters=False), {}, "the GPU has no energy counter"),
        (Nvml(), {"CUDA_VISIBLE_DEVICES": "MIG-c"}, "the GPU has no energy counter"),
        (Nvml(), {"CUDA_VISIBLE_DEVICES": ""}, "the GPU has no energy counter"),
        (Nvml(at_start=pynvml.NVML_ERROR_LIBRARY_NOT_FOUND), {}, "no NVIDIA GPU library here"),
        (Nvml(at_start=pynvml.NVML_ERROR_DRIVER_NOT_LOADED), {}, "NVML says: Driver Not Loaded"),
    ],
)
def test_what_is_not_measured_has_a_reason(
    library: Nvml, environ: dict[str, str], reason: str, powercap: Path
) -> None:
    meter = EnergyMeter(
        cpu_share=1,
        gpu_share=1,
        rapl=RaplCounter(powercap),
        nvml=lambda: NvmlCounter(library, environ),
    )
    assert meter.used().source == f"RAPL; GPU not measured: {reason}"


def test_a_counter_that_is_lost_on_the_way_is_no_zero(powercap: Path) -> None:
    library = Nvml()
    meter = EnergyMeter(
        cpu_share=1, gpu_share=1, rapl=RaplCounter(powercap), nvml=lambda: NvmlCounter(library, {})
    )
    library.counters = False
    (powercap / "intel-rapl:1" / "energy_uj").unlink()
    energy = meter.used()
    assert energy.joules is None
    assert energy.source == (
        "processors not measured: a counter stopped answering; "
        "GPU not measured: a counter stopped answering"
    )


def test_the_real_library_answers_on_any_machine() -> None:
    counter = NvmlCounter()
    assert counter.reason or all(value > 0 for value in counter.read())


def test_nvidia_s_library_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert NvmlCounter().reason == "nvidia-ml-py is not installed"
