"""Connecting to a Ray cluster, or starting one in this machine that no other can reach."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray

from prac.distributed.ray_internals import bind_loopback_only
from prac.errors import PracError, first_line

# Two of Ray's functions carry no types.
_untyped: Any = ray


def in_ray_job() -> bool:
    """Whether this process was started by `ray job submit`."""
    return "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ


def available_cpus() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def connected(*, num_cpus: int | None = None) -> Iterator[bool]:
    """Connect to the cluster that RAY_ADDRESS or a job names, else run a local one until the end.

    num_cpus: that a local one has at least, though the machine may have fewer.
    Yields whether the cluster is a local one of our own. A local one listens on loopback only.
    """
    ours = not (in_ray_job() or os.environ.get("RAY_ADDRESS") or ray.is_initialized())
    started = not ray.is_initialized()
    on_stop = signal.getsignal(signal.SIGTERM)
    try:
        if ours:
            bind_loopback_only()
            os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
            os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
            ray.init(
                address="local",
                num_cpus=max(num_cpus or 1, available_cpus()),
                dashboard_host="127.0.0.1",
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        elif started:
            ray.init(log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, TimeoutError, ValueError) as error:
        raise PracError(
            f"no Ray cluster could be reached or started ({first_line(error)})"
        ) from error
    if threading.current_thread() is threading.main_thread():
        # Ray puts a handler of its own in place, which ends the process without a word.
        signal.signal(signal.SIGTERM, on_stop)
    try:
        yield ours
    finally:
        if started:
            ray.shutdown()


def cluster_cpus() -> int:
    """CPUs of all nodes together."""
    return int(_untyped.cluster_resources().get("CPU", 1))


def num_nodes() -> int:
    """Nodes that are alive."""
    return sum(bool(node["Alive"]) for node in _untyped.nodes())
