"""The methods that can be compared by name: one frozen value each, and nothing else about them.

The graph of stages (`prac.lottery.compose`) reads these values and knows no method by its name. A
method of your own is such a value in a file of yours, `--compare package.module:name` runs it
beside PrAC:

    from prac import Method

    mine = Method(name="", summary="mine", selects="package.module:my_score", borrows="steps")

A score (`prac.selection.scores`) or a criterion (`prac.pruning.criteria`) of yours can be named
there too, and is then a method by itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, get_args

from prac.errors import ConfigError, unknown
from prac.plugins import is_custom, load_custom

Data = Literal["selected", "everything", "fresh"]
Part = Literal["cet", "cep"]
Start = Literal["rewind", "initial", "redrawn"]
Borrows = Literal["nothing", "sizes", "steps", "rounds"]
Trains = Literal["rounds", "dense", "tickets", "nothing"]
Role = Literal["samples", "own sizes", "weights", "drawn weights", "chance", "everything"]
"""What a search by a method may be asked: whether choosing the `samples` paid, since the random
control has as many samples and steps; the same of sets of `own sizes`, which no control has;
neither of methods that choose `weights`, have `drawn weights`, draw samples by `chance`, or take
`everything`."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """How one method differs from PrAC's search; the defaults are PrAC.

    label: its name in tables and figures; empty is the name itself. colour, marker: in figures;
    empty are any that are free. summary: a line for people.
    data: what a round after the first trains on: a `selected` set, `everything`, or a `fresh`
    random subset in every epoch.
    selects: the score that makes the sets (a `select.score`); None is the configuration's own.
    samples: how samples are taken by that score (a `select.sampler`); None is the configuration's.
    parts: of a critical set; None takes those of the configuration.
    prunes: the criterion that makes the masks (a `prune.criterion`); None is the configuration's.
    trains: all its `rounds`; the `dense` network alone, for the weights that tickets rewind to and
    that masks are made by where they read any; each of its `tickets` for the full budget from the
    initial weights, pruned little by little on the way (`prune.gradual`, or half of the steps); or
    `nothing`.
    stops_early: the early-bird stop may end a round.
    starts: where its tickets start from: the `rewind` weights of its round 0, the `initial` weights
    of the search, or weights `redrawn` with another seed.
    borrows: what it takes from PrAC's search of the same architecture: `nothing`, the `sizes` of
    its sets, these and the number of its `steps` (the epochs of each round, in place of a stop of
    its own), or all of its `rounds`. Raises ConfigError where its data can't have them.
    """

    name: str
    summary: str
    label: str = ""
    colour: str = ""
    marker: str = ""
    data: Data = "selected"
    selects: str | None = None
    samples: str | None = None
    parts: tuple[Part, ...] | None = None
    prunes: str | None = None
    trains: Trains = "rounds"
    stops_early: bool = True
    starts: Start = "rewind"
    borrows: Borrows = "nothing"

    def __post_init__(self) -> None:
        if self.trains not in get_args(Trains):
            raise ConfigError(
                f"a Method with trains={self.trains!r} is not allowed; "
                f"allowed: {', '.join(get_args(Trains))}"
            )
        if self.trains != "rounds" and self.data != "everything":
            raise ConfigError(
                f"a Method with trains={self.trains!r} has no rounds for data={self.data!r}; "
                "allowed: data='everything'"
            )
        if self.trains == "nothing" and self.starts == "rewind":
            raise ConfigError(
                "a Method with trains='nothing' has no weights to rewind to; "
                "allowed: starts='initial' or starts='redrawn'"
            )
        sized = self.borrows in ("sizes", "steps")
        if self.trains == "tickets" and (self.starts, self.borrows) != ("rewind", "nothing"):
            raise ConfigError(
                f"a Method with trains='tickets', starts={self.starts!r} and "
                f"borrows={self.borrows!r} is not allowed; allowed: starts='rewind' and "
                "borrows='nothing'"
            )
        if self.data == "everything" and sized:
            raise ConfigError(
                f"a Method with data='everything' has no sets to give PrAC's {self.borrows}; "
                "allowed: data='selected' or data='fresh'"
            )
        if self.data == "fresh" and not sized:
            raise ConfigError(
                f"a Method with data='fresh' and borrows={self.borrows!r} has no sizes; "
                "allowed: borrows='sizes' or borrows='steps'"
            )

    @property
    def chooses(self) -> Literal["samples", "weights"]:
        """What it chooses otherwise than vanilla does."""
        masks = self.prunes is not None or self.borrows == "rounds" or self.trains == "tickets"
        return "weights" if masks else "samples"

    @property
    def by_chance(self) -> bool:
        """Whether its samples are drawn: nothing about them chooses."""
        return self.data == "fresh" or self.selects == "random"

    @property
    def weights_by_chance(self) -> bool:
        """Whether the weights that it keeps, or those that they begin with, are drawn."""
        return self.prunes in ("random", "random-erk") or self.starts == "redrawn"

    @property
    def role(self) -> Role:
        """Its part where searches are compared: what `Role` says."""
        if self.chooses == "weights":
            return "drawn weights" if self.weights_by_chance else "weights"
        if self.by_chance:
            return "chance"
        if self.data == "everything":
            return "everything"
        return "samples" if self.borrows == "steps" or self.name == PRAC.name else "own sizes"

    def trains_round(self, index: int) -> bool:
        """Whether it trains a network in round k = `index`."""
        return self.trains in ("rounds", "tickets") or (self.trains == "dense" and index == 0)

    def as_method(self, name: str) -> Method:
        """Itself, under the name that it was asked for by."""
        return dataclasses.replace(self, name=name)


PRAC = Method(
    name="prac",
    label="PrAC",
    colour="#0072B2",
    marker="o",
    summary="the method itself, on critical samples",
)
VANILLA, CONTROL = "vanilla", "random-subset"
"""What PrAC is compared with first: everything, and as many samples by chance."""


def _by_score(label: str, look: str, score: str, summary: str, *, sampler: str = "top") -> Method:
    # The sampler is part of what the name stands for, whatever PrAC's own search is told to use.
    return Method(
        name=score if sampler == "top" else f"{score}-{sampler}",
        label=label,
        colour=look[:-1],
        marker=look[-1],
        summary=summary,
        selects=score,
        samples=sampler,
        borrows="steps",
    )


def _untrained(label: str, look: str, name: str, summary: str) -> Method:
    return Method(
        name=name,
        label=label,
        colour=look[:-1],
        marker=look[-1],
        summary=summary,
        data="everything",
        prunes=name,
        trains="nothing",
        stops_early=False,
        starts="initial",
    )


# Colours are Okabe and Ito's first: told apart by every common kind of colour blindness. A dozen
# colours are not, so no two methods share both colour and marker.
_KNOWN = (
    PRAC,
    Method(
        name=VANILLA, label="vanilla", colour="#E69F00", marker="s",
        summary="the same rounds on everything, none stopped early",
        data="everything", stops_early=False,
    ),
    Method(
        name=CONTROL, label="random subset", colour="#009E73", marker="^",
        summary="random samples, sizes and steps those of PrAC",
        selects="random", samples="top", borrows="steps",
    ),
    Method(
        name="rs2", label="RS2", colour="#56B4E9", marker="v",
        summary="a fresh random subset in every epoch, sizes and steps those of PrAC",
        data="fresh", borrows="steps",
    ),
    Method(
        name="cet-only", label="CET only", colour="#CC79A7", marker="D",
        summary="PrAC with the samples critical for training alone",
        selects="critical", parts=("cet",),
    ),
    Method(
        name="cep-only", label="CEP only", colour="#882255", marker="d",
        summary="PrAC with the samples critical for pruning alone",
        selects="critical", parts=("cep",),
    ),
    Method(
        name="no-early-stop", label="PrAC, no early stop", colour="#332288", marker="P",
        summary="PrAC, every round to its end", stops_early=False,
    ),
    _by_score("entropy", "#D55E00X", "entropy", "samples on which the round's model is least sure"),
    _by_score("proxy (SVP)", "#999933<", "proxy",
              "samples on which a small network, trained first, is least sure"),
    _by_score("EL2N", "#8C6D31>", "el2n", "samples with the largest mean error of round 0"),
    _by_score("EL2N, balanced", "#8C6D31s", "el2n", "as el2n, the same number of each class",
              sampler="balanced"),
    _by_score("EL2N, CCS", "#8C6D31D", "el2n", "as el2n, from strata of the error", sampler="ccs"),
    _by_score("margin", "#117733*", "margin",
              "samples with the smallest area under the margin of round 0"),
    _by_score("margin, CCS", "#117733D", "margin", "as margin, from strata of the margin",
              sampler="ccs"),
    _by_score("DUAL", "#AA4499h", "dual", "samples both difficult and uncertain in round 0"),
    _by_score("DUAL, CCS", "#AA4499D", "dual", "as dual, from strata of the score", sampler="ccs"),
    _by_score("Dyn-Unc", "#AA4499v", "dyn-unc", "samples that round 0 was most uncertain of"),
    _by_score("TDDS", "#44AA99v", "tdds", "samples whose prediction was least steady in round 0"),
    _by_score("forgets", "#44AA99h", "forgets",
              "samples forgotten most often in round 0, or never learned"),
    _by_score("forgets, CCS", "#44AA99D", "forgets", "as forgets, from strata of the counts",
              sampler="ccs"),
    Method(
        name="random-pruning", label="random pruning", colour="#7F7F7F", marker="^",
        summary="weights pruned at random, as many as by the others",
        data="everything", prunes="random", trains="dense", stops_early=False,
    ),
    Method(
        name="random-erk", label="random pruning, ERK", colour="#7F7F7F", marker="v",
        summary="weights pruned at random, densities of layers by the Erdos-Renyi-Kernel rule",
        data="everything", prunes="random-erk", trains="dense", stops_early=False,
    ),
    Method(
        name="random-tickets", label="random tickets", colour="#A0522D", marker="v",
        summary="PrAC's masks on weights drawn anew", starts="redrawn", borrows="rounds",
    ),
    Method(
        name="one-shot", label="one-shot", colour="#E69F00", marker="P",
        summary="every mask by magnitude, at once, from the dense network, all that it trains",
        data="everything", prunes="magnitude", trains="dense", stops_early=False,
    ),
    Method(
        name="gradual", label="gradual", colour="#6A3D9A", marker="X",
        summary="each ticket in one training from the initial weights, pruned little by little",
        data="everything", trains="tickets", stops_early=False,
    ),
    _untrained("SNIP", "#D55E00D", "snip", "weights by their effect on the loss, before training"),
    _untrained("GraSP", "#CC79A7X", "grasp",
               "weights by their effect on the gradient's flow, before training"),
    _untrained("SynFlow", "#009E73P", "synflow",
               "weights by their synaptic flow, before training, without data"),
)  # fmt: skip
METHODS: Mapping[str, Method] = MappingProxyType({method.name: method for method in _KNOWN})
"""By name, in the order in which they are told."""


def method_label(name: str) -> str:
    """The name that people read; methods that aren't known keep their own."""
    known = METHODS.get(name)
    return name if known is None else known.label or name


def find_method(name: str) -> Method:
    """The method with this name, or what `package.module:name` stands for. Raises ConfigError."""
    if name in METHODS:
        return METHODS[name]
    if not is_custom(name):
        raise unknown("method", name, [*METHODS, "package.module:name"])
    found: Any = load_custom("method", name)
    if not hasattr(found, "as_method"):
        raise ConfigError(
            f"method {name!r} is of type {type(found).__name__}; allowed: a prac.Method, "
            "a function decorated with prac.selection.scores.scorer or "
            "prac.pruning.criteria.criterion"
        )
    made: Method = found.as_method(name)
    return made
