"""What scores and samplers can be told: a frozen class of options for each that has any.

They are set beside the selection's own fields (`--set select.window=5`, or
`SelectConfig(options={"window": 5})`), and each strategy is given its own, with defaults for those
that nobody set. A score or sampler of the user's names a class like these.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from prac.config.checks import require
from prac.errors import ConfigError

Scalar = bool | int | float | str | None
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class NoOptions:
    """Of a strategy that can't be told anything."""


@dataclass(frozen=True, kw_only=True)
class EventsOptions:
    """score_epochs: the first epochs of round 0 that scores of its events look at; None: all."""

    score_epochs: int | None = None

    def __post_init__(self) -> None:
        _require_epochs("score_epochs", self.score_epochs)


@dataclass(frozen=True, kw_only=True)
class WindowOptions(EventsOptions):
    """Of dual and dyn-unc. window: epochs."""

    window: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.window >= 2, "select.window", self.window, "2 or more epochs")


@dataclass(frozen=True, kw_only=True)
class DivergenceOptions(WindowOptions):
    """Of tdds. A window of two epochs has one divergence, which differs from nothing."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.window >= 3, "select.window", self.window, "3 or more epochs for tdds")


@dataclass(frozen=True, kw_only=True)
class StrataOptions:
    """Of ccs: how many strata, and the share of the highest scores that is left out."""

    strata: int = 50
    hardest_cut: float = 0.0

    def __post_init__(self) -> None:
        require(1 <= self.strata <= 10**6, "select.strata", self.strata, "1 to 1000000")
        cut = self.hardest_cut
        require(0 <= cut < 1, "select.hardest_cut", cut, "0 or more, below 1")


@dataclass(frozen=True, kw_only=True)
class ProxyOptions:
    """The architecture of the proxy, and its full budget; None is train.epochs."""

    proxy: str = "resnet8"
    proxy_epochs: int | None = None

    def __post_init__(self) -> None:
        require(bool(self.proxy), "select.proxy", self.proxy, "an architecture's name")
        _require_epochs("proxy_epochs", self.proxy_epochs)


OURS: tuple[type, ...] = (WindowOptions, StrataOptions, ProxyOptions)


def own_options(kind: type[T], given: Mapping[str, Scalar]) -> T:
    """A strategy's options, of all that are given. Raises ConfigError for one of another type."""
    names = option_types(kind)
    for name in names.keys() & given.keys():
        _check_type(name, given[name], names[name])
    return kind(**{name: given[name] for name in names if name in given})


def option_types(*kinds: type) -> dict[str, Any]:
    """By name."""
    return {name: hint for kind in kinds for name, hint in typing.get_type_hints(kind).items()}


def option_values(options: Any) -> dict[str, Any]:
    """By name: those of one strategy."""
    return {each.name: getattr(options, each.name) for each in dataclasses.fields(options)}


def _check_type(name: str, value: Scalar, hint: Any) -> None:
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    allowed = typing.get_args(hint) if union else (hint,)
    if not set(allowed) <= set(typing.get_args(Scalar)):
        return  # the class itself says what it takes
    # A whole number is a number, but true isn't.
    if type(value) not in allowed and not (type(value) is int and float in allowed):
        names = ", ".join("none" if kind is types.NoneType else kind.__name__ for kind in allowed)
        raise ConfigError(f"select.{name} {value!r} is not allowed; allowed: {names}")


def _require_epochs(name: str, epochs: int | None) -> None:
    allowed = epochs is None or 1 <= epochs < 2**15
    require(allowed, f"select.{name}", epochs, "1 to 32767, or none")
