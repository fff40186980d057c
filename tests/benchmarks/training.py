"""Images a second: a bare step against our loop with masks, augmentation and events, interleaved.

python tests/benchmarks/training.py [--quick] [--data digits|parquet:PATH] [--architecture NAME]
"""

import statistics
import tempfile
import time
from collections.abc import Callable

import pyarrow as pa
import torch
from measuring import Row, parser, show
from short_round import CONFIG, bare_steps, training_of

from prac import Mask, global_magnitude
from prac.config.sections import AugmentConfig, DataConfig
from prac.data.batches import DeviceImages
from prac.data.sources import open_source
from prac.events.file import EventFile
from prac.events.log import EventLog
from prac.events.recorder import EventRecorder
from prac.models.registry import build_model
from prac.pruning.prunable import prunable_weights
from prac.storage import Folder
from prac.training.evaluation import EVALUATION_BATCH, predict
from prac.training.loop import train
from prac.training.observers import EventObserver, Observer
from prac.training.precision import autocast, resolve_precision


def bare_inference(model: torch.nn.Module, images: DeviceImages, count: int) -> None:
    """The forward passes of as many images, on one resident batch of evaluation's size."""
    precision = resolve_precision("auto", images.device)
    inputs = images.clean(images.training_ids[:EVALUATION_BATCH])
    model.eval()
    with torch.inference_mode(), autocast(images.device, precision):
        for _ in range(-(-count // EVALUATION_BATCH)):
            model(inputs)
    model.train()


def events_alone(ids, batch_size: int) -> None:
    """What the events of an epoch add to it: recorded step by step, sorted, written as one file."""
    logits, labels = (
        torch.randn(batch_size, 10, dtype=torch.bfloat16),
        torch.zeros(batch_size).long(),
    )
    with tempfile.TemporaryDirectory() as folder:
        log = EventLog(Folder(folder), "benchmark")

        def write(epoch: int, events: pa.Table) -> None:
            log.write(EventFile(0, epoch, 0, 1, 0), events, epoch_rows=len(ids))

        recorder = EventRecorder(0, write)
        for start in range(0, len(ids), batch_size):
            part = ids[start : start + batch_size]
            recorder.record(part, logits[: len(part)], labels[: len(part)])
        recorder.end_epoch(0)


def main() -> None:
    """Parse, measure, show."""
    arguments = parser(__doc__)
    arguments.add_argument("--data", default="digits")
    arguments.add_argument("--architecture", default=None)
    arguments.add_argument("--samples", type=int, default=2560, help="samples of a short epoch")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    dataset = open_source(DataConfig(source=options.data)).load()
    architecture = options.architecture or ("resnet8" if options.data == "digits" else "resnet20s")
    plain = DeviceImages(dataset, AugmentConfig(crop_padding=0, flip=False))
    augmented = DeviceImages(dataset, AugmentConfig())
    ids = dataset.training_ids[: 512 if options.quick else options.samples]
    for images in (plain, augmented):  # the loop's validation is timed apart: a few images here
        images.validation_ids = images.validation_ids[:1]
    model = build_model(
        architecture, num_classes=dataset.num_classes, image_shape=dataset.image_shape, seed=0
    ).to(memory_format=torch.channels_last)
    precision = resolve_precision("auto", plain.device)
    pruned = global_magnitude(prunable_weights(model), Mask.dense(model), 0.2)

    def loop(images: DeviceImages, mask: Mask | None, events: bool) -> None:
        training = training_of(images, ids, precision)
        recorder = EventRecorder(0, lambda epoch, table: None)
        observers: list[Observer] = [EventObserver(recorder)] if events else []
        train(model, training, mask=mask, observers=observers)

    ways: dict[str, Callable[[], None]] = {
        "bare step": lambda: bare_steps(model, plain, ids, precision),
        "loop": lambda: loop(plain, None, False),
        "loop, masked": lambda: loop(plain, pruned, False),
        "loop, masked, augmented": lambda: loop(augmented, pruned, False),
        "loop, masked, augmented, events": lambda: loop(augmented, pruned, True),
        "events alone": lambda: events_alone(ids, CONFIG.batch_size),
        "bare inference": lambda: bare_inference(model, plain, len(ids)),
        "predictions, as for CEP": lambda: predict(model, plain, ids, precision),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(2 if options.quick else 5):
        for name, way in ways.items():
            model.train()
            started = time.process_time()
            way()
            times[name].append(time.process_time() - started)
    least = {name: min(seconds) for name, seconds in times.items()}
    # A hundredth is lost in the noise of two whole epochs; what events add is timed by itself.
    added = least["events alone"] / least["loop, masked, augmented"]
    bare = {
        name: "bare inference" if name.startswith(("bare inf", "pred")) else "bare step"
        for name in ways
    }
    shares = {
        name: statistics.median(b / t for b, t in zip(times[bare[name]], times[name], strict=True))
        for name in ways
    }
    rows: list[Row] = [
        {
            "way": name,
            "images/s": len(ids) / seconds,
            "share of the bare speed": least[bare[name]] / seconds,
            "median of shares": shares[name],
            "spread of times": (max(times[name]) - seconds) / seconds,
        }
        for name, seconds in least.items()
    ]
    rows[-1] = {**rows[-1], "time with events / without": 1 + added}
    show(f"training: {architecture} on {dataset.image_shape} images, one core", rows, options.json)


if __name__ == "__main__":
    main()
