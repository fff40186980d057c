"""A pipeline's time on a cluster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import ray

from prac.config.sections import AugmentConfig
from prac.data.dataset import ImageDataset
from prac.distributed.cluster import cluster_cpus, cluster_gpus, connected, nodes
from prac.distributed.context import Resources
from prac.distributed.env import RayEnv
from prac.distributed.progress import RayDesk
from prac.errors import ConfigError
from prac.lottery.room import Room


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
    with connected(num_cpus=needed, num_gpus=resources.gpus) as ours:
        if len(nodes()) > 1:
            check_shared()
        check_placed(resources, nodes())
        context = RayEnv(
            data=data,
            augment=augment,
            shared=[ray.put(dataset)],
            desk=RayDesk.open(),
            resources=resources,
        )
        yield context, Room(cpus=cluster_cpus(), gpus=cluster_gpus()) if ours else None


def check_placed(resources: Resources, nodes: Sequence[Mapping[str, float]]) -> None:
    """Ray waits for ever for nodes that have what tasks ask for. nodes: what each has, by resource.
    Raises ConfigError."""
    cpus = resources.cpus_per_round
    alike = Counter((node.get("CPU", 0), node.get("GPU", 0)) for node in nodes)
    has = ", ".join(f"{n} of {c:g} CPUs and {g:g} GPUs" for (c, g), n in alike.items())
    for what, count, option, gpus in (
        ("round", 1, "--gpus-per-round", resources.gpus_per_round),
        (
            "worker",
            resources.min_workers or resources.workers,
            "--gpus-per-worker",
            resources.gpus_per_worker,
        ),
    ):
        fit = sum(_fit(node, cpus, gpus) for node in nodes)
        if fit < count:
            many = f"{count} {what}s don't" if count > 1 else f"a {what} doesn't"
            asked = f"{cpus} CPUs" + (f" and {gpus:g} GPUs" if gpus else "")
            lower = ["--workers"] * (count > 1) + [option] * (gpus > 0) + ["--cpus-per-round"]
            raise ConfigError(
                f"{many} fit the cluster: each asks for {asked} of one node, and its nodes ({has}) "
                f"have room for {fit}; lower {' or '.join(lower)}"
            )


def _fit(node: Mapping[str, float], cpus: float, gpus: float) -> int:
    """How many who ask for so much find room on a node at once."""
    room = int(node.get("CPU", 0) // cpus)
    if not gpus:
        return room
    devices = int(node.get("GPU", 0))
    return min(room, devices * int(1 / gpus) if gpus < 1 else int(devices // gpus))
