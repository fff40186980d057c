"""What files of others and of earlier days may hold: JSON of one strict form, or a refusal.

The form is that of a dataclass: its fields and no others, each of its type and in
its range. A key that stands twice, a number that is not finite, a text too deep or too long are
refused before.
"""

from __future__ import annotations

import functools
import json
import math
import os
import re
import stat
from collections.abc import Hashable
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

from annotated_types import Ge, Interval, Len, Predicate

T = TypeVar("T")

Count = Annotated[int, Ge(0)]
"""0 or more."""
Proportion = Annotated[float, Interval(ge=0, le=1)]
"""A fraction in [0, 1]."""
Sha256 = Annotated[str, Len(64, 64)]
"""Hexadecimal digits."""


def letters_and_digits(text: str) -> bool:
    """Whether it names a file by itself: letters, digits, - and _, of ASCII, up to 100."""
    return re.fullmatch(r"[A-Za-z0-9_-]{1,100}", text) is not None


def path_within(text: str) -> bool:
    """Whether it is the path of a file inside a folder, as `a/b`."""
    parts = text.split("/")
    return not {"", ".", ".."} & {*parts} and "\\" not in text and "\0" not in text


Key = Annotated[str, Predicate(letters_and_digits)]
"""A name that becomes that of a file or a folder."""
Within = Annotated[str, Predicate(path_within)]
"""The path of a file inside a folder."""
Amount = Annotated[float, Ge(0)]
"""0 or more, finite."""

MAX_TEXT = 16 * 2**20
"""Bytes of a file whose size its kind doesn't tell otherwise."""

_TOLD = 80


class SchemaError(ValueError):
    """What a text holds that it may not: one line that names the field."""


def file_bytes(path: Path, limit: int = MAX_TEXT) -> bytes:
    """The bytes of a regular file. Raises SchemaError for what is none and for more than `limit`
    bytes, OSError where it can't be read."""
    # A FIFO would keep an ordinary open waiting for ever.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise SchemaError(f"{path} is no regular file")
        if found.st_size > limit:
            raise SchemaError(f"{path} has {found.st_size:,} bytes; allowed: {limit:,}")
        return file.read(found.st_size)


def parse(text: str | bytes, limit: int = MAX_TEXT) -> Any:
    """A JSON value. Raises SchemaError for what is longer than `limit` bytes or characters, no
    JSON, nested too deeply, doubled or not finite."""
    if len(text) > limit:
        raise SchemaError(f"{len(text):,} bytes; allowed: {limit:,}")
    try:
        return json.loads(
            text, object_pairs_hook=_once, parse_constant=_not_finite, parse_int=_number
        )
    except RecursionError:
        raise SchemaError("it is nested too deeply") from None
    except ValueError as error:
        raise SchemaError(f"it is no strict JSON: {_in_a_line(error)}") from None


def read(form: type[T], text: str | bytes, limit: int = MAX_TEXT) -> T:
    """The value of this form that a JSON text holds. Raises SchemaError."""
    return formed(form, parse(text, limit))


def formed(form: type[T], value: Any, *, within: str = "", others: bool = False) -> T:
    """A parsed JSON value in its form. within: the field that it is. others: keys of anyone's own
    may stand beside its own, which are left out. Raises SchemaError."""
    from pydantic import ValidationError  # slow to import: only who reads a file pays

    try:
        made: T = _adapter(cast(Hashable, form)).validate_json(
            json.dumps(value), strict=True, extra="ignore" if others else "forbid"
        )
    except (ValidationError, RecursionError, ValueError) as error:
        if not isinstance(error, ValidationError):
            raise SchemaError(f"it can't be read: {_in_a_line(error)}") from None
        first = error.errors(include_url=False, include_context=False)[0]
        if first["type"] == "json_invalid":  # of what Python's reader lets through
            raise SchemaError(f"it is no strict JSON: {first['msg'].lower()}") from None
        where = ".".join(map(str, [within, *first["loc"]] if within else first["loc"])) or "it"
        told = " ".join(repr(first["input"])[:_TOLD].split())
        # A key may be any text: it is told without control characters.
        raise SchemaError(
            f"{repr(where)[1:-1][:200]}: {first['msg'].lower()}, not {told}"
        ) from None
    return made


@functools.cache
def _adapter(form: Hashable) -> Any:
    from pydantic import TypeAdapter  # 0.05 s: help reads no files

    return TypeAdapter(cast(Any, form))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise SchemaError(f"{twice[:_TOLD]!r} stands twice")
    for name, value in pairs:
        if isinstance(value, float) and not math.isfinite(value):
            raise SchemaError(f"{name[:_TOLD]!r} is not finite")
        if isinstance(value, str) and not (value.isascii() or _is_text(value)):
            raise SchemaError(f"{name[:_TOLD]!r} holds half a character")
    return found


def _is_text(value: str) -> bool:
    return not any("\ud800" <= each <= "\udfff" for each in value)


def _number(text: str) -> int:
    if len(text) > 300:  # as a float it would not be finite
        raise SchemaError(f"{text[:20]}... is a number of {len(text)} digits")
    return int(text)


def _not_finite(text: str) -> float:
    raise SchemaError(f"{text} is no finite number")


def _in_a_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
