"""What a setting may be, said in one line."""

from __future__ import annotations

from collections.abc import Iterable

from prac.errors import ConfigError, did_you_mean
from prac.plugins import is_custom


def require(condition: bool, name: str, value: object, allowed: str) -> None:
    """Raises ConfigError where the condition doesn't hold."""
    if not condition:
        raise ConfigError(f"{name} {value!r} is not allowed; allowed: {allowed}")


def require_choice(name: str, value: object, choices: tuple[object, ...]) -> None:
    """Raises ConfigError for a value that is none of the choices."""
    if value not in choices:
        raise _not_one_of(name, value, map(str, choices))


def require_strategy(name: str, value: str, known: Iterable[str]) -> None:
    """Raises ConfigError for what is neither one of ours nor has the form of a user's name; whether
    that exists is seen when it is loaded."""
    if value not in known and not is_custom(value):
        raise _not_one_of(name, value, (*known, "package.module:name"))


def _not_one_of(name: str, value: object, choices: Iterable[str]) -> ConfigError:
    allowed = list(choices)
    told = f"allowed: {', '.join(allowed)}{did_you_mean(str(value)[:100], allowed)}"
    return ConfigError(f"{name} {value!r} is not allowed; {told}")
