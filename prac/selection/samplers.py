"""Samplers: from scores to the samples that are taken. Each takes exactly as many as asked for.

A sampler of your own is a function in a file of yours, named by
`select.sampler=package.module:function`:

    from prac.selection.samplers import Draw, sampler

    @dataclass(frozen=True, kw_only=True)
    class Steps:
        step: int = 2

    @sampler(options=Steps)
    def every_other(draw: Draw) -> NDArray[np.integer]:
        ...  # `draw.size` positions of `draw.scores`, each at most once; `draw.options.step`

Its file's source and its options (`--set select.step=3`) are part of the keys of what it makes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prac.config.checks import require
from prac.config.plug_ins import find_plug_in
from prac.config.strategies import NoOptions, StrataOptions
from prac.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Draw:
    """What is sampled from.

    scores: (N,), the higher the sooner taken. labels: (N,). size: 1 to N. options: the sampler's,
    of its class. generator: a function of the seed and the round, for what has to be drawn.
    """

    scores: NDArray[np.floating]
    labels: NDArray[np.int64]
    size: int
    options: Any
    generator: np.random.Generator

    @property
    def order(self) -> NDArray[np.integer]:
        """Positions by falling score; of equal ones the first is first."""
        return np.argsort(-self.scores, kind="stable")


@dataclass(frozen=True)
class Sampler:
    """A way to take samples by their scores. options: the class of its options."""

    function: Callable[[Draw], NDArray[np.integer]]
    options: type = NoOptions

    @property
    def name(self) -> str:
        return self.function.__name__

    def __call__(self, draw: Draw) -> NDArray[np.integer]:
        """(size,) positions, sorted. Raises ConfigError where they aren't `size` different ones."""
        most = len(draw.scores)
        require(1 <= draw.size <= most, "a set of", draw.size, f"1 to {most}")
        told = self.function(draw)
        allowed = f"{draw.size} positions, 0 to {most - 1}, each once"
        try:
            given = np.asarray(told)
        except (ValueError, TypeError, RuntimeError):  # ragged, or a tensor that has gradients
            given = np.empty(0)
        if given.ndim != 1 or given.dtype.kind not in "iu":
            raise ConfigError(
                f"select.sampler gave {type(told).__name__} of {given.dtype}, shape {given.shape}; "
                f"allowed: {allowed}"
            )
        taken: NDArray[np.integer] = np.unique(given)
        if len(taken) and (taken[0] < 0 or taken[-1] >= most):
            raise ConfigError(
                f"select.sampler took positions {taken[0]} to {taken[-1]}; allowed: {allowed}"
            )
        if len(taken) != draw.size:
            raise ConfigError(
                f"select.sampler took {len(taken)} samples where {draw.size} were asked for; "
                f"allowed: {allowed}"
            )
        return taken


def sampler(
    *, options: type = NoOptions
) -> Callable[[Callable[[Draw], NDArray[np.integer]]], Sampler]:
    """Make a function a sampler; see the module's head for an example."""
    return lambda function: Sampler(function, options)


@sampler()
def top(draw: Draw) -> NDArray[np.integer]:
    """The highest scores; of equal ones the first."""
    return draw.order[: draw.size]


@sampler()
def balanced(draw: Draw) -> NDArray[np.integer]:
    """The highest scores of each class, as many of every class as can be.

    A class with fewer samples than its share gives all it has, and the others share what is left.
    What can't be divided goes to the classes whose next sample has the highest score.
    """
    order, labels = draw.order, draw.labels
    classes = [order[labels[order] == label] for label in np.unique(labels)]
    # The largest quota that all classes can give, or give all they have, within the size.
    low, high = 0, max(map(len, classes))
    while low < high:
        quota = (low + high + 1) // 2
        within = sum(min(len(members), quota) for members in classes) <= draw.size
        low, high = (quota, high) if within else (low, quota - 1)
    taken = [members[:low] for members in classes]
    missing = draw.size - sum(map(len, taken))
    following = [members[low] for members in classes if len(members) > low]
    following.sort(key=lambda place: (-draw.scores[place], labels[place]))
    return np.concatenate([*taken, np.array(following[:missing], order.dtype)])


@sampler(options=StrataOptions)
def stratified(draw: Draw) -> NDArray[np.integer]:
    """Coverage-centric: the hardest cut off, then as evenly as can be from strata of the score.

    Zheng et al. 2023 (arXiv:2210.15809), algorithm 1: the share `select.hardest_cut` of the samples
    with the highest scores is left out (no more than leaves the size), the range of the others'
    scores is cut into `select.strata` strata of equal width, and from the smallest stratum on each
    gives its equal share of what is still to be taken, at random, or all it has.
    """
    count, strata = len(draw.scores), draw.options.strata
    cut = min(int(draw.options.hardest_cut * count), count - draw.size)
    kept = draw.order[cut:]
    scores = draw.scores[kept].astype(np.float64)
    width = (scores.max() - scores.min()) / strata
    places = np.zeros(len(kept), np.int64)
    if width > 0:
        places = np.minimum(((scores - scores.min()) / width).astype(np.int64), strata - 1)
    found = sorted((kept[places == place] for place in np.unique(places)), key=len)
    taken, missing = [], draw.size
    for index, stratum in enumerate(found):
        share = min(len(stratum), missing // (len(found) - index))
        taken.append(draw.generator.choice(stratum, share, replace=False))
        missing -= share
    return np.concatenate(taken)


SAMPLERS: Mapping[str, Sampler] = MappingProxyType(
    {"top": top, "balanced": balanced, "ccs": stratified}
)
"""By name."""


def find_sampler(name: str) -> Sampler:
    """The sampler with this name, or the user's `package.module:function`. Raises ConfigError."""
    return find_plug_in("select.sampler", name, SAMPLERS, Sampler, sampler)
