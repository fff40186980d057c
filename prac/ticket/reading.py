"""A stranger's ticket, read with care: regular files inside its folder, JSON of one strict form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Gt, Interval, Len

from prac.config.sections import Precision
from prac.errors import TicketError
from prac.schema import Count, Proportion, SchemaError, Sha256, Within, file_bytes, formed, read

MANIFEST_FILE = "ticket.json"

MAX_MANIFEST = 16 * 2**20
"""Bytes of ticket.json: class names take most of it."""

MAX_TENSORS = 64 * 2**30
"""Bytes of a file of weights or of the mask."""


def read_inside(folder: Path, name: str, limit: int) -> bytes:
    """The bytes of a file of a ticket. Raises TicketError for a link that leads out of the folder,
    for what is no regular file and for more than `limit` bytes; OSError where it can't be read."""
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise TicketError(f"{path} is a link out of the ticket's folder")
    try:
        return file_bytes(path, limit)
    except SchemaError as error:
        raise TicketError(str(error)) from None


def check_folder(folder: Path) -> None:
    """Refuse a folder in which something is no regular file of its own, before it is copied."""
    for path in folder.rglob("*"):
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            raise TicketError(f"{path} is a link or no regular file; a ticket holds neither")


@dataclass(frozen=True, kw_only=True)
class TicketFile:
    """The fields of ticket.json. sha256: by file. lineage: keys of anyone's own are among it."""

    format: Count
    sparsity: Proportion
    weights_alive: Count
    sha256: Mapping[Within, Sha256]
    lineage: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class _Lineage:
    """What `prac` reads of a lineage; all of it may be absent."""

    architecture: str = ""
    num_classes: Annotated[int, Interval(ge=1, le=10**6)] = 1
    image_shape: Annotated[tuple[Annotated[int, Interval(ge=1, le=2**12)], ...], Len(3, 3)] = ()
    class_names: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[Annotated[float, Gt(0)], ...] = ()
    data: str = ""
    data_fingerprint: str = ""
    method: str = ""
    layers: str = ""
    rewind: str = ""
    recipe: str = ""
    precision: Precision = "fp32"
    round: Count = 0
    seed: Count = 0
    training_seed: Count = 0
    parameters: Count | None = None
    set_size: Count = 0
    num_training: Count = 0
    search_steps: Count = 0
    found_steps: Count | None = None
    as_found: bool = False
    steps_saved: float | None = None
    flops_dense: Count = 0
    flops_sparse: Count = 0
    bytes_dense: Count = 0
    bytes_sparse: Count = 0
    splits: Mapping[str, Count] = field(default_factory=dict)
    found_on: str | None = None
    dense_test_accuracy: Proportion | None = None
    found_test_accuracy: Proportion | None = None
    found_validation_accuracy: Proportion | None = None
    test_accuracy: Proportion | None = None
    validation_accuracy: Proportion | None = None
    made_by: Mapping[str, str] = field(default_factory=dict)


def manifest_from(data: bytes, where: object) -> TicketFile:
    """The fields of ticket.json. Raises TicketError that names the field that isn't right.

    A lineage may have keys of anyone's own, with any finite JSON value.
    """
    try:
        manifest = read(TicketFile, data, MAX_MANIFEST)
        formed(_Lineage, manifest.lineage, within="lineage", others=True)
    except SchemaError as error:
        raise TicketError(f"{where}: ticket.json: {error}") from None
    return manifest
