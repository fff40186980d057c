"""Two cores against one: two chains at once, and two data-parallel workers on one network.

python tests/benchmarks/scaling.py [--quick] [--data digits|parquet:PATH] [--architecture NAME]

Ways interleaved, the best of several. By wall time on a quiet machine; on a busy one only
processor time says something: what two processes cost each other in cache, memory and messages.
"""

import multiprocessing
import tempfile
import time
from pathlib import Path

import torch
import torch.distributed as dist
from measuring import Row, parser, show
from short_round import training_of

from prac.config.sections import AugmentConfig, DataConfig
from prac.data.batches import DeviceImages
from prac.data.sources import open_source
from prac.models.registry import build_model
from prac.training.loop import train
from prac.training.processor import cpu_precision
from prac.training.workers import Workers


def work(rank, size, settings, barrier, seconds) -> None:
    """Train some epochs whenever the barrier opens; the seconds of each go into the queue."""
    torch.set_num_threads(1)
    data, architecture, samples, store, repeats, warm = settings
    dataset = open_source(DataConfig(source=data)).load()
    images = DeviceImages(dataset, AugmentConfig())
    images.validation_ids = images.validation_ids[:size]
    if store is not None:
        file = dist.FileStore(store, size)
        dist.init_process_group("gloo", store=file, rank=rank, world_size=size)
    workers = Workers.of_process_group()
    ids = dataset.training_ids[:samples]

    def epoch(ids) -> None:
        model = build_model(
            architecture, num_classes=dataset.num_classes, image_shape=dataset.image_shape, seed=0
        )
        training = training_of(images, ids, cpu_precision())
        train(model, training, workers=workers)

    epoch(ids[:warm])
    for _ in range(repeats):
        barrier.wait(timeout=300)
        started, used = time.perf_counter(), time.process_time()
        epoch(ids)
        seconds.put((time.perf_counter() - started, time.process_time() - used))
        barrier.wait(timeout=300)


class Team:
    """Processes that wait for the word to train an epoch."""

    def __init__(self, size: int, settings: tuple) -> None:
        context = multiprocessing.get_context("spawn")
        self.barrier, self.seconds = context.Barrier(size + 1), context.Queue()
        arguments = (size, settings, self.barrier, self.seconds)
        self.processes = [
            context.Process(target=work, args=(rank, *arguments), daemon=True)
            for rank in range(size)
        ]
        for process in self.processes:
            process.start()

    def epoch(self) -> tuple[float, float]:
        """Seconds until the last of them is done; the most processor seconds that one took."""
        self.barrier.wait(timeout=200)
        self.barrier.wait(timeout=200)
        walls, used = zip(*(self.seconds.get() for _ in self.processes), strict=True)
        return max(walls), max(used)


def main() -> None:
    """Parse, measure, show."""
    arguments = parser(__doc__)
    arguments.add_argument("--data", default="digits")
    arguments.add_argument("--architecture", default=None)
    arguments.add_argument("--samples", type=int, default=2560)
    options = arguments.parse_args()
    architecture = options.architecture or ("resnet8" if options.data == "digits" else "resnet20s")
    repeats = 2 if options.quick else 6
    samples = 512 if options.quick else options.samples
    with tempfile.TemporaryDirectory() as folder:
        store = str(Path(folder) / "store")
        settings = (options.data, architecture, samples)
        teams = {
            "one chain": Team(1, (*settings, None, repeats, 256)),
            "two chains": Team(2, (*settings, None, repeats, 256)),
            "two workers, one network": Team(2, (*settings, store, repeats, 256)),
        }
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in teams}
        for _ in range(repeats):
            for name, team in teams.items():
                times[name].append(team.epoch())
        for team in teams.values():
            for process in team.processes:
                process.join()
    work_done = {"one chain": 1, "two chains": 2, "two workers, one network": 1}
    walls = {name: [wall for wall, _ in both] for name, both in times.items()}
    used = {name: [processor for _, processor in both] for name, both in times.items()}
    rows: list[Row] = [
        {
            "way": name,
            "images/s": samples * work_done[name] / min(walls[name]),
            "against one chain": work_done[name] * min(walls["one chain"]) / min(walls[name]),
            "by processor time": work_done[name] * min(used["one chain"]) / min(used[name]),
            "spread of wall": (max(walls[name]) - min(walls[name])) / min(walls[name]),
            "spread of processor": (max(used[name]) - min(used[name])) / min(used[name]),
        }
        for name in times
    ]
    show(f"scaling: {architecture}, one thread a process", rows, options.json)


if __name__ == "__main__":
    main()
