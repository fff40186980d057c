"""Connecting to a Ray cluster, or starting one in this machine that no other can reach."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray

from prac.distributed.head_watch import Part, far_patience, watched
from prac.distributed.own_session import end_session, private_token, session_folder, session_logs
from prac.distributed.ray_internals import (
    ask_head,
    bind_loopback_only,
    forget_uv,
    head_address,
    hush,
    let_be_found,
)
from prac.errors import OutsideError, PracError, first_line
from prac.machine import available_cpus, cluster_address, knock

_TOKEN = "RAY_AUTH_TOKEN or the file RAY_AUTH_TOKEN_PATH has to be the cluster's token"
_ON_THIS_NODE = 3.0
# Two of Ray's functions carry no types.
_untyped: Any = ray


@contextmanager
def connected(*, num_cpus: int | None = None, num_gpus: int = 0) -> Iterator[bool]:
    """Connect to the cluster that RAY_ADDRESS or a job names, else run a local one until the end.

    num_cpus: that a local one has at least, though the machine may have fewer. num_gpus: that it
    has.
    Yields whether the cluster is a local one of our own. A local one, which RAY_ADDRESS=local asks
    for too, listens on loopback only, and what it writes can be read by this user alone.
    Raises PracError.
    """
    address = cluster_address()
    started = not ray.is_initialized()
    ours = started and address == "local"
    session = ""
    with contextlib.ExitStack() as held:
        if started:
            hush()
            with _own_signals(), _in_a_line(address):
                if ours:
                    cpus = max(num_cpus or 1, available_cpus())
                    session = held.enter_context(session_folder())
                    _start(cpus, num_gpus, session)
                else:
                    _join(address)
        # A client of Ray's knows only who speaks for it.
        with watched(*([] if "://" in address else _needed(ours))) as watch:
            try:
                yield ours
            finally:
                # Ray would ask the lost one to be told, and end the process when it isn't heard.
                if not watch.lost and started:
                    ray.shutdown()
                elif session:
                    end_session(session)


def _needed(ours: bool) -> list[Part]:
    """The cluster's head, and what speaks for this process on its own node."""
    context = ray.get_runtime_context()
    again = "the same command goes on from there"
    if ours:
        again = f"{again} (was the machine short of memory? `dmesg` tells what was killed)"
    head = Part(
        "head of the Ray cluster",
        context.gcs_address,
        _ON_THIS_NODE if ours else far_patience(),
        again if ours else f"{again} once it is back",
    )
    mine = [node for node in _untyped.nodes() if node["NodeID"] == context.get_node_id()]
    return [head] + [
        Part(
            "raylet, which speaks for this process in the Ray cluster,",
            f"{node['NodeManagerAddress']}:{node['NodeManagerPort']}",
            _ON_THIS_NODE,
            again if ours else f"{again} once this node is back in the cluster",
        )
        for node in mine
    ]


def _start(num_cpus: int, num_gpus: int, session: str) -> None:
    bind_loopback_only()
    forget_uv()
    private_token()
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # A machine can be too busy for Ray's own watch over its processes. On one machine they are lost
    # when they end, which is seen without it.
    os.environ.setdefault("RAY_health_check_failure_threshold", "30")
    # A process for each dense training that asks whether this machine is about to be taken away.
    os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
    # Trainings of seconds needn't wait two for somebody to see that they have ended.
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.5")
    try:
        ray.init(
            address="local",
            num_cpus=num_cpus,
            num_gpus=num_gpus,
            dashboard_host="127.0.0.1",
            log_to_driver=False,
            logging_level=logging.CRITICAL,
            _temp_dir=session,
        )
        let_be_found()
    except Exception as error:
        error.add_note(session_logs(session))
        raise


def _join(address: str) -> None:
    # Ray itself asks a dead address for a quarter of an hour, and fills the screen.
    host, port = head_address(address)
    try:
        knock(host, port)
    except OSError as error:
        raise OutsideError(
            f"no Ray cluster answers at {host}:{port} ({first_line(error)}), which "
            f"RAY_ADDRESS={address} names; start one there, or unset RAY_ADDRESS to run on this "
            "machine"
        ) from error
    if "://" not in address and (said := ask_head(f"{host}:{port}")) is not None:
        if "uthenticat" in said:
            raise OutsideError(
                f"the Ray cluster at {host}:{port} refuses this user's token; {_TOKEN}"
            ) from ConnectionError(said)
        raise OutsideError(
            f"what answers at {host}:{port} is not the head of a Ray cluster "
            f"({said.strip().splitlines()[-1]}); RAY_ADDRESS={address} has to name its own port "
            "(6379 by default), not that of its dashboard"
        ) from ConnectionError(said)
    ray.init(log_to_driver=False, logging_level=logging.CRITICAL)


@contextmanager
def _own_signals() -> Iterator[None]:
    """Let SIGTERM do what it did: Ray puts a handler in place which ends the process silently."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    on_stop = signal.getsignal(signal.SIGTERM)
    try:
        yield
    except SystemExit as error:
        raise KeyboardInterrupt from error
    finally:
        signal.signal(signal.SIGTERM, on_stop)


@contextmanager
def _in_a_line(address: str) -> Iterator[None]:
    """Ray raises many things where it can't start or connect, plain `Exception` among them."""
    try:
        yield
    except PracError:
        raise
    except Exception as error:
        ray.shutdown()
        said, kind = str(error), type(error).__name__
        if address != "local":
            way_out = "check the address, that the cluster is up and has this version of Ray"
        elif "timed out" in said:
            way_out = "is the machine busy? start again when it is quiet"
        else:
            way_out = "the disk, the memory and the limits of this machine may be too small"
        if "oken" in said or "uthenticat" in said:
            way_out = _TOKEN
        what = "started here" if address == "local" else f"reached at {address}"
        raise OutsideError(
            f"no Ray cluster could be {what} ({kind}: {first_line(error)}); {way_out}"
            + (", or run without Ray: --executor local" if address == "local" else "")
        ) from error


def cluster_cpus() -> int:
    """CPUs of all nodes together."""
    return int(_untyped.cluster_resources().get("CPU", 1))


def cluster_gpus() -> float:
    """GPUs of all nodes together."""
    return float(_untyped.cluster_resources().get("GPU", 0))


def nodes() -> list[dict[str, float]]:
    """What each node has that is alive, by resource."""
    return [dict(node["Resources"]) for node in _untyped.nodes() if node["Alive"]]
