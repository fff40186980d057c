"""The process group of data-parallel workers, met on one address and on no other.

PyTorch's own rendezvous listens on every interface of the machine; here the store of rank 0 is
handed a socket that is already bound to the address that the workers use: loopback on a cluster of
one machine, the node's own address on others.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import ray
from ray.train import get_context
from ray.train.torch import TorchConfig
from torch.distributed import TCPStore, init_process_group  # type: ignore[attr-defined]

_untyped: Any = ray
_served: TCPStore | None = None
"""Of rank 0's process: lives until the next group of workers, in a process of its own, has one."""


@dataclass
class BoundTorchConfig(TorchConfig):
    """Ray Train's configuration of the process group, with a store that listens on one address."""

    @property
    def backend_cls(self) -> Any:
        """What sets the workers up."""
        return _BoundBackend


_ray_backend: Any = TorchConfig().backend_cls


class _BoundBackend(_ray_backend):  # type: ignore[misc]  # ends the group as Ray's does
    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        """Called by Ray Train's controller before the workers train."""
        size, seconds = len(worker_group), backend_config.timeout_s
        host, port = worker_group.execute_single(0, _serve, size, seconds)
        joined = [
            worker_group.execute_single_async(
                rank, _join, host, port, rank, size, backend_config.backend, seconds
            )
            for rank in range(size)
        ]
        _untyped.get(joined)


def _serve(size: int, seconds: int) -> tuple[str, int]:
    """Start the store in rank 0's process; where it listens."""
    global _served
    host = _untyped.util.get_node_ip_address()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.bind((host, 0))
    port: int = listening.getsockname()[1]
    _served = TCPStore(
        host,
        port,
        size,
        is_master=True,
        timeout=timedelta(seconds=seconds),
        wait_for_workers=False,
        # The store closes it.
        master_listen_fd=listening.detach(),
    )
    return host, port


def _join(host: str, port: int, rank: int, size: int, backend: str, seconds: int) -> None:
    context, timeout = get_context(), timedelta(seconds=seconds)
    # Libraries that a model brings may look for them.
    os.environ |= {
        "RANK": str(rank),
        "WORLD_SIZE": str(size),
        "LOCAL_RANK": str(context.get_local_rank()),
        "LOCAL_WORLD_SIZE": str(context.get_local_world_size()),
        "NODE_RANK": str(context.get_node_rank()),
    }
    store = TCPStore(host, port, size, is_master=False, timeout=timeout)
    init_process_group(backend, store=store, rank=rank, world_size=size, timeout=timeout)
