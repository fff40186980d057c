"""What a setting may be, said in one line."""

from __future__ import annotations

from collections.abc import Iterable

from prac.errors import ConfigError
from prac.plugins import is_custom


def require(condition: bool, name: str, value: object, allowed: str) -> None:
    """Raises ConfigError where the condition doesn't hold."""
    if not condition:
        raise ConfigError(f"{name} {value!r} is not allowed; allowed: {allowed}")


def require_choice(name: str, value: object, choices: tuple[object, ...]) -> None:
    """Raises ConfigError for a value that is none of the choices."""
    require(value in choices, name, value, ", ".join(map(str, choices)))


def require_strategy(name: str, value: str, known: Iterable[str]) -> None:
    """Raises ConfigError for what is neither one of ours nor has the form of a user's name; whether
    that exists is seen when it is loaded."""
    allowed = ", ".join((*known, "package.module:name"))
    require(value in known or is_custom(value), name, value, allowed)
