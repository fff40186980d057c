"""What a pipeline is asked for, as a value; made of a recipe, its data and options."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypedDict, Unpack

from prac.config.checks import require
from prac.config.methods import METHODS, PRAC, Method, find_method
from prac.config.recipe import Recipe
from prac.config.sections import Precision
from prac.config.values import JUDGED_BY, Judge
from prac.data.dataset import Source
from prac.errors import ConfigError
from prac.lottery.networks import initial_digests
from prac.lottery.stage_config import check_rewind

MAX_SEEDS = 100
"""More judgements of one ticket, and more searches, than anybody asks for."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a pipeline is asked for.

    precision: what `train.precision` came to. transfer_from: an architecture of the recipe whose
    sets all others use. judge: as `Judge` has it. seeds: how often each judged ticket is trained,
    each time with a training seed of its own. searches: how often the whole search is run, each
    time with a search seed of its own; place: which of them this is. margin: the points that a
    method may lose to vanilla and still keep its accuracy, in verdicts. weights: of networks of the
    user's, which may load weights: the digest of their initial weights, by architecture. trainer:
    tells a round trainer of the user's in the keys of what it trains.
    """

    recipe: Recipe
    data: str
    data_name: str
    num_training: int
    precision: Precision
    transfer_from: str | None = None
    judge: Judge = "auto"
    seeds: int = 1
    searches: int = 1
    margin: float = 0.5
    place: int = 0
    weights: Mapping[str, str] = field(default_factory=dict)
    trainer: str | None = None

    def __post_init__(self) -> None:
        if self.transfer_from not in (None, *self.recipe.architectures):
            raise ConfigError(
                f"--transfer-from {self.transfer_from!r} is not among the architectures; "
                f"allowed: {', '.join(self.recipe.architectures)}"
            )
        rounds = self.recipe.search.rounds
        judge: object = self.judge  # of a caller's own
        known = judge in JUDGED_BY
        if isinstance(judge, tuple | list):
            known = all(type(k) is int and 0 <= k <= rounds for k in judge)
        allowed = f"{', '.join(JUDGED_BY)}, or rounds 0 to {rounds}"
        require(known, "--judge", judge, allowed)
        require(0 < self.margin < 100, "--margin", self.margin, "points between 0 and 100")
        for name, number in (("seeds", self.seeds), ("searches", self.searches)):
            known = type(number) is int and 1 <= number <= MAX_SEEDS
            require(known, f"--{name}", number, f"1 to {MAX_SEEDS}")
        if self.judge == "found" and self.recipe.search.rewind.rewinds:
            raise ConfigError(
                f"--judge found tests the networks of rounds, whose weights "
                f"search.rewind={self.recipe.search.rewind} takes back; allowed: last, all, none, "
                "rounds, or search.rewind=learning-rate"
            )
        if self.judge == "found" and self.seeds > 1:
            raise ConfigError(
                f"--judge found trains nothing, so that --seeds {self.seeds} has nothing to vary; "
                "allowed: --seeds 1, or --judge last"
            )

    @property
    def methods(self) -> tuple[Method, ...]:
        """PrAC first, then what it is compared with."""
        names = self.recipe.compare
        ours = [name for name in METHODS if name in names and name != PRAC.name]
        theirs = [name for name in dict.fromkeys(names) if name not in METHODS]
        return (PRAC, *(find_method(name) for name in [*ours, *theirs]))

    @property
    def as_found(self) -> bool:
        """Whether tickets are tested as the search left them."""
        goes_on = not self.recipe.search.rewind.rewinds
        return self.judge == "found" or (self.judge == "auto" and goes_on and self.seeds == 1)

    @property
    def judging_seeds(self) -> tuple[int, ...]:
        """The training seeds of judgements: the search's own, and those that follow it.

        The same for every ticket, so that judgements of two tickets are compared in pairs.
        """
        # No two searches share one: each search seed is the one before plus 1.
        first = self.recipe.search.seed + self.place * (MAX_SEEDS - 1)
        return tuple((first + number) % 2**31 for number in range(self.seeds))

    @property
    def search_seeds(self) -> tuple[int, ...]:
        """Of the whole searches, which share the data's split and nothing that is drawn."""
        first = self.recipe.search.seed
        return tuple((first + place) % 2**31 for place in range(self.searches))

    def repeated(self, place: int) -> Request:
        """The same search once more, with the seed of this place."""
        recipe = self.recipe.set(search={"seed": self.search_seeds[place]})
        return dataclasses.replace(self, recipe=recipe, place=place)

    @property
    def judged_rounds(self) -> tuple[int, ...]:
        """The rounds whose tickets are judged; 0 is the dense network."""
        rounds = self.recipe.search.rounds
        if self.judge == "none":
            return ()
        if self.judge == "all":
            return tuple(range(rounds + 1))
        if isinstance(self.judge, str):
            return (0, rounds)
        return tuple(sorted(set(self.judge)))


class Asked(TypedDict, total=False):
    """What of a request is an option, by the names it has there."""

    transfer_from: str | None
    judge: Judge
    seeds: int
    searches: int
    margin: float


def make_request(
    recipe: Recipe, source: Source, num_training: int, precision: Precision, **asked: Unpack[Asked]
) -> Request:
    """num_training, precision: as a request has them. Raises ConfigError."""
    check_rewind(recipe, num_training)
    return Request(
        recipe=recipe,
        data=source.fingerprint(),
        data_name=source.name,
        num_training=num_training,
        precision=precision,
        weights=initial_digests(recipe, source),
        **asked,
    )
