"""Functions run at the same time as others, on Ray: the only place that hands it tasks."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Protocol

import ray
from ray.exceptions import RayTaskError

from prac.distributed.cluster import cluster_cpus
from prac.distributed.given_devices import LEFT_ALONE
from prac.errors import telling_line

_RETRIES = 3

SMALL = 0.01
"""The CPUs that a task of moments asks Ray for. Whoever trains leaves as many (see `beside_small`),
so that it waits behind no training; with none at all it could come to a head that may not work."""


def beside_small(cpus: float) -> float:
    """What who uses this many CPUs for long asks Ray for."""
    return cpus - SMALL if cpus > SMALL else cpus


class Tasks(Protocol):
    """Where functions run beside each other. A handle stands for one of them at work."""

    @property
    def cpus(self) -> int:
        """Of all nodes together."""

    def submit(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        name: str,
        cpus: float = 1,
        gpus: float = 0,
    ) -> Hashable:
        """Have a function of a module run with these CPUs and GPUs; it must bear being run again
        where a node is lost."""

    def wait(self, handles: Sequence[Hashable]) -> Sequence[Hashable]:
        """Those that have ended, at least one of them or none within a second."""

    def result(self, handle: Hashable) -> Any:
        """Wait for what the function returns. Raises what it raised, or RayError where the cluster
        failed."""

    def cancel(self, handle: Hashable) -> None:
        """End it, whatever it does."""


class RayTasks:
    """Tasks of the cluster that this process is connected to."""

    @property
    def cpus(self) -> int:
        return cluster_cpus()

    def submit(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        name: str,
        cpus: float = 1,
        gpus: float = 0,
    ) -> Hashable:
        options: dict[str, Any] = {"name": name, "num_cpus": cpus, "max_retries": _RETRIES}
        if gpus > 0:
            options |= {"num_gpus": gpus, "runtime_env": {"env_vars": dict(LEFT_ALONE)}}
        handle: Hashable = _remote(function).options(**options).remote(*arguments)
        return handle

    def wait(self, handles: Sequence[Hashable]) -> Sequence[Hashable]:
        done: Sequence[Hashable]
        done, _ = ray.wait(list(handles), num_returns=1, timeout=1.0)
        return done

    def result(self, handle: Any) -> Any:
        """What the function raised, Ray's own error with the worker's traceback as its cause."""
        try:
            return ray.get(handle)
        except RayTaskError as error:
            raise own_error(error) from error

    def cancel(self, handle: Any) -> None:
        ray.cancel(handle, force=True)


RAY = RayTasks()
"""Tasks of the cluster that a process is connected to when it uses them."""


def own_error(error: RayTaskError) -> BaseException:
    """What a task's function raised; Ray wraps it in its own with the whole traceback. An error
    that could not travel is told by the line of that which says what happened."""
    if isinstance(error.cause, BaseException) and not isinstance(error.cause, RayTaskError):
        return error.cause
    return RuntimeError(telling_line(str(error)) or type(error).__name__)


@functools.cache
def _remote(function: Callable[..., Any]) -> Any:
    return ray.remote(function)
