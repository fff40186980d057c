"""A pipeline's time on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import ray

from prac.config.sections import AugmentConfig
from prac.data.dataset import ImageDataset
from prac.distributed.cluster import cluster_cpus, cluster_gpus, connected, largest, num_nodes
from prac.distributed.context import Resources, Room
from prac.distributed.env import RayEnv
from prac.distributed.progress import RayDesk
from prac.errors import ConfigError


@contextmanager
def at_work(
    dataset: ImageDataset,
    *,
    data: str,
    augment: AugmentConfig,
    resources: Resources,
    check_shared: Callable[[], None],
) -> Iterator[tuple[RayEnv, Room | None]]:
    """Connected until the end: what every stage is handed, and the room of a cluster of our own
    (None for one that others brought).

    check_shared: raises where several nodes could not read each other's results. Raises ConfigError
    where dense training doesn't fit.
    """
    # At least as many CPUs as one dense run needs: fewer cores then share their time.
    workers = resources.min_workers or resources.workers
    needed = workers * resources.cpus_per_round
    with connected(num_cpus=needed) as ours:
        if num_nodes() > 1:
            check_shared()
        if cluster_cpus() < needed:
            raise ConfigError(
                f"{workers} workers of {resources.cpus_per_round} CPUs don't fit "
                f"the cluster's {cluster_cpus()} CPUs; lower --workers or --cpus-per-round"
            )
        _check_placed(resources)
        context = RayEnv(
            data=data,
            augment=augment,
            shared=[ray.put(dataset)],
            desk=RayDesk.open(),
            resources=resources,
        )
        yield context, Room(cpus=cluster_cpus(), gpus=cluster_gpus()) if ours else None


def _check_placed(resources: Resources) -> None:
    """Ray waits for ever for a node that has what a task asks for. Raises ConfigError."""
    asked = {
        "--cpus-per-round": ("CPU", resources.cpus_per_round),
        "--gpus-per-round": ("GPU", resources.gpus_per_round),
        "--gpus-per-worker": ("GPU", resources.gpus_per_worker),
    }
    for option, (resource, amount) in asked.items():
        if amount > (most := largest(resource)):
            raise ConfigError(
                f"{option} {amount:g} fits no node of the cluster; allowed: up to {most:g}, the "
                f"{resource}s of its largest"
            )
