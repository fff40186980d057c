"""A mask: a frozen mapping whose numbers are worked out by hand."""

import pickle
from collections.abc import Mapping

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrizations

from prac import Mask
from prac.errors import ConfigError, TicketError
from prac.pruning.prunable import prunable_weights

BITS = st.lists(st.booleans(), min_size=6, max_size=6)


def mask_of(a: list[int], b: list[int]) -> Mask:
    return Mask(
        {"a": torch.tensor(a, dtype=torch.bool), "b": torch.tensor(b, dtype=torch.bool).view(2, 2)}
    )


def small_model() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 2, 2), nn.BatchNorm2d(2), nn.Conv1d(2, 3, 1), nn.Linear(3, 2))


def test_prunable_weights_are_the_convolutions_named_as_in_the_state_dict() -> None:
    model = small_model()
    weights = prunable_weights(model)
    assert list(weights) == ["0.weight", "2.weight"]
    assert all(weights[name] is model.get_parameter(name) for name in weights)
    assert set(weights) <= set(model.state_dict())
    assert list(prunable_weights(nn.Conv3d(1, 1, 1))) == ["weight"]


def test_a_weight_that_two_convolutions_share_is_pruned_once() -> None:
    model = nn.Sequential(nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1))
    model[1].weight = model[0].weight
    assert list(prunable_weights(model)) == ["0.weight"]
    assert Mask.dense(model).size == 4


def test_a_computed_weight_is_refused_by_name() -> None:
    # What is zeroed of it is computed anew: the network would be trained dense.
    model = nn.Sequential(parametrizations.weight_norm(nn.Conv2d(1, 1, 1)))
    with pytest.raises(ConfigError, match="convolution '0' computes its weight"):
        Mask.dense(model)


def test_numbers_by_hand() -> None:
    mask = mask_of([1, 0, 1, 1, 0, 1], [1, 1, 0, 1])
    assert isinstance(mask, Mapping)
    assert list(mask) == ["a", "b"]
    assert (len(mask), mask.size, mask.num_alive) == (2, 10, 7)
    assert mask.density == 0.7
    assert mask.sparsity == pytest.approx(0.3)
    assert mask.shapes == {"a": (6,), "b": (2, 2)}
    assert repr(mask) == "Mask(2 weights, 7 of 10 alive, sparsity 30.00%)"
    assert Mask({}).density == 1.0  # nothing of it is pruned


def test_distance_by_hand() -> None:
    one = mask_of([1, 0, 1, 1, 0, 1], [1, 1, 0, 1])
    other = mask_of([1, 1, 0, 1, 0, 1], [1, 1, 1, 1])
    assert one.distance(other) == 3 / 10
    assert one.distance(other, alive=8) == 3 / 8
    assert one.distance(one) == 0
    gone = mask_of([0] * 6, [0] * 4)
    assert gone.distance(gone, alive=0) == 0


@given(BITS, BITS, BITS)
@settings(max_examples=60, deadline=None)
def test_distance_is_a_metric_and_subset_is_a_subset(x, y, z) -> None:
    a, b, c = (Mask({"w": torch.tensor(bits)}) for bits in (x, y, z))
    assert a.distance(b) == b.distance(a) == sum(i != j for i, j in zip(x, y, strict=True)) / 6
    assert a.distance(c) <= a.distance(b) + b.distance(c) + 1e-12
    assert (a.distance(b) == 0) == (a == b)
    assert a.is_subset_of(b) == all(j or not i for i, j in zip(x, y, strict=True))
    assert a != b or hash(a) == hash(b)


def test_it_is_frozen() -> None:
    mask = mask_of([1] * 6, [1] * 4)
    with pytest.raises(TypeError):
        mask["a"] = torch.zeros(6, dtype=torch.bool)  # type: ignore[index]
    with pytest.raises(AttributeError):
        mask.density = 0.5  # type: ignore[misc]
    given_ = {"a": torch.ones(2, dtype=torch.bool)}
    kept = Mask(given_)
    given_["b"] = torch.ones(2, dtype=torch.bool)
    assert list(kept) == ["a"]


def test_only_bool_is_allowed() -> None:
    with pytest.raises(TicketError, match=r"mask of a is torch.float32; allowed: bool"):
        Mask({"a": torch.ones(3)})


def test_dense_covers_convolutions_only() -> None:
    mask = Mask.dense(small_model())
    assert mask.shapes == {"0.weight": (2, 1, 2, 2), "2.weight": (3, 2, 1)}
    assert mask.density == 1.0
    assert Mask.dense(nn.Conv2d(1, 1, 1)).shapes == {"weight": (1, 1, 1, 1)}
    with pytest.raises(TicketError, match="nothing to prune"):
        Mask.dense(nn.Linear(2, 2))


def test_apply_makes_exact_zeros_even_of_nan() -> None:
    model = small_model()
    alive = {n: torch.rand(t.shape) < 0.5 for n, t in Mask.dense(model).items()}
    alive["0.weight"].view(-1)[:4] = torch.tensor([False, False, False, True])
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.no_grad():
        model[0].weight.view(-1)[:3] = torch.tensor([float("nan"), float("inf"), -float("inf")])
    Mask(alive).apply_(model)
    for name, tensor in model.state_dict().items():
        if name in alive:
            dead = tensor[~alive[name]]
            assert torch.equal(dead, torch.zeros_like(dead))
            assert torch.equal(tensor[alive[name]], before[name][alive[name]])
        else:
            assert torch.equal(tensor, before[name])


def test_another_shape_name_or_order_is_refused() -> None:
    mask = mask_of([1] * 6, [1] * 4)
    with pytest.raises(
        TicketError, match=r"0.weight of shape None, the model has \(2, 1, 2, 2\)|a "
    ):
        mask.apply_(small_model())
    longer = mask_of([1] * 5, [1] * 4)
    with pytest.raises(TicketError, match=r"a of shape \(6,\), the other mask has \(5,\)"):
        mask.distance(longer)
    fewer = Mask({"a": mask["a"]})
    with pytest.raises(TicketError, match="b of shape"):
        mask.is_subset_of(fewer)
    turned = Mask({"b": mask["b"], "a": mask["a"]})
    with pytest.raises(TicketError, match="in another order"):
        mask.distance(turned)
    assert mask != turned  # the order decides ties
    assert mask != {"a": 1}


def test_pickle_and_device() -> None:
    mask = mask_of([1, 0, 0, 0, 0, 0], [1, 1, 0, 1])
    again = pickle.loads(pickle.dumps(mask))  # noqa: S301
    assert again == mask
    assert hash(again) == hash(mask)
    assert list(again) == list(mask)
    assert mask.to("cpu") == mask


def test_a_mask_has_tensors_of_its_own() -> None:
    alive = torch.ones(4, dtype=torch.bool)
    mask = Mask({"w": alive})
    alive[:2] = False
    assert (mask.num_alive, int(mask["w"].sum())) == (4, 4)
    assert Mask({}).sparsity == 0.0
