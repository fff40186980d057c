"""How a pipeline is run, and what is asked of it."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from prac.app.devices import Given
from prac.config.recipe import Recipe
from prac.data.dataset import Source
from prac.errors import ConfigError
from prac.lottery.graph import Request
from prac.machine import available_cpus, cluster_address, in_ray_job
from prac.training.processor import cpu_precision
from prac.training.schedule import shares_of

Executor = Literal["ray", "local"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a pipeline is run; none of this changes what it finds but the precision of a device.

    executor: `ray`, a cluster or one of its own in this machine, with MLflow; `local`, this process
    alone, with a folder.
    home: where the embedded store, events and reports go by default; None is the working folder,
    or `~/prac` for a job, whose working folder is thrown away.
    workers: data-parallel workers of dense training, up to `train.shares`; None is as many as there
    are cores for, which dense trainings of a machine of one's own share.
    min_workers: that dense training starts or goes on with where more can't be had; None is all.
    gpus: that are used, of a cluster of one's own or of this process; `auto`: those that are there.
    deterministic: by algorithms that find the same bits in every run on the same device.
    gpus_per_worker, gpus_per_round: None follows from that (`prac.app.devices.given`).
    only: stop after stages of these kinds; empty runs everything.
    """

    executor: Executor = "ray"
    home: str | None = None
    storage: str | None = None
    storage_is_shared: bool = False
    workers: int | None = None
    min_workers: int | None = None
    cpus_per_round: int = 1
    gpus: int | Literal["auto"] = "auto"
    gpus_per_worker: float | None = None
    gpus_per_round: float | None = None
    deterministic: bool = False
    transfer_from: str | None = None
    judge: Literal["last", "all", "none"] | tuple[int, ...] = "last"
    seeds: int = 1
    searches: int = 1
    margin: float = 0.5
    plan: bool = False
    only: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("cpus_per_round", "gpus", "gpus_per_worker", "gpus_per_round"):
            value, option = getattr(self, name), f"--{name.replace('_', '-')}"
            if value is None or value == "auto":
                continue
            if value < 0:
                raise ConfigError(f"{option} must be 0 or more")
            # Ray's smallest part, and its rule.
            if not (value == 0 or 1e-4 <= value <= 1 or (math.isfinite(value) and value % 1 == 0)):
                raise ConfigError(
                    f"{option} {value:g} is not allowed; allowed: 0, parts of one from 0.0001 on, "
                    "and whole numbers"
                )
        if self.cpus_per_round < 1:
            raise ConfigError("--cpus-per-round 0 is not allowed; allowed: 1 or more")
        if self.executor == "local":
            self._check_local()

    def _check_local(self) -> None:
        """Refuse what a run in this process would not heed."""
        defaults = {each.name: each.default for each in dataclasses.fields(self)}
        for name in (
            "workers",
            "min_workers",
            "gpus_per_worker",
            "gpus_per_round",
            "storage_is_shared",
        ):
            if getattr(self, name) != defaults[name]:
                raise ConfigError(
                    f"--{name.replace('_', '-')} is for --executor ray; a local run is one process"
                )


def home_of(options: Options) -> Path:
    """Where the store, events and reports go by default. Raises ConfigError."""
    if options.home is not None:
        home = Path(options.home).absolute()
        near = next(place for place in (home, *home.parents) if place.exists())
        if not near.is_dir():
            raise ConfigError(f"--home {options.home}: {near} is no folder")
        return home
    # Set by Ray for the driver of a submitted job, whose working folder is a throw-away copy.
    try:
        return Path.home() / "prac" if in_ray_job() else Path.cwd()
    except OSError as error:
        raise ConfigError("the working folder is gone: go to another, or name --home") from error


def workers_of(
    recipe: Recipe, options: Options, given: Given, num_training: int, trainings: int
) -> int:
    """The workers of each dense training. Raises ConfigError for more than there are shares.

    trainings: dense ones in all. On a machine of one's own they share the cores: several at a time
    with a worker each waste none of them on each other.
    """
    shares = shares_of(recipe.train, num_training)
    workers = options.workers if given.workers is None else given.workers
    if workers is None:
        at_once = trainings if cluster_address() == "local" else 1
        each = available_cpus() // max(1, at_once)
        workers = min(shares, max(each, options.min_workers or 1))
    if not 1 <= workers <= shares:
        why = f"--set train.shares={workers} makes more, and other results"
        if shares < recipe.train.shares:
            why = "which batches of this data are too small for"
        raise ConfigError(
            f"--workers {workers} is not allowed; allowed: 1 to {shares}, the shares of a batch "
            f"(train.shares={recipe.train.shares}{', ' + why if workers > 0 else ''})"
        )
    if options.min_workers is not None and not 1 <= options.min_workers <= workers:
        raise ConfigError(
            f"--min-workers {options.min_workers} is not allowed; allowed: 1 to {workers}, "
            "the workers of dense training"
        )
    return workers


def request_of(
    recipe: Recipe, options: Options, given: Given, source: Source, num_training: int
) -> Request:
    """What the pipeline is asked for, as its graph reads it. Raises ConfigError."""
    precision = recipe.train.precision
    local = options.executor == "local"
    on_gpu = given.gpus if local else given.per_round
    every_on_gpu = given.gpus if local else given.per_round and given.per_worker
    if precision == "auto":
        if on_gpu and given.devices.bf16 is None:
            raise ConfigError(
                f"whether the GPUs of the cluster ({given.devices.name}) compute in bf16 is not "
                "known by their name; allowed: --set train.precision=bf16 where they do (compute "
                "capability 8 or higher), or --set train.precision=fp32"
            )
        precision = ("bf16" if given.devices.bf16 else "fp32") if on_gpu else cpu_precision()
    elif precision == "tf32" and not every_on_gpu:
        raise ConfigError(
            "train.precision tf32 is of NVIDIA's GPUs, and rounds or workers of dense training "
            "have none; allowed: auto, fp32, bf16"
        )
    return Request(
        recipe=recipe,
        data=source.fingerprint(),
        data_name=source.name,
        num_training=num_training,
        precision=precision,
        transfer_from=options.transfer_from,
        judge=options.judge,
        seeds=options.seeds,
        searches=options.searches,
        margin=options.margin,
    )
