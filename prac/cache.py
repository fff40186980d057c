"""Answers that can be found again, kept from one run to the next by all that they read."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import json
import os
from pathlib import Path
from typing import Any, TypeVar

from prac.schema import SchemaError, file_bytes, read
from prac.version import __version__

CACHE = "PRAC_CACHE"
"""Environment variable: the folder of what is kept, in place of `~/.cache/prac`."""

T = TypeVar("T")


def kept(kind: type[T], what: str, digest: str) -> T | None:
    """The answer with this digest, a dataclass; None for what isn't there or isn't whole.

    what: names the folder of answers of one kind.
    """
    try:
        return read(kind, file_bytes(_file(what, digest)))
    except (OSError, SchemaError):
        return None


def keep(answer: Any, what: str, digest: str) -> None:
    """Keep an answer, a dataclass. A cache that can't be written is none."""
    file = _file(what, digest)
    scratch = file.with_suffix(f".{os.getpid()}.tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        scratch.write_text(json.dumps(dataclasses.asdict(answer)))
        scratch.replace(file)
    except OSError:
        with contextlib.suppress(OSError):
            scratch.unlink()


def versions(*packages: str) -> tuple[str, ...]:
    """Of this package and of installed ones, for answers that another version may find
    otherwise."""
    return (__version__, *map(importlib.metadata.version, packages))


def _file(what: str, digest: str) -> Path:
    own = os.environ.get(CACHE)
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return (Path(own) if own else Path(cache) / "prac") / what / f"{digest}.json"
