"""Optimisers of one's own: rates of groups, and states that a checkpoint can't keep."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from prac.errors import ConfigError
from prac.training.optimizers import TorchOptimizer


def groups(*rates: float) -> TorchOptimizer:
    parts = [{"params": [nn.Parameter(torch.ones(1))], "lr": rate} for rate in rates]
    return TorchOptimizer(torch.optim.SGD(parts, lr=1.0), keeps_zero=False)


@pytest.mark.parametrize(
    ("rates", "after"),
    [((0.1, 0.2), (0.5, 1.0)), ((0.0, 0.2, 0.1), (0.0, 0.5, 0.25)), ((0.0,), (0.0,))],
)
def test_groups_keep_their_ratio_to_the_first_that_trains(
    rates: tuple[float, ...], after: tuple[float, ...]
) -> None:
    made = groups(*rates)
    made.step(0.5)
    found = [group["lr"] for group in made._optimizer.param_groups]
    assert found == pytest.approx(after)


def test_a_state_of_no_parameter_is_refused() -> None:
    weight = nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    optimizer.state["global"]["count"] = 3  # type: ignore[index]
    made = TorchOptimizer(optimizer, keeps_zero=False)
    with pytest.raises(ConfigError, match="keeps a state under 'global', which is no parameter"):
        made.state({weight: "weight"})
