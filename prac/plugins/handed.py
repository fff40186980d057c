"""Objects that are handed over in Python, by the names under which configurations hold them."""

from __future__ import annotations

import hashlib
import re
import threading
from typing import Any

from prac.plugins.objects import importable_name, object_digest, own_key

MODULE = "here"
"""Of names that mean something in this process alone: `here:Net`."""

_lock = threading.Lock()
_handed: dict[str, tuple[Any, tuple[str, ...]]] = {}
"""By name: the object and what of it goes into keys."""


def name_of(thing: Any) -> str:
    """The name of a plug-in: itself, where it is one; `package.module:name` of what another process
    can import; else a name that this process alone knows.

    The same object, and one that is made of the same source and values, has the same name in every
    process: it ends in what goes into keys. Raises ConfigError for what has no identity.
    """
    if isinstance(thing, str):
        return thing
    name = importable_name(thing)
    if name is not None:
        return name
    key = own_key(thing)
    told = ("prac_key", key) if key is not None else (object_digest(thing),)
    # Values of ours have a name; of a decorated function that is the function's.
    said = getattr(thing, "__name__", None) or getattr(thing, "name", None) or type(thing).__name__
    base = re.sub(r"\W+", "_", str(said)).strip("_") or "plugin"
    base = base if not base[0].isdigit() else f"_{base}"
    name = f"{MODULE}:{base}_{hashlib.sha256(repr(told).encode()).hexdigest()[:8]}"
    with _lock:
        _handed[name] = (thing, told)
    return name


def handed(name: str) -> Any | None:
    """The object that was handed over under this name in this process."""
    return _handed[name][0] if name in _handed else None


def handed_identity(name: str) -> tuple[str, ...] | None:
    """What of it goes into keys."""
    return _handed[name][1] if name in _handed else None


def is_of_this_process(name: str) -> bool:
    """Whether no other process can load what a name stands for."""
    return name.partition(":")[0] in (MODULE, "__main__")
