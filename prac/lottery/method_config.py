"""What a method makes of the configuration: the sections as it has them.

Nothing here needs torch: a plan is made of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from prac.config.methods import Method
from prac.config.sections import PruneConfig, SelectConfig
from prac.config.strategies import OURS, option_types, option_values
from prac.errors import ConfigError, unknown
from prac.plugins import identity
from prac.pruning.criteria import find_criterion
from prac.selection.samplers import Sampler, find_sampler
from prac.selection.scores import Scorer, find_score

GRADUAL = 0.5
"""The share of its steps in which a ticket that is trained by itself is pruned."""


def prune_for(method: Method, prune: PruneConfig) -> PruneConfig:
    """Pruning as a method has it.

    gradual: only where its rounds choose by trained weights. Raises ConfigError for a criterion of
    trained weights where nothing is trained, and for one of other weights where rounds prune as
    they go.
    """
    changes: dict[str, Any] = {}
    if method.prunes is not None:
        changes["criterion"] = method.prunes
    if method.trains == "tickets":
        changes["gradual"] = prune.gradual or GRADUAL
    made = dataclasses.replace(prune, **changes)
    reads_trained = find_criterion(made.criterion).reads == "trained"
    beside = method.prunes is not None and method.trains == "rounds" and not reads_trained
    if beside or method.trains in ("dense", "nothing"):
        made = dataclasses.replace(made, gradual=0.0)
    if made.gradual and not reads_trained:
        raise ConfigError(
            f"prune.criterion {made.criterion} reads no trained weights, but {method.name} prunes "
            "little by little in the course of a training; allowed: a criterion that reads them, "
            "such as magnitude"
        )
    if method.trains == "nothing" and reads_trained:
        raise ConfigError(
            f"prune.criterion {made.criterion} reads trained weights, but {method.name} trains "
            f"{method.trains}; allowed: a criterion that reads initial weights or nothing"
        )
    return made


def select_for(method: Method, select: SelectConfig) -> SelectConfig:
    """The selection as a method has it.

    Raises ConfigError for a score that has no size: none of PrAC's and no fraction; and for
    critical sets, which have sizes of their own and no sampler, that are to have PrAC's or one.
    """
    changes: dict[str, Any] = {}
    if method.selects is not None:
        changes["score"] = method.selects
    if method.samples is not None:
        changes["sampler"] = method.samples
    if method.parts is not None:
        changes |= {part: part in method.parts for part in ("cet", "cep")}
    made = dataclasses.replace(select, **changes)
    borrowed = method.borrows in ("sizes", "steps")
    if method.data == "selected" and borrowed and made.score == "critical":
        raise ConfigError(
            f"{method.name} borrows the {method.borrows} of PrAC's sets, but critical sets have "
            "sizes of their own; allowed: another score as its selects"
        )
    if made.score == "critical" and method.samples is not None:
        raise ConfigError(
            f"{method.name} has the sampler {method.samples}, but critical sets take all their "
            "samples; allowed: another score as its selects"
        )
    sized = method.data != "selected" or method.borrows != "nothing"
    if made.score != "critical" and made.fraction is None and not sized:
        raise ConfigError(
            f"select.score {made.score} needs select.fraction, the share of the training split "
            "that every round trains on"
        )
    return made


def records_events(
    method: Method, select: SelectConfig, round_index: int, *, transferred: bool
) -> bool:
    """Whether a round's events are needed: of all rounds for critical sets, of round 0 for scores.

    Round 0 records them for all methods, so that those that train it alike have one and the same.
    """
    if transferred:
        return False
    critical = method.data == "selected" and select.score == "critical"
    return round_index == 0 or (critical and method.borrows == "nothing")


def predicts(method: Method, select: SelectConfig, round_index: int, *, transferred: bool) -> bool:
    """Whether a round's predictions are needed: of all rounds for sets critical for pruning.

    Round 0 leaves them for all methods, as it records events, and for the gallery.
    """
    critical = method.data == "selected" and select.score == "critical" and select.cep
    own = method.borrows == "nothing" and not transferred
    return round_index == 0 or (critical and own)


def set_size(fraction: float | None, num_samples: int, borrowed: int | None) -> int:
    """How many samples a set by a score has: as many as the borrowed set, else the fraction.

    Raises ConfigError for neither.
    """
    if borrowed is not None:
        return borrowed
    if fraction is None:
        raise ConfigError("a set by a score has neither a fraction nor a set whose size it takes")
    return max(1, round(fraction * num_samples))


def score_settings(select: SelectConfig) -> dict[str, Any]:
    """What a score reads of the configuration, the source of one of the user's included."""
    found = find_score(select.score)
    told = option_values(select.told(found.options))
    return {"score": (*identity(select.score), *found.revision), **told}


def sampler_settings(select: SelectConfig) -> dict[str, Any]:
    """What a sampler reads of the configuration, the source of one of the user's included."""
    told = option_values(select.told(find_sampler(select.sampler).options))
    return {"sampler": identity(select.sampler), **told}


def check_options(selections: Iterable[SelectConfig]) -> None:
    """Refuse an option that nobody knows: neither one of ours nor a user's strategy of this search.

    Ours may be told what they don't read, so that sweeps can vary who reads it. Raises ConfigError.
    """
    known = option_types(*OURS).keys()
    named: set[str] = set()
    told: set[str] = set()
    for select in selections:
        told |= dict(select.options).keys()
        strategies: list[Scorer | Sampler] = [find_sampler(select.sampler)]
        if select.score != "critical":
            strategies.append(find_score(select.score))
        named |= {name for each in strategies for name in option_types(each.options)}
    for name in sorted(told - known - named):
        raise unknown("option of select", name, sorted(known | named))
