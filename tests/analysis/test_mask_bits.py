"""How alike masks are, against counts by hand."""

import pytest
import torch

from prac.analysis.mask_bits import dice, pack
from prac.pruning.mask import Mask


def _mask(*alive: int) -> Mask:
    """Two weights alive in one layer, and these in another."""
    return Mask({"one.weight": torch.ones(2).bool(), "two.weight": torch.tensor(alive).bool()})


def test_dice_of_masks_of_other_sizes() -> None:
    # 6 and 4 alive of 6, 4 in both.
    overlap, chance = dice(pack(_mask(1, 1, 1, 1)), pack(_mask(1, 1, 0, 0)))
    assert overlap == pytest.approx(2 * 4 / 10)
    assert chance == pytest.approx(2 * (6 * 4 / 6) / 10)


def test_nothing_alive_is_alike() -> None:
    nothing = pack(Mask({"one.weight": torch.zeros(3).bool()}))
    assert dice(nothing, nothing) == (1.0, 1.0)
