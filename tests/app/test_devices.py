"""What a run is given of devices that are played: counted by hand."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from prac.app.devices import Devices, find_devices, given, of_nodes
from prac.app.options import Options
from prac.app.planned import plan_pipeline
from prac.config.recipes import digits
from prac.errors import ConfigError

NONE = Devices()
ONE = Devices(count=1, largest=1, name="NVIDIA H100")
FOUR = Devices(count=4, largest=4)
CLUSTER = Devices(count=3, largest=2, joined=True)
BROKEN = Devices(unusable="the driver is too old")


@pytest.mark.parametrize(
    ("devices", "options", "gpus", "per_round", "per_worker", "workers"),
    [
        # What is there is used; without any, the CPU.
        (NONE, {}, 0, 0, 0, None),
        (ONE, {}, 1, 1, 1, 1),
        (FOUR, {}, 4, 1, 1, 2),
        (CLUSTER, {}, 3, 1, 1, 2),
        (ONE, {"gpus": 0}, 0, 0, 0, None),
        (FOUR, {"gpus": 1}, 1, 1, 1, 1),
        # More workers than devices share them; fractions have room for more workers.
        (ONE, {"workers": 2}, 1, 1, 0.5, 2),
        (ONE, {"gpus_per_worker": 0.5}, 1, 1, 0.5, 2),
        (ONE, {"gpus_per_worker": 0.6}, 1, 1, 0.6, 1),
        (FOUR, {"gpus_per_worker": 2}, 4, 1, 2, 2),
        (FOUR, {"gpus_per_round": 0.25}, 4, 0.25, 1, 2),
        # Rounds alone, or dense training alone; neither is none.
        (ONE, {"gpus_per_worker": 0}, 1, 1, 0, None),
        (ONE, {"gpus_per_round": 0}, 1, 0, 1, 1),
        (ONE, {"gpus_per_round": 0, "gpus_per_worker": 0}, 0, 0, 0, None),
        (ONE, {"executor": "local"}, 1, 0, 0, None),
        (FOUR, {"executor": "local"}, 1, 0, 0, None),
        (FOUR, {"executor": "local", "gpus": 0}, 0, 0, 0, None),
    ],
)
def test_what_follows(devices, options, gpus, per_round, per_worker, workers) -> None:
    found = given(Options(**options), devices, 2)
    assert (found.gpus, found.per_round, found.per_worker, found.workers) == (
        gpus,
        per_round,
        per_worker,
        workers,
    )


@pytest.mark.parametrize(
    ("devices", "options", "said"),
    [
        (NONE, {"gpus": 1}, "--gpus 1 is not allowed; allowed: 0 to 0; no GPU of this machine"),
        (BROKEN, {"gpus": 1}, "no GPU of this machine can be used: the driver is too old"),
        (NONE, {"gpus_per_round": 0.5}, "--gpus-per-round 0.5 is not allowed; allowed: 0 to 0"),
        (NONE, {"gpus_per_worker": 1}, "--gpus-per-worker 1 is not allowed; allowed: 0 to 0"),
        (ONE, {"gpus_per_round": 2}, "--gpus-per-round 2 .* allowed: 0 to 1; .*NVIDIA H100"),
        (FOUR, {"gpus": 2, "gpus_per_round": 3}, "--gpus-per-round 3 is not allowed; .* 0 to 2"),
        (CLUSTER, {"gpus_per_round": 3}, "--gpus-per-round 3 is not allowed; allowed: 0 to 2"),
        (CLUSTER, {"gpus": 2}, "--gpus 2 is for a cluster of one's own; .* auto, or 0"),
        (FOUR, {"executor": "local", "gpus": 2}, "--gpus 2 .* 0 to 1; a run in this process"),
        (NONE, {"executor": "local", "gpus": 1}, "--gpus 1 is not allowed; allowed: 0 to 0"),
    ],
)
def test_what_the_devices_can_t_give_is_refused(
    devices: Devices, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said) as raised:
        given(Options(**options), devices, 2)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("gpus", [1.5, float("nan"), float("inf"), 0.00001, -1])
def test_what_ray_has_no_units_for_is_refused(gpus: float) -> None:
    with pytest.raises(ConfigError, match="--gpus-per-round"):
        Options(gpus_per_round=gpus)


def test_the_first_lines_say_what_computes() -> None:
    line = given(Options(), ONE, 2).line(1, "bf16")
    assert line == (
        "device: 1 GPU (NVIDIA H100), 1 for a round, 1 for the worker of dense training; precision "
        "bf16, which is part of keys: what another precision made is not found; --gpus 0 takes the "
        "CPU"
    )
    assert given(Options(), BROKEN, 2).line(2, "fp32") == (
        "device: the CPU (a GPU is there and can't be used: the driver is too old); precision "
        "fp32, which is part of keys"
    )
    local = given(Options(executor="local"), ONE, 2).line(2, "bf16")
    assert local.startswith("device: 1 GPU (NVIDIA H100); precision bf16")


@pytest.mark.parametrize(
    ("devices", "options", "precision"),
    [
        (ONE, {}, "bf16"),
        (dataclasses.replace(ONE, bf16=False), {}, "fp32"),
        (dataclasses.replace(ONE, bf16=False), {"executor": "local"}, "fp32"),
    ],
)
def test_precision_is_what_the_devices_compute_in(
    devices, options, precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prac.app.planned.find_devices", lambda options: devices)
    planned = plan_pipeline(digits().set(train={"precision": "auto"}), Options(**options))
    assert planned.request.precision == precision
    assert options or planned.workers == 1
    assert f"precision {precision}" in planned.told[-1]


@pytest.mark.parametrize(
    ("cores", "networks", "address", "options", "workers"),
    [
        (2, ("conv4",), "", {}, 2),
        (1, ("conv4",), "", {}, 1),
        # Of two cores each training has one, and of eight two, which are all shares of a batch.
        (2, ("conv4", "resnet8", "vgg8s"), "", {}, 1),
        (8, ("conv4", "resnet8", "vgg8s"), "", {}, 2),
        (2, ("conv4", "resnet8"), "", {"workers": 2}, 2),
        (2, ("conv4", "resnet8"), "", {"min_workers": 2}, 2),
        # How many cores others' clusters have isn't known yet.
        (2, ("conv4", "resnet8"), "10.0.0.1:6379", {}, 2),
    ],
)
def test_dense_trainings_of_this_machine_share_its_cores(
    cores, networks, address, options, workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prac.app.means.available_cpus", lambda: cores)
    monkeypatch.setattr("prac.app.planned.find_devices", lambda options: Devices())
    monkeypatch.setenv("RAY_ADDRESS", address)
    recipe = digits().replace(architectures=networks, compare=())
    assert plan_pipeline(recipe, Options(**options)).workers == workers


def test_devices_of_a_cluster_s_nodes() -> None:
    nodes = [
        {"CPU": 4.0, "memory": 1.0},
        {"CPU": 8.0, "GPU": 2.0, "accelerator_type:A100": 1.0},
        {"CPU": 8.0, "GPU": 1.0, "accelerator_type:V100": 1.0},
    ]
    assert of_nodes(nodes) == Devices(
        count=3, largest=2, name="A100 and V100", bf16=False, joined=True
    )
    assert of_nodes(nodes[:2]).bf16
    assert of_nodes(nodes[:1]).count == 0


def test_a_gpu_without_a_name_tells_nothing() -> None:
    unnamed, a100 = {"GPU": 2.0}, {"GPU": 1.0, "accelerator_type:A100": 1.0}
    assert of_nodes([unnamed]).bf16 is None
    assert of_nodes([unnamed, a100]).bf16 is None
    # Nobody computes on what a node without GPUs has.
    assert of_nodes([a100, {"TPU": 4.0, "accelerator_type:TPU-V4": 1.0}]).bf16 is True


def test_none_is_looked_for_where_none_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    assert find_devices(Options(gpus=0)) == Devices()


@pytest.mark.parametrize(
    ("name", "bf16"),
    [
        *[(name, True) for name in ("A100", "A10G", "L4", "L40S", "H200", "GB200", "H100-80GB")],
        *[(name, True) for name in ("RTX-A6000", "RTX-PRO-6000", "AMD-Instinct-MI300X-OAM")],
        *[(name, True) for name in ("GeForce-RTX-3090", "GeForce-RTX-4070-Ti", "GeForce-RTX-5090")],
        *[(name, False) for name in ("K80", "M60", "P4", "P40", "P100", "T4", "V100", "T4-16GB")],
        *[(name, False) for name in ("GeForce-RTX-2080-Ti", "GeForce-GTX-1080", "TITAN-RTX")],
        # Quadro RTX 6000 (Turing) and RTX 6000 Ada are both called so.
        *[(name, None) for name in ("RTX-6000", "RTX-5000", "GeForce-MX450", "Something-New")],
    ],
)
def test_what_the_name_of_a_gpu_tells_of_bf16(name: str, bf16: bool | None) -> None:
    nodes = [{"CPU": 8.0}, {"CPU": 8.0, "GPU": 1.0, f"accelerator_type:{name}": 1.0}]
    assert of_nodes(nodes).bf16 is bf16
    # One that has none decides for all.
    both = [*nodes, {"CPU": 8.0, "GPU": 1.0, "accelerator_type:T4": 1.0}]
    assert of_nodes(both).bf16 is False


def test_a_gpu_whose_name_does_not_tell_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = dataclasses.replace(ONE, name="RTX-6000", bf16=None)
    monkeypatch.setattr("prac.app.planned.find_devices", lambda options: unknown)
    recipe = digits().set(train={"precision": "auto"})
    with pytest.raises(ConfigError, match=r"RTX-6000.*not known.*train.precision=bf16.*fp32"):
        plan_pipeline(recipe, Options())
    told = plan_pipeline(recipe.set(train={"precision": "bf16"}), Options())
    assert told.request.precision == "bf16"
    assert plan_pipeline(recipe, Options(gpus=0)).workers
