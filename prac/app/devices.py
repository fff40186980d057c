"""Which GPUs a pipeline computes on: those that are there, as far as they are asked for."""

from __future__ import annotations

import math
import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prac.errors import ConfigError, first_line
from prac.machine import cluster_address, may_have_gpu

# What options say is resolved here; they know nothing of devices.
if TYPE_CHECKING:
    from prac.app.options import Options

_BF16 = re.compile(
    r"(A|L|H|GH|B|GB)\d+\w*(-.*)?|RTX-(A\d+|PRO-).*|GeForce-RTX-[3-9]0\d\d.*"
    r"|AMD-Instinct-.*|Intel-.*"
)
"""What Ray calls GPUs that compute bf16: NVIDIA's from compute capability 8 on."""
_NO_BF16 = re.compile(r"[KMPTV]\d+(-.*)?|GeForce-(GTX-|RTX-20).*|(GTX|TITAN|NVIDIA-TITAN)-.*")
"""Of other names, Quadro's `RTX-6000` among them, cards of both sorts are called."""


@dataclass(frozen=True, kw_only=True)
class Devices:
    """The GPUs that a run can have.

    count: of all nodes; largest: of the node that has most. name: of one of them. bf16: whether
    they compute in it, None where their name doesn't tell. joined: they are of a cluster that
    others brought. unusable: why one that is there is none of them.
    """

    count: int = 0
    largest: int = 0
    name: str = "GPU"
    bf16: bool | None = True
    joined: bool = False
    unusable: str = ""


def find_devices(options: Options) -> Devices:
    """Look for them: on the cluster that is named, else on this machine; nowhere where none is
    wanted."""
    if options.gpus == 0:
        return Devices()
    if options.executor == "ray" and cluster_address() != "local":
        from prac.distributed.cluster import connected, nodes  # Ray

        with connected():
            return of_nodes(nodes())
    return _of_this_machine()


def of_nodes(nodes: list[dict[str, float]]) -> Devices:
    """Those of a cluster, by what its nodes have."""
    prefix = "accelerator_type:"
    has = [int(node.get("GPU", 0)) for node in nodes]
    own = [[n.removeprefix(prefix) for n in node if n.startswith(prefix)] for node in nodes]
    names = [name for here, count in zip(own, has, strict=True) if count for name in here or [""]]
    return Devices(
        count=sum(has),
        largest=max(has, default=0),
        name=" and ".join(filter(None, dict.fromkeys(names))) or "GPU",
        bf16=_all_compute_bf16(names),
        joined=True,
    )


def _all_compute_bf16(names: list[str]) -> bool | None:
    if any(_NO_BF16.fullmatch(name) for name in names):
        return False
    return True if all(_BF16.fullmatch(name) for name in names) else None


def _of_this_machine() -> Devices:
    if not may_have_gpu():
        return Devices()
    # Torch takes a second to import, which a machine without a GPU needn't pay.
    import torch

    from prac.training.precision import resolve_precision

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        there = torch.cuda.is_available()
    if not there:
        # A build for the CPU says nothing; a driver that is too old is warned of.
        said = first_line(warned[0].message) if warned else f"torch {torch.__version__} finds none"  # type: ignore[arg-type]
        return Devices(unusable=said)
    count = torch.cuda.device_count()
    return Devices(
        count=count,
        largest=count,
        name=torch.cuda.get_device_name(0),
        bf16=resolve_precision("auto", torch.device("cuda")) == "bf16",
    )


@dataclass(frozen=True, kw_only=True)
class Given:
    """What a run is given of the devices. gpus: in all; per_round, per_worker: of one device, or
    several; workers: of dense training, None where the devices don't say."""

    devices: Devices
    gpus: int = 0
    per_round: float = 0
    per_worker: float = 0
    workers: int | None = None

    def line(self, workers: int, precision: str) -> str:
        """What a plan and a run say of it first."""
        keys = f"precision {precision}, which is part of keys"
        if self.gpus == 0:
            unusable = self.devices.unusable
            why = f" (a GPU is there and can't be used: {unusable})" if unusable else ""
            return f"device: the CPU{why}; {keys}"
        first = f"device: {self.gpus} GPU{'' if self.gpus == 1 else 's'} ({self.devices.name})"
        if self.workers is not None:
            trains = "the worker" if workers == 1 else f"each of the {workers} workers"
            first += (
                f", {self.per_round:.3g} for a round, {self.per_worker:.3g} for {trains} of dense "
                "training"
            )
        return f"{first}; {keys}: what another precision made is not found; --gpus 0 takes the CPU"


def given(options: Options, devices: Devices, shares: int) -> Given:
    """What a run is given: as its options say, the rest as it follows from the devices.

    shares: of a batch of dense training. Raises ConfigError for what the devices can't give.
    """
    local = options.executor == "local"
    if devices.joined and options.gpus not in ("auto", 0):
        raise ConfigError(
            f"--gpus {options.gpus} is for a cluster of one's own; allowed on one that others "
            "brought: auto, or 0 for none of its GPUs"
        )
    there = min(devices.count, 1) if local else devices.count
    _check("--gpus", options.gpus, there, devices)
    count = there if options.gpus == "auto" else options.gpus
    if local:
        return Given(devices=devices, gpus=count)
    # A task is on one node.
    most = min(count, devices.largest)
    _check("--gpus-per-round", options.gpus_per_round, most, devices)
    _check("--gpus-per-worker", options.gpus_per_worker, most, devices)
    per_round = min(count, 1) if options.gpus_per_round is None else options.gpus_per_round
    workers, per_worker = options.workers or min(shares, max(count, 1)), options.gpus_per_worker
    if per_worker is None:
        # More workers than devices share them.
        per_worker = 1 / math.ceil(workers / count) if count else 0
    elif options.workers is None and per_worker > 0:
        room = count * int(1 / per_worker) if per_worker < 1 else int(count / per_worker)
        workers = min(shares, room)
    return Given(
        devices=devices,
        gpus=count if per_round or per_worker else 0,
        per_round=per_round,
        per_worker=per_worker,
        workers=workers if per_worker else options.workers,
    )


def _check(option: str, asked: float | str | None, most: int, devices: Devices) -> None:
    if not isinstance(asked, (int, float)) or asked <= most:
        return
    where = "of the cluster" if devices.joined else "of this machine"
    has = f"the GPUs {where} ({devices.name})" if devices.count else f"no GPU {where} can be used"
    why = f": {devices.unusable}" if devices.unusable else ""
    if option == "--gpus" and 0 < most < devices.count:
        has = "a run in this process computes on one device"
    raise ConfigError(f"{option} {asked:g} is not allowed; allowed: 0 to {most}; {has}{why}")
