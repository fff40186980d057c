"""The one place that hashes: canonical values to stage keys.

Values are hashed with their type's tag, so that `1`, `1.0`, `True` and `"1"` differ, and an
array's dtype and shape count.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

KEY_LENGTH = 32
"""Hexadecimal digits of a key: 128 bits, and within MLflow's 36 characters for a digest."""

_LENGTH = struct.Struct("<q")


def fingerprint(value: Any) -> str:
    """Hash a value of None, bool, int, float, str, bytes, sequence, mapping, set, array or
    dataclass, nested as you like, into 32 hexadecimal digits.

    Raises TypeError for any other type: what has no canonical form has no key.
    """
    content = bytearray()
    _add(value, content)
    return hashlib.sha256(content).hexdigest()[:KEY_LENGTH]


def stage_key(
    stage: str, version: int, config: Mapping[str, Any], inputs: Mapping[str, str]
) -> str:
    """The key of a stage: its name and version, what it reads of the configuration, and the keys
    of its inputs by role."""
    return fingerprint({"stage": stage, "version": version, "config": config, "inputs": inputs})


def _put(content: bytearray, *pieces: bytes) -> None:
    for piece in pieces:
        content += _LENGTH.pack(len(piece))
        content += piece


def _add(value: Any, content: bytearray) -> None:
    """Append the pieces of a value, each after its length."""
    leaf = _leaf(value)
    if leaf is not None:
        _put(content, *leaf)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        kind = type(value)
        # A name that is written down: renaming a class changes no key.
        wire = getattr(kind, "WIRE", None)
        if wire is None:
            raise TypeError(f"a {kind.__name__} has no WIRE name and can't be hashed")
        _put(content, b"dataclass", wire.encode())
        names = [
            (getattr(value, name), piece)
            for name, piece, later in _wire_names(kind)
            if later is None or getattr(value, name) != later.default
        ]
        _put(content, b"mapping", str(len(names)).encode())
        for held, piece in names:
            content += piece
            _add(held, content)
    elif isinstance(value, Mapping):
        _put(content, b"mapping", str(len(value)).encode())
        for key in sorted(value, key=lambda k: (type(k).__name__, k)):
            _add(key, content)
            _add(value[key], content)
    elif isinstance(value, (list, tuple)):
        _put(content, b"sequence", str(len(value)).encode())
        for item in value:
            _add(item, content)
    elif isinstance(value, (set, frozenset)):
        _put(content, b"set")
        _add(sorted(fingerprint(item) for item in value), content)
    else:
        raise TypeError(f"a {type(value).__name__} has no canonical form and can't be hashed")


@functools.cache
def _wire_names(kind: type) -> tuple[tuple[str, bytes, dataclasses.Field[Any] | None], ...]:
    """The fields of a dataclass in the order of their names in keys: each with that name, as it is
    written, and itself where it came later. A graph of ten thousand stages writes a million of
    them.

    A field whose metadata say `later` is in no key while it has its default: who configured a
    search before it was there finds that search again. One whose metadata say `place` is in none:
    where something lies, whose content is told elsewhere."""
    told = (f for f in dataclasses.fields(kind) if not f.metadata.get("place"))
    fields = sorted(told, key=lambda f: f.metadata.get("wire", f.name))
    found = []
    for one in fields:
        piece = bytearray()
        _add(one.metadata.get("wire", one.name), piece)
        found.append((one.name, bytes(piece), one if one.metadata.get("later") else None))
    return tuple(found)


def _leaf(value: Any) -> tuple[bytes, ...] | None:
    """The pieces of a value that holds no other values; None for one that may."""
    if value is None:
        return (b"none",)
    if isinstance(value, (bool, np.bool_)):
        return (b"bool", b"1" if value else b"0")
    if isinstance(value, (int, np.integer)):
        return (b"int", str(int(value)).encode())
    if isinstance(value, (float, np.floating)):
        return (b"float", float(value).hex().encode())
    if isinstance(value, str):
        return (b"str", value.encode())
    if isinstance(value, bytes):
        return (b"bytes", value)
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        content = np.ascontiguousarray(value).tobytes()
        return (b"array", value.dtype.str.encode(), str(value.shape).encode(), content)
    return None
