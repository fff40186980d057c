"""How a pipeline is run, and what is asked of it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from prac.config.values import Judge
from prac.errors import ConfigError
from prac.machine import in_ray_job

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
    settings: of the recipe, as the command line has them (`SECTION.FIELD=VALUE`).
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
    judge: Judge = "auto"
    seeds: int = 1
    searches: int = 1
    margin: float = 0.5
    plan: bool = False
    only: tuple[str, ...] = ()
    settings: Sequence[str] = ()

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
        try:
            home = Path(options.home).expanduser().absolute()
        except RuntimeError as error:  # of a ~user that isn't known
            raise ConfigError(f"--home {options.home}: {error}") from error
        near = next(place for place in (home, *home.parents) if place.exists())
        if not near.is_dir():
            raise ConfigError(f"--home {options.home}: {near} is no folder")
        return home
    # Set by Ray for the driver of a submitted job, whose working folder is a throw-away copy.
    try:
        return Path.home() / "prac" if in_ray_job() else Path.cwd()
    except OSError as error:
        raise ConfigError("the working folder is gone: go to another, or name --home") from error
