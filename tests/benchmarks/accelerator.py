"""Images a second on one accelerator: bare step, our loop kernel by kernel and recorded, chains.

python tests/benchmarks/accelerator.py [--quick] [--data digits|parquet:PATH] [--architecture NAME]
    [--device cuda|cpu] [--chains 1 2 4]

Wall time between synchronisations, ways interleaved. A chain is a process that trains a round under
a mask, with augmentation and events, as a search does; several share the device. `--device cpu`
shows that the program works; a recording is made on CUDA alone.
"""

import contextlib
import multiprocessing
import time
from collections.abc import Callable, Iterator
from unittest.mock import patch

import torch
from measuring import Row, parser, show
from short_round import bare_steps, training_of

from prac import Mask, global_magnitude
from prac.config.sections import AugmentConfig, DataConfig
from prac.data.batches import DeviceImages
from prac.data.sources import open_source
from prac.events.recorder import EventRecorder
from prac.models.registry import build_model
from prac.pruning.prunable import prunable_weights
from prac.training import loop
from prac.training.loop import train
from prac.training.observers import EventObserver, Observer
from prac.training.precision import resolve_precision


class Bench:
    """One network and one data set on one device."""

    def __init__(self, data: str, architecture: str, device: str, samples: int) -> None:
        dataset = open_source(DataConfig(source=data)).load()
        self.images = DeviceImages(dataset, AugmentConfig(), device)
        self.images.validation_ids = self.images.validation_ids[:1]
        self.ids = dataset.training_ids[:samples]
        self.precision = resolve_precision("auto", self.images.device)
        self.model = build_model(
            architecture, num_classes=dataset.num_classes, image_shape=dataset.image_shape, seed=0
        )
        mask = global_magnitude(prunable_weights(self.model), Mask.dense(self.model), 0.2)
        self.mask = mask
        self.model.to(self.images.device).to(memory_format=torch.channels_last)

    def epoch(self, *, events: bool, recorded: bool) -> None:
        """An epoch of our loop."""
        training = training_of(self.images, self.ids, self.precision)
        recorder = EventRecorder(0, lambda epoch, table: None)
        observers: list[Observer] = [EventObserver(recorder)] if events else []
        with contextlib.nullcontext() if recorded else kernel_by_kernel():
            train(self.model, training, mask=self.mask, observers=observers)

    def synchronize(self) -> None:
        """Wait until the device has done all."""
        if self.images.device.type == "cuda":
            torch.cuda.synchronize()

    def seconds(self, way: Callable[[], None]) -> float:
        """Wall time of a way, from an idle device to an idle device."""
        self.synchronize()
        started = time.perf_counter()
        way()
        self.synchronize()
        return time.perf_counter() - started


@contextlib.contextmanager
def kernel_by_kernel() -> Iterator[None]:
    """No passes are recorded while this lasts."""
    with patch.object(loop, "passes_for", lambda eager, device, *, alone: eager):
        yield


def chain(settings: tuple, repeats: int, barrier, queue) -> None:
    """A process that trains an epoch whenever the barrier opens."""
    torch.set_num_threads(1)
    bench = Bench(*settings)
    bench.epoch(events=True, recorded=True)
    for _ in range(repeats):
        barrier.wait(timeout=600)
        queue.put(bench.seconds(lambda: bench.epoch(events=True, recorded=True)))
        barrier.wait(timeout=600)


def chains(count: int, settings: tuple, repeats: int) -> float:
    """The least seconds in which `count` chains have each trained an epoch."""
    context = multiprocessing.get_context("spawn")
    barrier, queue = context.Barrier(count + 1), context.Queue()
    processes = [
        context.Process(target=chain, args=(settings, repeats, barrier, queue), daemon=True)
        for _ in range(count)
    ]
    for process in processes:
        process.start()
    walls = []
    for _ in range(repeats):
        barrier.wait(timeout=600)
        barrier.wait(timeout=600)
        walls.append(max(queue.get() for _ in processes))
    for process in processes:
        process.join()
    return min(walls)


def main() -> None:
    """Parse, measure, show."""
    arguments = parser(__doc__)
    arguments.add_argument("--data", default="digits")
    arguments.add_argument("--architecture", default="resnet20s")
    arguments.add_argument("--device", default="cuda")
    arguments.add_argument("--samples", type=int, default=45_000)
    arguments.add_argument("--chains", type=int, nargs="+", default=[1, 2, 4])
    options = arguments.parse_args()
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        raise SystemExit("no CUDA device is on this machine; --device cpu shows the program")
    torch.set_num_threads(1)
    samples = 256 if options.quick else options.samples
    settings = (options.data, options.architecture, options.device, samples)
    bench, repeats = Bench(*settings), 2 if options.quick else 5
    ways: dict[str, Callable[[], None]] = {
        "bare step": lambda: bare_steps(bench.model, bench.images, bench.ids, bench.precision),
        "loop, kernel by kernel": lambda: bench.epoch(events=False, recorded=False),
        "loop, recorded": lambda: bench.epoch(events=False, recorded=True),
        "loop, recorded, events": lambda: bench.epoch(events=True, recorded=True),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats + 1):
        for name, way in ways.items():
            times[name].append(bench.seconds(way))
    # The first of each warms up: algorithms are chosen, memory is taken.
    least = {name: min(seconds[1:]) for name, seconds in times.items()}
    count = len(bench.ids)
    rows: list[Row] = [
        {
            "way": name,
            "images/s": count / seconds,
            "share of the bare speed": least["bare step"] / seconds,
        }
        for name, seconds in least.items()
    ]
    for number in options.chains:
        wall = chains(number, settings, repeats)
        speed = number * count / wall
        rows.append(
            {
                "way": f"{number} chains" if number > 1 else "1 chain",
                "images/s": speed,
                "share of the bare speed": speed * least["bare step"] / count,
            }
        )
    name = torch.cuda.get_device_name() if bench.images.device.type == "cuda" else "CPU"
    show(f"accelerator: {options.architecture}, {bench.precision}, {name}", rows, options.json)


if __name__ == "__main__":
    main()
