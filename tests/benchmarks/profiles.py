"""Where the time of a round goes: torch's profiler over some epochs of our loop, by part.

python tests/benchmarks/profiles.py [--quick] [--data digits|parquet:PATH] [--architecture NAME]

Self time of every operator on this thread, under the part of the step that started it. `--trace
FILE` keeps the trace for a viewer (chrome://tracing, Perfetto).
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from measuring import Row, parser, show
from short_round import training_of
from torch.profiler import ProfilerActivity, profile, record_function

from prac import Mask, TentativeMask, global_magnitude
from prac.config.sections import AugmentConfig, DataConfig
from prac.data import batches
from prac.data.batches import DeviceImages
from prac.data.sources import open_source
from prac.events.recorder import EventRecorder
from prac.models.registry import build_model
from prac.pruning.prunable import prunable_weights
from prac.training import loop, passes
from prac.training.loop import train
from prac.training.observers import EventObserver, TentativeObserver
from prac.training.precision import resolve_precision
from prac.training.sgd import Sgd

PARTS = {
    "batches and augmentation": (batches, "augmented"),
    "normalisation": (DeviceImages, "_normalised"),
    "events": (EventRecorder, "record"),
    "events, end of epoch": (EventRecorder, "end_epoch"),
    "gradients' mask": (loop, "_mask_gradients"),
    "SGD": (Sgd, "step"),
    "tentative mask": (TentativeObserver, "on_epoch"),
    "validation": (loop, "count_correct"),
    "forward, loss and backward": (passes.EagerPasses, "__call__"),
}
"""The functions whose time is a part of the step; what they call is theirs."""


PASSES = "forward, loss and backward"
OPERATORS = {
    "convolution, backward": ("convolution_backward",),
    "convolution": ("conv", "mkldnn", "onednn"),
    "BatchNorm": ("batch_norm",),
    "casts and copies": ("copy_", "_to_copy", "aten::to", "clone", "contiguous", "fill_", "zero_"),
    "ReLU and additions": ("relu", "threshold", "add", "clamp"),
}
"""What the passes' operators are put together as, by the first that is in the name."""


def named(part: str, function: Callable[..., object]) -> Callable[..., object]:
    """The function, with its part written into the profile."""

    def call(*arguments: object, **more: object) -> object:
        with record_function(f"part: {part}"):
            return function(*arguments, **more)

    return call


@contextlib.contextmanager
def parts_named() -> Iterator[None]:
    """All parts are named while this lasts."""
    with contextlib.ExitStack() as stack:
        for part, (owner, name) in PARTS.items():
            stack.enter_context(patch.object(owner, name, named(part, getattr(owner, name))))
        yield


def part_of(event: Any) -> str:
    """The innermost part that an operator ran under."""
    at = event
    while at is not None:
        if at.name.startswith("part: "):
            return str(at.name.removeprefix("part: "))
        at = at.cpu_parent
    return "the loop itself, batches' rows and sums"


def operator_of(name: str) -> str:
    """What an operator of the passes is put under."""
    for group, words in OPERATORS.items():
        if any(word in name for word in words):
            return group
    return "other operators, autograd, Python"


def by_part(events: Any) -> Counter[str]:
    """Microseconds of self time by part; those of the passes by operator."""
    spent: Counter[str] = Counter()
    for event in events:
        part = part_of(event)
        name = f"{PASSES}: {operator_of(event.name)}" if part == PASSES else part
        spent[name] += event.self_cpu_time_total
    return spent


def main() -> None:
    """Train an epoch to warm up, profile some, show where they went."""
    arguments = parser(__doc__)
    arguments.add_argument("--data", default="digits")
    arguments.add_argument("--architecture", default=None)
    arguments.add_argument("--samples", type=int, default=2560)
    arguments.add_argument("--trace", type=Path, default=None)
    options = arguments.parse_args()
    torch.set_num_threads(1)
    dataset = open_source(DataConfig(source=options.data)).load()
    architecture = options.architecture or ("resnet8" if options.data == "digits" else "resnet20s")
    images = DeviceImages(dataset, AugmentConfig())
    ids = dataset.training_ids[: 512 if options.quick else options.samples]
    images.validation_ids = images.validation_ids[: len(ids) // 9]
    model = build_model(
        architecture, num_classes=dataset.num_classes, image_shape=dataset.image_shape, seed=0
    )
    mask = global_magnitude(prunable_weights(model), Mask.dense(model), 0.2)
    precision = resolve_precision("auto", images.device)

    def epochs(count: int) -> int:
        observers = [
            EventObserver(EventRecorder(0, lambda epoch, table: None)),
            TentativeObserver(TentativeMask(mask)),
        ]
        training = training_of(images, ids, precision, epochs=count)
        return train(model, training, mask=mask, observers=observers).steps

    epochs(1)
    with (
        parts_named(),
        profile(activities=[ProfilerActivity.CPU]) as profiled,
        record_function("training"),
    ):
        steps = epochs(2)
    if options.trace is not None:
        profiled.export_chrome_trace(str(options.trace))
    spent = by_part(profiled.events())
    whole = sum(spent.values())
    rows: list[Row] = [
        {
            "part": part,
            "ms a step": spent[part] / steps / 1000,
            "% of time": 100 * spent[part] / whole,
        }
        for part in sorted(spent, key=lambda part: -spent[part])
    ]
    shape = "x".join(map(str, dataset.image_shape))
    show(f"profiles: {architecture} on {shape} images, {precision}, one core", rows, options.json)


if __name__ == "__main__":
    main()
