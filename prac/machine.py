"""What this machine lets a process have: cores, devices, and services that answer."""

from __future__ import annotations

import math
import os
import socket
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")


def available_cpus(cgroups: Path = _CGROUPS) -> int:
    """Cores that this process may run on, at most as many as its container's quota keeps busy.

    cgroups: where control groups are mounted; a container sees its own as the root of them.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quota = _quota(cgroups)
    return max(1, min(cores or 1, math.ceil(quota) if quota else cores or 1))


def _quota(cgroups: Path) -> float | None:
    """Processor time a second of real time; None where there is no limit."""
    try:
        if (cgroups / "cpu.max").is_file():
            limit, period = (cgroups / "cpu.max").read_text().split()
        else:  # version 1
            limit, period = (
                (cgroups / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period")
            )
        return None if limit.strip() in ("max", "-1") else int(limit) / int(period)
    except (OSError, ValueError):
        return None


def may_have_gpu() -> bool:
    """Whether a GPU's driver is here: a first look, without any library."""
    return os.name == "nt" or any(Path("/dev", n).exists() for n in ("nvidiactl", "kfd", "dxg"))


def in_ray_job() -> bool:
    """Whether this process was started by `ray job submit`."""
    return "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ


def cluster_address() -> str:
    """Of the Ray cluster that the environment names; `local`: none, one of one's own."""
    return os.environ.get("RAY_ADDRESS") or ("auto" if in_ray_job() else "local")


def reach_loopback_directly() -> None:
    """Where a proxy is set, have libraries ask it for no address of this machine: Ray, gRPC and
    MLflow's client would, and a proxy elsewhere can't reach what listens here."""
    known = os.environ.get("no_proxy") or os.environ.get("NO_PROXY", "")
    proxies = {name.lower() for name, value in os.environ.items() if value} - {"no_proxy"}
    if known == "*" or not any(name.endswith("_proxy") for name in proxies):
        return
    direct = dict.fromkeys([*filter(None, known.split(",")), "localhost", "127.0.0.1", "::1"])
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(direct)


def knock(host: str, port: int, *, seconds: float = 10) -> None:
    """See whether anything takes connections there. Raises OSError."""
    socket.create_connection((host, port), timeout=seconds).close()
