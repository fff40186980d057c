"""A stranger's ticket, read with care: regular files inside its folder, JSON of one strict form."""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from prac.errors import TicketError

MAX_MANIFEST = 16 * 2**20
"""Bytes of ticket.json: class names take most of it."""

MAX_TENSORS = 64 * 2**30
"""Bytes of a file of weights or of the mask."""

_MAX_SIDE, _MAX_CLASSES = 2**12, 10**6
_SHARES = (
    "dense_test_accuracy",
    "found_test_accuracy",
    "found_validation_accuracy",
    "test_accuracy",
    "validation_accuracy",
)
_TEXTS = ("architecture", "data", "data_fingerprint", "method", "precision", "recipe")
_FIELDS = ("format", "sparsity", "weights_alive", "sha256", "lineage")


def read_inside(folder: Path, name: str, limit: int) -> bytes:
    """The bytes of a file of a ticket. Raises TicketError for a link that leads out of the folder,
    for what is no regular file and for more than `limit` bytes; OSError where it can't be read."""
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise TicketError(f"{path} is a link out of the ticket's folder")
    # A FIFO would keep an ordinary open waiting for ever.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise TicketError(f"{path} is no regular file")
        if found.st_size > limit:
            raise TicketError(f"{path} has {found.st_size:,} bytes; allowed: {limit:,}")
        return file.read(found.st_size)


def check_folder(folder: Path) -> None:
    """Refuse a folder in which something is no regular file of its own, before it is copied."""
    for path in folder.rglob("*"):
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            raise TicketError(f"{path} is a link or no regular file; a ticket holds neither")


def manifest_from(data: bytes, where: object) -> dict[str, Any]:
    """The fields of ticket.json. Raises TicketError that names the field that isn't right.

    A lineage may have keys of anyone's own, with any finite JSON value.
    """
    try:
        manifest = json.loads(data, object_pairs_hook=_once, parse_constant=_not_finite)
    except RecursionError:
        raise TicketError(f"{where}: ticket.json is nested too deeply") from None
    except ValueError as error:
        raise TicketError(f"{where}: ticket.json is no strict JSON: {error}") from None
    if not isinstance(manifest, dict) or set(manifest) != set(_FIELDS):
        fields = ", ".join(_FIELDS)
        raise TicketError(f"{where}: ticket.json must have the fields {fields}, and no others")
    sums = manifest["sha256"]
    right = {
        "format": _is_count(manifest["format"]),
        "sparsity": _is_share(manifest["sparsity"]),
        "weights_alive": _is_count(manifest["weights_alive"]),
        "sha256": isinstance(sums, dict) and all(isinstance(s, str) for s in sums.values()),
        "lineage": isinstance(manifest["lineage"], dict),
    }
    for name, holds in right.items():
        if not holds:
            raise TicketError(f"{where}: {name} of ticket.json is not what it must be")
    _check_lineage(manifest["lineage"], where)
    return manifest


def _check_lineage(lineage: Mapping[str, Any], where: object) -> None:
    right: dict[str, Callable[[Any], bool]] = dict.fromkeys(_SHARES, _is_share)
    right |= dict.fromkeys(_TEXTS, _is_text)
    right |= {
        "num_classes": lambda v: _is_count(v) and 1 <= v <= _MAX_CLASSES,
        "image_shape": lambda v: _are(v, lambda n: _is_count(n) and 1 <= n <= _MAX_SIDE, 3),
        "class_names": lambda v: _are(v, _is_text),
        "mean": lambda v: _are(v, _is_number),
        "std": lambda v: _are(v, lambda n: _is_number(n) and n > 0),
    }
    for name, holds in right.items():
        unmeasured = name in _SHARES and lineage.get(name) is None
        if name in lineage and not unmeasured and not holds(lineage[name]):
            told = repr(lineage[name])[:80]
            raise TicketError(f"{where}: lineage.{name} of ticket.json can't be {told}")


def _are(values: object, holds: Callable[[Any], bool], length: int | None = None) -> bool:
    if not isinstance(values, list) or length not in (None, len(values)):
        return False
    return all(holds(value) for value in values)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and _is_number(value) and 0 <= value <= 1


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    for name, value in pairs:
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{name} is not finite")
    return found


def _not_finite(text: str) -> float:
    raise ValueError(f"{text} is no finite number")
