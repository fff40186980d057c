"""Easy samples beside the critical ones: a share of each class of what a critical set leaves out.

Sets of hard samples alone train short rounds badly; samplers that cover the easy ones too do better
at small budgets (Zheng et al. 2023, arXiv:2210.15809).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prac.selection.prac_set import PracSet, Reason


def with_easy(
    chosen: PracSet | None,
    share: float,
    *,
    sample_ids: NDArray[np.int32],
    labels: NDArray[np.integer],
    seed: int,
    round_index: int,
) -> PracSet:
    """D_k with a share of the samples outside it, drawn at random within each class.

    sample_ids, labels: (N,) D_0 and its classes. share: in [0, 1), of each class's samples outside
    `chosen`; whole samples by largest remainder, so that they are round(share * all outside).
    chosen: None where no sample was critical: data that are too easy to be forgotten.
    Every round (k = `round_index`) draws anew: what was left out may come back and be watched.
    """
    outside = sample_ids if chosen is None else np.setdiff1d(sample_ids, chosen.sample_ids)
    number = round(share * len(outside))
    if number == 0 and chosen is not None:
        return chosen
    classes = labels[np.searchsorted(sample_ids, outside)]
    names, sizes = np.unique(classes, return_counts=True)
    wanted = share * sizes
    taken = np.floor(wanted).astype(np.int64)
    # Of equal remainders the first class is first.
    more = np.argsort(taken - wanted, kind="stable")[: number - int(taken.sum())]
    taken[more] += 1
    generator = np.random.Generator(np.random.PCG64([seed, round_index, 0xEA51]))
    drawn = [
        generator.choice(outside[classes == name], size, replace=False)
        for name, size in zip(names, taken, strict=True)
    ]
    easy = np.concatenate(drawn)
    return (
        chosen.and_also(Reason.EASY, easy) if chosen else PracSet.from_reasons({Reason.EASY: easy})
    )
