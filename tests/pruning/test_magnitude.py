"""Global magnitude pruning: exact counts, ties in order, against two other implementations."""

import copy
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils import prune

from prac import Mask, global_magnitude
from prac.errors import ConfigError, TicketError
from prac.pruning.prunable import prunable_weights


def all_alive(weights: dict[str, Tensor]) -> Mask:
    return Mask({name: torch.ones(w.shape, dtype=torch.bool) for name, w in weights.items()})


def by_sorting(weights: dict[str, Tensor], mask: Mask, num_removed: int) -> dict[str, list[bool]]:
    """A Python sort of (magnitude, position): the first `num_removed` alive ones go."""
    entries = [
        (abs(value), order, i)
        for order, name in enumerate(mask)
        for i, value in enumerate(weights[name].double().flatten().tolist())
        if mask[name].flatten()[i]
    ]
    alive = {name: mask[name].flatten().tolist() for name in mask}
    names = list(mask)
    for _, order, i in sorted(entries)[:num_removed]:
        alive[names[order]][i] = False
    return alive


def flat(mask: Mask) -> dict[str, list[bool]]:
    return {name: mask[name].flatten().tolist() for name in mask}


@pytest.mark.parametrize("values", ["distinct", "equal", "few"])
@pytest.mark.parametrize(
    ("fraction", "num_alive"),
    [(0.2, 802), (0.0, 1003), (1.0, 0), (0.5, 501), (0.0001, 1003), (0.999, 1)],
)
def test_counts_are_exact(values: str, fraction: float, num_alive: int) -> None:
    # 20 % of 1003 is 200.6, so 201 go; 50 % is 501.5, and the even 502 go.
    generator = torch.Generator().manual_seed(0)
    weight = {
        "distinct": torch.randn(1003, generator=generator),
        "equal": torch.full((1003,), -0.5),
        "few": torch.randint(-2, 3, (1003,), generator=generator).float(),
    }[values]
    weights = {"a": weight[:400], "b": weight[400:]}
    pruned = global_magnitude(weights, all_alive(weights), fraction)
    assert pruned.num_alive == num_alive
    removed = 1003 - num_alive
    assert flat(pruned) == by_sorting(weights, all_alive(weights), removed)


def test_of_equal_weights_the_first_go() -> None:
    weights = {"b": torch.full((2, 3), 0.5), "a": torch.full((4,), -0.5)}
    pruned = global_magnitude(weights, all_alive(weights), 0.7)
    assert pruned["b"].tolist() == [[False] * 3, [False] * 3]
    assert pruned["a"].tolist() == [False, True, True, True]


def test_ties_at_the_threshold_by_hand() -> None:
    weights = {"w": torch.tensor([0.3, -0.1, 0.2, 0.2, -0.2, 0.9, 0.2, 0.0])}
    pruned = global_magnitude(weights, all_alive(weights), 0.5)
    assert pruned["w"].tolist() == [True, False, False, False, True, True, True, False]


@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, -0.0, 0.25, -0.25, 0.5, 1.0, -3.0]), st.booleans()),
        min_size=1,
        max_size=40,
    ),
    st.integers(0, 16),
    st.integers(0, 40),
    st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16]),
)
@settings(max_examples=100, deadline=None)
def test_against_a_sort(entries, sixteenths: int, cut: int, dtype: torch.dtype) -> None:
    values = torch.tensor([value for value, _ in entries], dtype=dtype)
    alive = torch.tensor([a for _, a in entries])
    cut = min(cut, len(entries))
    weights = {"z": values[:cut], "a": values[cut:]}
    mask = Mask({"z": alive[:cut], "a": alive[cut:]})
    # Sixteenths are exact in floating point, so Fraction's halves to even are the answer.
    num_removed = round(Fraction(sixteenths, 16) * mask.num_alive)
    pruned = global_magnitude(weights, mask, sixteenths / 16)
    assert flat(pruned) == by_sorting(weights, mask, num_removed)
    assert pruned.is_subset_of(mask)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_every_float_type_is_exact(dtype: torch.dtype) -> None:
    # In float64 these differ by less than float32 can tell; in 16 bits nearly all are ties.
    generator = torch.Generator().manual_seed(0)
    weight = (1 + 1e-10 * torch.rand(501, dtype=torch.float64, generator=generator)).to(dtype)
    weight[::7] *= 2
    weights = {"w": weight}
    for fraction in (0.1, 0.5, 0.9):
        pruned = global_magnitude(weights, all_alive(weights), fraction)
        assert pruned.num_alive == 501 - round(fraction * 501)
        assert flat(pruned) == by_sorting(weights, all_alive(weights), round(fraction * 501))


def test_against_torch() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 7, 3), nn.Linear(7, 5)
    )
    theirs = copy.deepcopy(model)
    mask = Mask.dense(model)
    for _ in range(4):
        mask = global_magnitude(prunable_weights(model), mask, 0.2)
        prune.global_unstructured(
            [(theirs[0], "weight"), (theirs[3], "weight")],
            pruning_method=prune.L1Unstructured,
            amount=0.2,
        )
        assert torch.equal(mask["0.weight"], theirs[0].weight_mask.bool())
        assert torch.equal(mask["3.weight"], theirs[3].weight_mask.bool())


def test_sixteen_rounds_give_the_published_sparsities() -> None:
    # The convolutions of ResNet-20 on three channels.
    shapes = [(16, 3, 3, 3), *[(16, 16, 3, 3)] * 6, (32, 16, 3, 3), *[(32, 32, 3, 3)] * 5]
    shapes += [(64, 32, 3, 3), *[(64, 64, 3, 3)] * 5]
    torch.manual_seed(0)
    weights = {f"{i}.weight": torch.randn(shape) for i, shape in enumerate(shapes)}
    mask = all_alive(weights)
    sparsities = []
    for _ in range(16):
        sparsities.append(100 * mask.sparsity)
        smaller = global_magnitude(weights, mask, 0.2)
        assert smaller.is_subset_of(mask)
        assert smaller.num_alive == mask.num_alive - round(0.2 * mask.num_alive)
        mask = smaller
    published = [0, 20, 36, 48.8, 59.04, 67.23, 73.79, 79.03, 83.22, 86.58, 89.26]
    published += [91.41, 93.13, 94.50, 95.60, 96.48]
    assert sparsities == pytest.approx(published, abs=0.01)


def test_nothing_is_left_to_prune() -> None:
    weights = {"w": torch.randn(3, 3)}
    gone = Mask({"w": torch.zeros(3, 3, dtype=torch.bool)})
    assert global_magnitude(weights, gone, 0.5).num_alive == 0
    with pytest.raises(TicketError, match="nothing to prune"):
        global_magnitude({}, Mask({}), 0.5)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_refused(bad: float) -> None:
    weights = {"w": torch.tensor([1.0, bad, 2.0])}
    with pytest.raises(TicketError, match="not finite"):
        global_magnitude(weights, all_alive(weights), 0.5)
    dead = Mask({"w": torch.tensor([True, False, True])})
    assert global_magnitude(weights, dead, 0.5)["w"].tolist() == [False, False, True]


@pytest.mark.parametrize("fraction", [-0.1, 1.01, float("nan")])
def test_a_fraction_outside_is_refused(fraction: float) -> None:
    weights = {"w": torch.ones(3)}
    with pytest.raises(ConfigError, match="allowed: 0 to 1"):
        global_magnitude(weights, all_alive(weights), fraction)


@pytest.mark.parametrize("weights", [{}, {"w": torch.ones(4)}, {"v": torch.ones(3)}])
def test_weights_of_another_model_are_refused(weights) -> None:
    with pytest.raises(TicketError, match=r"weight w of shape \(3,\) is missing"):
        global_magnitude(weights, all_alive({"w": torch.ones(3)}), 0.5)


def test_the_weights_are_not_touched() -> None:
    parameter = nn.Parameter(torch.tensor([0.1, -2.0, 3.0]))
    pruned = global_magnitude({"w": parameter}, all_alive({"w": parameter}), 1 / 3)
    assert parameter.tolist() == pytest.approx([0.1, -2.0, 3.0])
    assert not pruned["w"].requires_grad
