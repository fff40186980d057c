"""Lists of tensors at once against one at a time; a torch without the calls fails here first."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from prac.training import foreach


@pytest.mark.parametrize("name", ["_foreach_add", "_foreach_add_", "_foreach_mul_"])
def test_torch_still_has_them(name: str) -> None:
    assert hasattr(torch, name), (
        f"torch {torch.__version__} has no torch.{name}, seen in 2.14: see prac.training.foreach"
    )


def _tensors(seed: int) -> list[Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=draw) for shape in ((3, 4), (5,), (2, 1, 3, 3))]


def test_sums_and_products_are_those_of_each_alone() -> None:
    left, right, masks = _tensors(0), _tensors(1), [t > 0 for t in _tensors(2)]
    before = [t.clone() for t in left]

    for new, a, b in zip(foreach.added(left, right, alpha=0.5), left, right, strict=True):
        assert torch.equal(new, a + 0.5 * b)
    assert all(torch.equal(a, b) for a, b in zip(left, before, strict=True))

    foreach.add_(left, right, alpha=-2)
    expected = [a - 2 * b for a, b in zip(before, right, strict=True)]
    foreach.add_(left, right)
    expected = [a + b for a, b in zip(expected, right, strict=True)]
    foreach.multiply_(left, 0.9)
    expected = [0.9 * a for a in expected]
    foreach.multiply_(left, masks)
    expected = [torch.where(alive, a, 0.0) for a, alive in zip(expected, masks, strict=True)]
    for found, wanted in zip(left, expected, strict=True):
        torch.testing.assert_close(found, wanted)
        assert torch.equal(found == 0, wanted == 0)
