"""Values of more than one part that fields of a configuration hold, and how they are written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from prac.config.checks import require as _require
from prac.config.checks import require_choice as _require_choice
from prac.errors import ConfigError


@dataclass(frozen=True)
class RewindPoint:
    """Where the rewind weights are taken in round 0: `epoch:3`, `step:500` or `init`.

    `epoch:3` is after the third epoch, `step:500` after the 500th SGD step. `learning-rate` rewinds
    no weights: every round goes on from the best ones of the round before, and only the schedule
    starts again (Renda et al. 2020, arXiv:2003.02389); the last mask is trained too.
    """

    WIRE: ClassVar[str] = "rewind"
    unit: Literal["epoch", "step", "init", "learning-rate"] = "epoch"
    at: int = 3

    def __post_init__(self) -> None:
        units = ("epoch", "step", "init", "learning-rate")
        _require_choice("search.rewind unit", self.unit, units)
        if self.unit in ("init", "learning-rate"):
            object.__setattr__(self, "at", 0)
        else:
            _require(self.at >= 1, f"search.rewind {self.unit}", self.at, "1 or more")

    @classmethod
    def parse(cls, text: str) -> RewindPoint:
        """Read `epoch:3`, `step:500`, `init` or `learning-rate`."""
        unit, _, at = text.partition(":")
        if text in ("init", "learning-rate"):
            return cls(text)  # type: ignore[arg-type]
        if unit in ("epoch", "step") and at.isdecimal():
            return cls(unit, int(at))  # type: ignore[arg-type]
        raise ConfigError(
            f"search.rewind {text!r} is not allowed; allowed: epoch:N, step:N, init, learning-rate"
        )

    @property
    def rewinds(self) -> bool:
        """Whether weights go back at all."""
        return self.unit != "learning-rate"

    @property
    def needs_training(self) -> bool:
        """Whether they are weights that a dense run has come to."""
        return self.unit in ("epoch", "step")

    def __str__(self) -> str:
        return f"{self.unit}:{self.at}" if self.unit in ("epoch", "step") else self.unit


_JudgedBy = Literal["auto", "found", "last", "all", "none"]
JUDGED_BY: tuple[str, ...] = get_args(_JudgedBy)
Judge = _JudgedBy | tuple[int, ...]
"""Which tickets are tested. `found`: as the search's own rounds left them, trained under their
masks already, where weights go on from round to round; nothing is trained for it. `last`, `all` and
rounds: trained alone for the full budget, by seeds. `auto`: found where weights go on and one seed
is asked for, or else the last."""


@dataclass(frozen=True)
class Share:
    """A number as a share of another, such as steps of the full budget's: `0.5x` is half."""

    WIRE: ClassVar[str] = "share"
    of: float

    def __post_init__(self) -> None:
        _require(0 < self.of <= 1, "share", str(self), "above 0x, up to 1x")

    @classmethod
    def parse(cls, text: str) -> Share | int:
        """Read `0.5x`, or a whole number. Raises ConfigError."""
        try:
            return cls(float(text[:-1])) if text.endswith("x") else int(text)
        except ConfigError:
            raise
        except ValueError as error:
            raise ConfigError(
                f"{text!r} is not allowed; allowed: a whole number, or a share such as 0.5x"
            ) from error

    def __str__(self) -> str:
        return f"{self.of:g}x"
