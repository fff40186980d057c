"""The fields of a section brought to their types, whoever hands them over.

A text of the command line has its type already; what Python hands over may be NumPy's number, a
list, or something else. What is the same is the same value, and so the same key.
"""

from __future__ import annotations

import dataclasses
import functools
import operator
import types
import typing
from collections.abc import Hashable
from numbers import Real
from typing import Any, cast

from prac.config.values import RewindPoint, Share
from prac.errors import ConfigError

_ALLOWED = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a text",
    type(None): "none",
    RewindPoint: "epoch:N, step:N, init or learning-rate",
    Share: "a share such as 0.5x",
}


def hold_types(section: Any) -> None:
    """Raises ConfigError for a value that its field can't hold. Plug-ins, and options of scores,
    are not looked at."""
    for name, kind in _kinds(cast(Hashable, type(section))):
        value = getattr(section, name)
        held = _held(value, kind)
        if held is _NO:
            raise ConfigError(
                f"{section.WIRE}.{name} {value!r} is not allowed; allowed: {_allowed(kind)}"
            )
        if held is not value:
            object.__setattr__(section, name, held)


@functools.cache
def _kinds(hashed: Hashable) -> tuple[tuple[str, Any], ...]:
    section = cast(Any, hashed)
    hints = typing.get_type_hints(section)
    return tuple(
        (each.name, hints[each.name])
        for each in dataclasses.fields(section)
        if "plug_in" not in each.metadata and _is_known(hints[each.name])
    )


def _is_known(kind: Any) -> bool:
    if typing.get_origin(kind) is tuple:
        return True
    return all(part in _ALLOWED for part in _parts(kind))


def _parts(kind: Any) -> tuple[Any, ...]:
    is_union = typing.get_origin(kind) in (typing.Union, types.UnionType)
    return typing.get_args(kind) if is_union else (kind,)


class _Nothing:
    """What no field holds."""


_NO = _Nothing()


def _held(value: Any, kind: Any) -> Any:
    if typing.get_origin(kind) is tuple:
        each = typing.get_args(kind)[0]
        if isinstance(value, str) or not hasattr(value, "__iter__"):
            return _NO
        parts = tuple(_held(part, each) for part in value)
        return _NO if _NO in parts else value if parts == value else parts
    # A text is first of all a text, where the field holds one.
    for part in sorted(_parts(kind), key=lambda part: part is not str):
        if isinstance(value, part) and not (isinstance(value, bool) and part is not bool):
            return value
    for part in _parts(kind):
        held = _turned(value, part)
        if held is not _NO:
            return held
    return _NO


def _turned(value: Any, kind: type) -> Any:
    if isinstance(value, str):
        return kind.parse(value) if kind in (RewindPoint, Share) else _NO
    if type(value).__name__ in ("bool", "bool_"):  # Python's, and NumPy's by both of its names
        return bool(value) if kind is bool else _NO
    if kind is int:
        try:
            return operator.index(value)
        except TypeError:
            return _NO
    if kind is float and isinstance(value, Real):
        return float(value)
    return _NO


def _allowed(kind: Any) -> str:
    if typing.get_origin(kind) is tuple:
        return f"several, each {_allowed(typing.get_args(kind)[0])}"
    return ", or ".join(_ALLOWED[part] for part in _parts(kind))
