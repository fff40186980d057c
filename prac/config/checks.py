"""What a setting may be, said in one line."""

from __future__ import annotations

from prac.errors import ConfigError


def require(condition: bool, name: str, value: object, allowed: str) -> None:
    """Raises ConfigError where the condition doesn't hold."""
    if not condition:
        raise ConfigError(f"{name} {value!r} is not allowed; allowed: {allowed}")


def require_choice(name: str, value: object, choices: tuple[object, ...]) -> None:
    """Raises ConfigError for a value that is none of the choices."""
    require(value in choices, name, value, ", ".join(map(str, choices)))
