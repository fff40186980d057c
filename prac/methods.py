"""The methods that can be compared by name: one frozen value each, and nothing else about them.

The search in one process (`prac.search`) and the graph of stages (`prac.distributed.compose`) read
these values; neither knows a method by its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from prac.errors import unknown

Borrows = Literal["nothing", "sizes"]


@dataclass(frozen=True, kw_only=True)
class Method:
    """How one method differs from PrAC's search; the defaults are PrAC.

    summary: a line for people. selects: what makes the set of a round: `critical`, `random`, or
    `everything` for the whole training split. stops_early: the early-bird stop may end a round.
    borrows: what it takes from PrAC's search of the same architecture: the `sizes` of its sets.
    """

    name: str
    summary: str
    selects: str = "critical"
    stops_early: bool = True
    borrows: Borrows = "nothing"

    @property
    def records_events(self) -> bool:
        """Whether its sets are made of its own rounds' events."""
        return self.selects == "critical"


PRAC = Method(name="prac", summary="critical sets, early stop: the method itself")

_KNOWN = (
    PRAC,
    Method(
        name="vanilla",
        summary="the same rounds on everything, none stopped early",
        selects="everything",
        stops_early=False,
    ),
    Method(
        name="random-subset",
        summary="random samples, as many as PrAC's",
        selects="random",
        borrows="sizes",
    ),
)
METHODS: Mapping[str, Method] = MappingProxyType({method.name: method for method in _KNOWN})
"""By name, in the order in which they are told."""


def find_method(name: str) -> Method:
    """The method with this name. Raises ConfigError that lists the known ones."""
    if name not in METHODS:
        raise unknown("method", name, METHODS)
    return METHODS[name]
