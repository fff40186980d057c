"""Points that Optuna proposes, each once: what was tried is replaced by what was not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from prac.sweep.space import Axis, Space, Values, draw, label

# Optuna is an extra: grids need none.
if TYPE_CHECKING:
    from optuna import Trial

_CANDIDATES = 1000


class Proposer:
    """Proposes points that raise `accuracy` and lower `steps`, from what is told of others.

    Optuna's samplers propose a good point again and again, which a sweep learns nothing from: it is
    replaced by the nearest one that was not tried. started: points that come first, in their order.
    All is a function of the space's seed and of what is told when.
    """

    def __init__(self, space: Space, started: Sequence[Values] = ()) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space = space
        self._distributions = {axis.field: _distribution(axis) for axis in space.axes}
        self._generator = np.random.default_rng([space.seed, 0x0274])
        self._failed = optuna.trial.TrialState.FAIL
        self._tried: set[str] = set()
        self._study = optuna.create_study(
            directions=["maximize", "minimize"], sampler=optuna.samplers.TPESampler(seed=space.seed)
        )
        for values in started:
            self._study.enqueue_trial(_inside(space, values))

    def propose(self) -> tuple[Trial, Values] | None:
        """A point that was not tried, with what to tell its result by; None where there is none."""
        proposal, values = self._ask()
        if label(values) in self._tried:
            self._study.tell(proposal, state=self._failed)
            untried = self._untried(proposal.params)
            if untried is None:
                return None
            self._study.enqueue_trial(dict(untried))
            proposal, values = self._ask()
        self._tried.add(label(values))
        return proposal, values

    def tell(self, proposal: Trial, accuracy: float, steps: float) -> None:
        """What a point came to."""
        self._study.tell(proposal, [accuracy, steps])

    def give_up(self, proposal: Trial) -> None:
        """A point has no result."""
        self._study.tell(proposal, state=self._failed)

    def _ask(self) -> tuple[Trial, Values]:
        proposal = self._study.ask(fixed_distributions=self._distributions)
        return proposal, self._space.tidy(proposal.params)

    def _untried(self, proposed: Values) -> Values | None:
        """The point nearest to a proposed one that was not tried, of some thousand where there are
        more; one of those as near. None where there is none, or as good as none."""
        space = self._space
        if space.size is not None and space.size <= _CANDIDATES:
            points = space.every_point()
        else:
            points = [draw(space, self._generator) for _ in range(_CANDIDATES)]
        left = [point for point in points if label(space.tidy(point)) not in self._tried]
        if not left:
            return None
        far = np.array([_distance(space, point, proposed) for point in left])
        nearest = np.flatnonzero(far == far.min())
        return left[int(self._generator.choice(nearest))]


def _distance(space: Space, one: Values, other: Values) -> float:
    """The share of its range by which each field differs, summed; 1 for another listed value."""
    found = 0.0
    for axis in space.axes:
        a, b = one[axis.field], other[axis.field]
        found += abs(a - b) / (axis.high - axis.low) if axis.is_range else float(a != b)
    return found


def _distribution(axis: Axis) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if not axis.is_range:
        return CategoricalDistribution(axis.listed)
    if axis.whole:
        return IntDistribution(int(axis.low), int(axis.high))
    return FloatDistribution(axis.low, axis.high)


def _inside(space: Space, values: Values) -> dict[str, Any]:
    """The point without what rounding to four digits added to it: Optuna takes no other."""
    ranges: Mapping[str, Axis] = {axis.field: axis for axis in space.axes if axis.is_range}
    return {
        name: min(max(value, ranges[name].low), ranges[name].high) if name in ranges else value
        for name, value in values.items()
    }
