"""The one place that hashes: canonical values to stage keys.

Values are hashed with their type's tag, so that `1`, `1.0`, `True` and `"1"` differ, and an
array's dtype and shape count.
"""

from __future__ import annotations

import dataclasses
import hashlib
import struct
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

KEY_LENGTH = 32
"""Hexadecimal digits of a key: 128 bits, and within MLflow's 36 characters for a digest."""


def fingerprint(value: Any) -> str:
    """Hash a value of None, bool, int, float, str, bytes, sequence, mapping, set, array or
    dataclass, nested as you like, into 32 hexadecimal digits.

    Raises TypeError for any other type: what has no canonical form has no key.
    """
    digest = hashlib.sha256()
    for piece in _pieces(value):
        digest.update(struct.pack("<q", len(piece)))
        digest.update(piece)
    return digest.hexdigest()[:KEY_LENGTH]


def stage_key(
    stage: str, version: int, config: Mapping[str, Any], inputs: Mapping[str, str]
) -> str:
    """The key of a stage: its name and version, what it reads of the configuration, and the keys
    of its inputs by role."""
    return fingerprint({"stage": stage, "version": version, "config": config, "inputs": inputs})


def _pieces(value: Any) -> Iterator[bytes]:
    leaf = _leaf(value)
    if leaf is not None:
        yield from leaf
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        # A name that is written down: renaming a class changes no key.
        wire = getattr(value, "WIRE", None)
        if wire is None:
            raise TypeError(f"a {type(value).__name__} has no WIRE name and can't be hashed")
        yield b"dataclass"
        yield wire.encode()
        fields = {
            f.metadata.get("wire", f.name): getattr(value, f.name)
            for f in dataclasses.fields(value)
        }
        yield from _pieces(fields)
    elif isinstance(value, Mapping):
        yield b"mapping"
        yield str(len(value)).encode()
        for key in sorted(value, key=lambda k: (type(k).__name__, k)):
            yield from _pieces(key)
            yield from _pieces(value[key])
    elif isinstance(value, (list, tuple)):
        yield b"sequence"
        yield str(len(value)).encode()
        for item in value:
            yield from _pieces(item)
    elif isinstance(value, (set, frozenset)):
        yield b"set"
        yield from _pieces(sorted(fingerprint(item) for item in value))
    else:
        raise TypeError(f"a {type(value).__name__} has no canonical form and can't be hashed")


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
