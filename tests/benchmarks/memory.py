"""Memory of the processes that work: a chain's worker on CIFAR-10, its data set shared.

python tests/benchmarks/memory.py --data parquet:PATH [--quick]

A Ray cluster of two CPUs; two tasks train a round each at the same time, on one data set that lies
once in the node's shared memory, and import MLflow as a stage does when it is committed.
"""

import os
import tempfile
from pathlib import Path
from typing import Any

import psutil
import ray
from measuring import Row, parser, show

from prac.config.recipes import get_recipe
from prac.config.sections import DataConfig
from prac.data.sources import open_source


def one_round(dataset_ref: list[Any], folder: str, samples: int) -> dict[str, float]:
    """A round on some samples, then what a commit imports; bytes of this process."""
    import dataclasses

    import torch

    from prac.config.values import RewindPoint
    from prac.data.batches import DeviceImages
    from prac.lottery.rounds import RoundTask, run_round
    from prac.lottery.stage_config import round_config
    from prac.lottery.steps import training  # noqa: F401  what a stage's process imports
    from prac.storage import Folder
    from prac.tracking.store import MlflowStore
    from prac.training.processor import cpu_precision

    torch.set_num_threads(1)
    dataset = ray.get(dataset_ref[0])
    recipe = get_recipe("cifar10_resnet20s")
    search = dataclasses.replace(recipe.search, rewind=RewindPoint("init"))
    train = dataclasses.replace(recipe.train, epochs=1, milestones=())
    recipe = recipe.replace(train=train, search=search)
    config = round_config(recipe, "resnet20s", 1, precision=cpu_precision(), records_events=True)
    images = DeviceImages(dataset, recipe.augment)
    images.validation_ids = images.validation_ids[:256]
    images.training_ids = images.training_ids[:samples]
    task = RoundTask(run="memory", config=config, sample_ids=dataset.training_ids[:samples])
    run_round(task, images, Folder(folder))
    MlflowStore(f"sqlite:///{folder}/mlflow.db").prepare()
    used = psutil.Process().memory_full_info()
    return {
        "resident": used.rss,
        "its own": used.uss,
        "shared mapping": used.shared,
        "owns its images": float(dataset.train_images.flags.owndata),
    }


def main() -> None:
    """Parse, measure, show."""
    arguments = parser(__doc__)
    arguments.add_argument("--data", required=True)
    options = arguments.parse_args()
    dataset = open_source(DataConfig(source=options.data)).load()
    size = dataset.train_images.nbytes + dataset.test_images.nbytes
    samples = 256 if options.quick else 1280
    ray.init(address="local", num_cpus=2, log_to_driver=False)
    try:
        task = ray.remote(num_cpus=1)(one_round)
        reference = ray.put(dataset)
        with tempfile.TemporaryDirectory() as folder:
            places = [str(Path(folder) / str(i)) for i in range(2)]
            for place in places:
                os.makedirs(place)
            used = ray.get([task.remote([reference], place, samples) for place in places])
    finally:
        ray.shutdown()
    mib = 2**20
    rows: list[Row] = [
        {
            "process": f"worker {number}",
            **{name: f"{value / mib:,.0f} MiB" for name, value in one.items() if value > 1},
            "images copied": bool(one["owns its images"]),
            "resident MiB": one["resident"] / mib,
            "its own MiB": one["its own"] / mib,
            "data set MiB": size / mib,
        }
        for number, one in enumerate(used)
    ]
    show("memory: two chains' workers", rows, options.json)


if __name__ == "__main__":
    main()
