"""What the options of a run come to: the workers of dense training, the precision."""

from __future__ import annotations

from prac.app.devices import Given
from prac.app.options import Options
from prac.config.recipe import Recipe
from prac.config.sections import Precision
from prac.errors import ConfigError
from prac.machine import available_cpus, cluster_address
from prac.training.processor import cpu_precision
from prac.training.schedule import shares_of


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


def precision_of(recipe: Recipe, options: Options, given: Given) -> Precision:
    """What `train.precision` comes to on these devices. Raises ConfigError."""
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
    return precision
