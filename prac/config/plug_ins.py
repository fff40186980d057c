"""Fields that take a plug-in: one of ours by its name, or `package.module:name` of the user's.

They are marked where they stand, and who needs the user's asks here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from prac.config.checks import require_strategy
from prac.errors import ConfigError, unknown
from prac.plugins import is_custom, load_custom, name_of

T = TypeVar("T")


def plug_in(default: str, ours: tuple[str, ...], **metadata: bool) -> Any:
    """A field of a section that takes one. ours: their names."""
    return dataclasses.field(default=default, metadata={"plug_in": ours, **metadata})


def hold_plug_ins(section: Any) -> None:
    """Hold those that were handed over as objects by their names. Raises ConfigError for a name
    that can't be one."""
    for each in dataclasses.fields(section):
        if "plug_in" in each.metadata:
            name = name_of(getattr(section, each.name))
            object.__setattr__(section, each.name, name)
            require_strategy(f"{section.WIRE}.{each.name}", name, each.metadata["plug_in"])


def plug_ins(*sections: Any) -> tuple[str, ...]:
    """The user's among the plug-ins of these sections."""
    names = (
        getattr(section, each.name)
        for section in sections
        for each in dataclasses.fields(section)
        if "plug_in" in each.metadata
    )
    return tuple(filter(is_custom, names))


def find_plug_in(
    setting: str, name: str, ours: Mapping[str, T], kind: type[T], decorator: Callable[..., Any]
) -> T:
    """One of ours by its name, or the user's `package.module:function`. Raises ConfigError."""
    if name in ours:
        return ours[name]
    if not is_custom(name):
        raise unknown(setting, name, [*ours, "package.module:function"])
    found = load_custom(setting, name)
    if not isinstance(found, kind):
        raise ConfigError(
            f"{setting} {name!r} is of type {type(found).__name__}; allowed: a function decorated "
            f"with {decorator.__module__}.{decorator.__name__}"
        )
    return found
