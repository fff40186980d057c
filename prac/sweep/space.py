"""What a sweep varies: fields of the recipe, their values, and the points that are tried."""

from __future__ import annotations

import importlib.util
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import numpy as np

from prac.config.checks import require, require_choice
from prac.config.recipe import Recipe
from prac.errors import ConfigError

Sampler = Literal["grid", "random", "optuna"]
SAMPLERS: tuple[Sampler, ...] = get_args(Sampler)
SECTIONS = ("select", "prune", "budget")
"""Sections that may vary: all that follows from the dense run's data and weights."""

Values = Mapping[str, Any]
"""A point: `section.field` to its value."""


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One field: either its values, or a range from low to high, both included."""

    WIRE: ClassVar[str] = "axis"

    field: str
    values: tuple[Any, ...] = ()
    low: float = 0
    high: float = 0
    whole: bool = False

    @property
    def is_range(self) -> bool:
        """Whether it is drawn from a range."""
        return not self.values

    @property
    def listed(self) -> Sequence[Any]:
        """The different values, where there is an end of them."""
        if self.is_range:
            return range(int(self.low), int(self.high) + 1)
        # By their words, as everywhere: 1 is not True.
        return list({setting_text(value): value for value in self.values}.values())

    def holds(self, value: Any) -> bool:
        """Whether it is one of them, or lies in the range."""
        if not self.is_range:
            return setting_text(value) in map(setting_text, self.values)
        if isinstance(value, bool) or not isinstance(value, int if self.whole else (int, float)):
            return False
        # Rounding may take a draw past an end.
        low, high = (_rounded(end) for end in (self.low, self.high))
        return min(self.low, low) <= value <= max(self.high, high)


@dataclass(frozen=True, kw_only=True)
class Space:
    """All axes, how points are chosen, and how many (None: the whole grid)."""

    WIRE: ClassVar[str] = "space"

    axes: tuple[Axis, ...]
    sampler: Sampler = "grid"
    trials: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.axes:
            raise ConfigError(
                "nothing varies; give --vary SECTION.FIELD=VALUES, e.g. --vary "
                "select.threshold=0,1,2,4"
            )
        fields = [axis.field for axis in self.axes]
        if len(set(fields)) < len(fields):
            raise ConfigError(f"--vary names a field twice: {', '.join(fields)}")
        require_choice("--sampler", self.sampler, SAMPLERS)
        ranges = [axis.field for axis in self.axes if axis.is_range]
        if self.sampler == "grid" and ranges:
            raise ConfigError(
                f"--vary {ranges[0]}: a range has no grid; give values with commas, or "
                "--sampler random or optuna with --trials"
            )
        if self.sampler != "grid" and self.trials is None:
            raise ConfigError(f"--sampler {self.sampler} needs --trials N")
        require(self.trials is None or self.trials >= 1, "--trials", self.trials, "1 or more")
        if self.sampler == "grid" and self.trials is not None:
            raise ConfigError("--trials is for --sampler random or optuna; a grid is tried whole")

    def points(self) -> list[Values]:
        """The points of a grid or of random draws, each once; none for Optuna, which decides as it
        goes. Random draws are a function of the seed."""
        if self.sampler == "optuna":
            return []
        if self.sampler == "grid":
            return self.every_point()
        generator = np.random.default_rng([self.seed, 0x53EE9])
        wanted = self.trials or 1
        if not any(axis.is_range for axis in self.axes):
            grid = self.every_point()
            order = generator.permutation(len(grid))[:wanted]
            return [grid[place] for place in order]
        drawn: dict[str, Values] = {}
        # A range of few whole numbers may not have as many points as are wanted.
        for _ in range(20 * wanted):
            point = self.tidy(draw(self, generator))
            drawn.setdefault(label(point), point)
            if len(drawn) == wanted:
                break
        return list(drawn.values())

    def holds(self, point: Values) -> bool:
        """Whether it is a point of this space."""
        axes = {axis.field: axis for axis in self.axes}
        return point.keys() == axes.keys() and all(axes[f].holds(v) for f, v in point.items())

    def tidy(self, drawn: Values) -> Values:
        """The point with what was drawn from ranges in four significant digits, which a command
        line can carry; listed values stay as they were asked for."""
        ranges = [axis.field for axis in self.axes if axis.is_range and not axis.whole]
        return {**drawn, **{field: _rounded(drawn[field]) for field in ranges}}

    @property
    def size(self) -> int | None:
        """How many points it has; None where a range has no end of them."""
        if any(axis.is_range and not axis.whole for axis in self.axes):
            return None
        return math.prod(len(axis.listed) for axis in self.axes)

    @property
    def small_size(self) -> int | None:
        """How many points it has, where these are fewer than the trials that are asked for."""
        size = self.size
        return size if size is not None and size < (self.trials or 0) else None

    def every_point(self) -> list[Values]:
        """All points of a space that has an end, each once."""
        return _products({axis.field: axis.listed for axis in self.axes})

    def probes(self) -> list[Values]:
        """Points that between them change every field: what they share, all trials share."""
        first = {field: values[0] for field, values in self._ends.items()}
        return [{**first, field: value} for field, values in self._ends.items() for value in values]

    def mixes(self) -> list[Values]:
        """All combinations of listed values, ranges at their lower ends: what has to be allowed
        together before a sampler that goes by results may propose it."""
        ranges = {axis.field for axis in self.axes if axis.is_range}
        return _products({f: v[:1] if f in ranges else v for f, v in self._ends.items()})

    def corners(self) -> list[Values]:
        """All combinations of listed values and of the ends of ranges."""
        return _products(self._ends)

    @property
    def _ends(self) -> dict[str, tuple[Any, ...]]:
        """By field, its values, or the ends of its range."""
        found: dict[str, tuple[Any, ...]] = {}
        for axis in self.axes:
            ends = (int(axis.low), int(axis.high)) if axis.whole else (axis.low, axis.high)
            found[axis.field] = ends if axis.is_range else axis.values
        return found


@dataclass(frozen=True, kw_only=True)
class SweepOptions:
    """What a sweep tries and how.

    concurrency: trials at once; None is one for each core. asha: stop trials whose validation
    accuracy is among the lower half after `grace_rounds` rounds and twice as many, and so on.
    resume: insist on a sweep that was begun before.
    """

    space: Space
    concurrency: int | None = None
    asha: bool = False
    grace_rounds: int = 2
    resume: bool = False

    def __post_init__(self) -> None:
        at_once = self.concurrency
        require(at_once is None or at_once >= 1, "--concurrency", at_once, "1 or more")
        require(self.grace_rounds >= 1, "--grace", self.grace_rounds, "1 or more")
        if self.asha and self.space.sampler == "optuna":
            raise ConfigError(
                "--asha is not allowed with --sampler optuna: the steps of a trial that was "
                "stopped early look cheap; allowed: grid, random"
            )
        if self.space.sampler == "optuna" and importlib.util.find_spec("optuna") is None:
            raise ConfigError("--sampler optuna needs Optuna; pip install 'prac[sweep]'")


def _products(values: Mapping[str, Sequence[Any]]) -> list[Values]:
    return [dict(zip(values, mix, strict=True)) for mix in itertools.product(*values.values())]


def draw(space: Space, generator: np.random.Generator) -> Values:
    """A point, every value of an axis as likely as any other."""
    return {axis.field: _draw(axis, generator) for axis in space.axes}


def _draw(axis: Axis, generator: np.random.Generator) -> Any:
    if not axis.is_range:
        return axis.values[int(generator.integers(len(axis.values)))]
    if axis.whole:
        return int(generator.integers(int(axis.low), int(axis.high) + 1))
    return float(generator.uniform(axis.low, axis.high))


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def setting_text(value: Any) -> str:
    """A value as `--set` takes it."""
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def label(values: Values) -> str:
    """A point in words, which is its name everywhere: `select.threshold=2 prune.patience=3`."""
    return " ".join(f"{field}={setting_text(value)}" for field, value in values.items())


def short_label(values: Values) -> str:
    """A point as part of a stage's name: `threshold=2,patience=3`."""
    return ",".join(f"{f.partition('.')[2]}={setting_text(v)}" for f, v in values.items())


def varied(recipe: Recipe, values: Values) -> Recipe:
    """The recipe at a point. Raises ConfigError for a value that isn't allowed."""
    by_section: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        section, _, field = name.partition(".")
        by_section.setdefault(section, {})[field] = value
    return recipe.set(**by_section)
