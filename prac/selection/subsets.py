"""Sets by a score: the scores, and who is taken by them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prac.config.strategies import own_options
from prac.selection.prac_set import PracSet, Reason
from prac.selection.samplers import Draw, find_sampler
from prac.selection.scores import Evidence, find_score


def score_samples(settings: Mapping[str, Any], evidence: Evidence) -> NDArray[np.floating]:
    """(N,) scores of the evidence's samples; settings: of `score_settings`."""
    found = find_score(settings["score"][0])
    return found(evidence, own_options(found.options, settings))


def take_by_score(
    settings: Mapping[str, Any],
    scores: NDArray[np.floating],
    sample_ids: NDArray[np.int32],
    labels: NDArray[np.int64],
    size: int,
    *,
    seed: int,
    round_index: int,
) -> PracSet:
    """The set of `size` samples for a round; `settings` as of
    `prac.lottery.method_config.sampler_settings`."""
    found = find_sampler(settings["sampler"][0])
    options: Any = own_options(found.options, settings)
    generator = np.random.Generator(np.random.PCG64([seed, round_index, 0x5A3B1E]))
    draw = Draw(scores=scores, labels=labels, size=size, options=options, generator=generator)
    taken = found(draw)
    return PracSet.from_reasons({Reason.SCORED: sample_ids[taken]})
