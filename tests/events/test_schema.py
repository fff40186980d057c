"""Judging a batch, against the same formulas in float64 NumPy and against numbers by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prac.events.schema import event_columns


def by_hand(logits: np.ndarray, label: int) -> tuple[bool, float, float]:
    values = [float(v) for v in logits]
    others = [v for k, v in enumerate(values) if k != label]
    exp = np.exp(np.array(values) - max(values))
    error = exp / exp.sum()
    error[label] -= 1
    correct = values.index(max(values)) == label
    return correct, values[label] - max(others), float(np.sqrt((error**2).sum()))


@given(
    st.integers(0, 2**31 - 1), st.integers(2, 12), st.sampled_from(["float32", "bfloat16", "half"])
)
@settings(max_examples=60, deadline=None)
def test_against_numpy(seed: int, classes: int, dtype: str) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = (torch.randn(9, classes, generator=generator) * 4).to(getattr(torch, dtype))
    logits[3:6] = logits[3:6].round()  # ties
    labels = torch.randint(classes, (9,), generator=generator)
    correct, margin, el2n = event_columns(logits, labels)
    assert (correct.dtype, margin.dtype, el2n.dtype) == (torch.bool, torch.half, torch.half)
    for i in range(9):
        expected = by_hand(logits[i].double().numpy(), int(labels[i]))
        assert bool(correct[i]) == expected[0]
        assert float(margin[i]) == pytest.approx(expected[1], rel=1e-3, abs=1e-6)
        assert float(el2n[i]) == pytest.approx(expected[2], rel=1e-3, abs=2e-6)


def test_ties_go_to_the_lower_class() -> None:
    logits = torch.tensor([[2.0, 2.0, 0.0]] * 3)
    correct, margin, _ = event_columns(logits, torch.tensor([0, 1, 2]))
    assert correct.tolist() == [True, False, False]
    assert margin.tolist() == [0.0, 0.0, -2.0]


def test_numbers_by_hand() -> None:
    _, _, el2n = event_columns(torch.tensor([[0.0, 0.0], [50.0, 0.0]]), torch.tensor([0, 1]))
    assert el2n.tolist() == pytest.approx([np.sqrt(0.5), np.sqrt(2.0)], rel=1e-3)


def test_a_diverging_run_has_finite_margins() -> None:
    logits = torch.tensor([[1e6, -1e6], [-1e6, 1e6]])
    assert event_columns(logits, torch.tensor([0, 0]))[1].tolist() == [65504.0, -65504.0]


def test_no_gradient_is_kept() -> None:
    logits = torch.zeros(2, 3, requires_grad=True)
    assert not any(c.requires_grad for c in event_columns(logits, torch.tensor([0, 1])))
