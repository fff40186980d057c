"""A ticket's network as one file: safetensors, ONNX or torch.export, each checked by running it.

The graphs take images as they are stored and normalise them inside, so that whoever runs the file
needs to know nothing of this library.
"""

from __future__ import annotations

import copy
import io
import json
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from prac.errors import ConfigError, TicketError, first_line
from prac.models.state import free_copies
from prac.ticket.format import Ticket
from prac.ticket.shrink import resized
from prac.ticket.shrink import shrink as shrink_network

# Extras: who exports nothing has neither ONNX nor its runtime.

ExportFormat = Literal["safetensors", "onnx", "pt2"]
Part = Literal["trained", "rewind"]
CHECKED_IMAGES = 5
"""Random images that an exported file is run on; no multiple of the two it was traced with."""
TOLERANCE = 1e-3
"""Largest difference of logits, relative to the largest logit: other kernels round otherwise."""


class ImageClassifier(nn.Module):
    """From images as they are stored to logits: permute, normalise, network."""

    scale: Tensor
    shift: Tensor

    def __init__(self, network: nn.Module, mean: Iterable[float], std: Iterable[float]) -> None:
        """mean, std: per channel on the scale [0, 1], as a data set has them."""
        super().__init__()
        self.network = network
        scale = torch.tensor(list(std)) * 255
        # As `DeviceImages` computes it, so that predictions are the same.
        self.register_buffer("scale", scale.reciprocal().view(1, -1, 1, 1))
        self.register_buffer("shift", -(torch.tensor(list(mean)) * 255 / scale).view(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """`(N, H, W, C) uint8`, 0 to 255, to logits `(N, num_classes) float32`."""
        logits: Tensor = self.network(images.permute(0, 3, 1, 2).float() * self.scale + self.shift)
        return logits


@dataclass(frozen=True, kw_only=True)
class Exported:
    """An exported file and how far its logits are from the network's on the same images.

    parameters: of the network in the file. channels_removed: None where it was not shrunk.
    """

    file: Path
    format: ExportFormat
    part: Part
    size: int
    largest_difference: float
    parameters: int
    channels_removed: int | None


def export_ticket(
    ticket: Ticket,
    file: str | Path,
    format: ExportFormat,
    *,
    part: Part | None = None,
    shrink: bool = False,
) -> Exported:
    """Write a ticket's network into `file` and run the file against the network.

    part: `trained`, the judged weights, or `rewind`, the weights that training starts from; None
    is `trained` where the ticket has them. shrink: without the channels that died
    (`prac.ticket.shrink`); the file is still run against the whole network. It appears whole or
    not at all. Raises ConfigError for a format that isn't known or needs an extra and for what
    can't be shrunk, TicketError where the file doesn't give the network's own logits.
    """
    if format not in get_args(ExportFormat):
        known = ", ".join(get_args(ExportFormat))
        raise ConfigError(f"format {format!r} is not known; known: {known}")
    part = part or ("rewind" if ticket.trained is None else "trained")
    classifier = image_classifier(ticket, part)
    written_classifier, removed = _shrunk(classifier, part) if shrink else (classifier, None)
    shape = tuple(ticket.lineage["image_shape"])
    target = Path(file)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".prac-export-") as scratch:
        written = Path(scratch) / target.name
        with _told(format):
            if format == "safetensors":
                _write_safetensors(written_classifier, written, ticket, part)
            elif format == "pt2":
                write_pt2(written_classifier, shape, written)
            else:
                _write_onnx(written_classifier, shape, written)
            run = _RUNNERS[format](written, ticket)
            difference = _compare(classifier, run, shape, target.name)
        written.replace(target)
    return Exported(
        file=target,
        format=format,
        part=part,
        size=target.stat().st_size,
        largest_difference=difference,
        parameters=sum(p.numel() for p in written_classifier.parameters()),
        channels_removed=removed,
    )


def _shrunk(classifier: ImageClassifier, part: Part) -> tuple[ImageClassifier, int]:
    """The classifier without its dead channels, and how many they were. Raises ConfigError."""
    if part != "trained":
        raise ConfigError(
            "only trained weights are shrunk: in training, dead channels would come back to life "
            "by their BatchNorm"
        )
    shrunk = shrink_network(classifier.network)
    smaller = copy.deepcopy(classifier)
    smaller.network = shrunk.network.requires_grad_(False)
    return smaller, shrunk.removed


def image_classifier(ticket: Ticket, part: Part = "trained") -> ImageClassifier:
    """The ticket's network in evaluation mode, from stored images to logits. Raises TicketError."""
    network = ticket.build(trained=part == "trained", keep=False)
    try:
        classifier = ImageClassifier(network, ticket.lineage["mean"], ticket.lineage["std"])
    except KeyError as error:
        raise TicketError(f"the ticket's lineage has no {error}; it says how to feed it") from error
    return classifier.eval().requires_grad_(False)


def write_pt2(classifier: ImageClassifier, shape: tuple[int, ...], file: Path) -> None:
    """A `torch.export` archive: `torch.export.load(file).module()` runs it, for any batch.

    Raises TicketError for a network that can't be traced.
    """
    program = traced(classifier, shape)
    # An open file: of a name, torch allows one suffix alone.
    with _told("pt2"), _quiet(), file.open("wb") as opened:
        torch.export.save(program, opened)


def traced(classifier: ImageClassifier, shape: tuple[int, ...]) -> torch.export.ExportedProgram:
    """The graph of a classifier of stored images (H, W, C). Raises TicketError where there is
    none."""
    # A batch of two: a size of one would be taken for a constant.
    example = torch.zeros((2, *shape), dtype=torch.uint8)
    with _told("pt2"), _quiet():
        return torch.export.export(
            classifier, (example,), dynamic_shapes=({0: torch.export.Dim("batch", min=1)},)
        )


def _write_onnx(classifier: ImageClassifier, shape: tuple[int, ...], file: Path) -> None:
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"ONNX needs {', '.join(missing)}, not installed; pip install 'prac[export]'"
        )
    example = torch.zeros((2, *shape), dtype=torch.uint8)
    with _quiet():
        torch.onnx.export(
            classifier,
            (example,),
            file,
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
            external_data=False,
            verbose=False,
        )


def _write_safetensors(classifier: ImageClassifier, file: Path, ticket: Ticket, part: Part) -> None:
    keys = ("architecture", "num_classes", "image_shape", "class_names", "mean", "std")
    known = {key: json.dumps(ticket.lineage[key]) for key in keys if key in ticket.lineage}
    weights = free_copies(classifier.network.state_dict())
    metadata = {"part": part, "sparsity": f"{ticket.sparsity:.6f}", **known}
    safetensors.torch.save_file(weights, file, metadata=metadata)


def _run_safetensors(file: Path, ticket: Ticket) -> Callable[[Tensor], Tensor]:
    with safetensors.safe_open(file, framework="pt") as opened:
        lineage = {**ticket.lineage, **_parsed(opened.metadata() or {})}
        weights = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    # Made to the file's own shapes: a shrunk network has fewer channels than its architecture.
    network = resized(
        Ticket(mask=ticket.mask, weights=ticket.weights, lineage=lineage).build(keep=False), weights
    )
    return ImageClassifier(network, lineage["mean"], lineage["std"]).eval()


def _parsed(metadata: Mapping[str, str]) -> dict[str, Any]:
    return {key: json.loads(value) for key, value in metadata.items() if key != "part"}


def _run_pt2(file: Path, ticket: Ticket) -> Callable[[Tensor], Tensor]:
    with file.open("rb") as opened:
        return torch.export.load(opened).module()


def _run_onnx(file: Path, ticket: Ticket) -> Callable[[Tensor], Tensor]:
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])

    def run(images: Tensor) -> Tensor:
        (logits,) = session.run(["logits"], {"images": images.numpy()})
        return torch.from_numpy(logits)

    return run


_RUNNERS: Mapping[ExportFormat, Callable[[Path, Ticket], Callable[[Tensor], Tensor]]] = {
    "safetensors": _run_safetensors,
    "onnx": _run_onnx,
    "pt2": _run_pt2,
}


def _compare(
    classifier: ImageClassifier, run: Callable[[Tensor], Tensor], shape: tuple[int, ...], name: str
) -> float:
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (CHECKED_IMAGES, *shape), generator=draw, dtype=torch.uint8)
    with torch.inference_mode():
        expected, got = classifier(images), run(images)
    difference = float((expected - got).abs().max())
    if not difference <= TOLERANCE * max(1.0, float(expected.abs().max())):
        raise TicketError(
            f"{name} was exported, but its logits differ by {difference:.3g} from the network's; "
            "it was not kept"
        )
    return difference


@contextmanager
def _told(format: ExportFormat) -> Iterator[None]:
    """Whatever exporters raise for a network (control flow on values, no such operator), told in a
    line. They have no errors in common."""
    try:
        yield
    except (ConfigError, TicketError):
        raise
    except Exception as error:
        # ONNX's exporter tells its steps, in colours; what went wrong is the cause.
        error = cause if isinstance(cause := error.__cause__, Exception) else error
        reason = first_line(error)[:200]
        raise TicketError(
            f"the network can't be exported as {format} ({type(error).__name__}: {reason}); its "
            "ticket can be trained and exported in another format"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Exporters explain themselves on stderr; a command's user is told in one line or not."""
    names = ("torch.onnx", "onnxscript", "onnx_ir")
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        # torch prints the whole graph that it gave up.
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
