"""Criteria by name: exact counts, subsets, iterations, and what a user's own has to give."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from prac import Mask, global_magnitude
from prac.config.sections import CRITERIA as NAMES
from prac.errors import ConfigError
from prac.models.describe import forward_flops
from prac.models.registry import build_model
from prac.pruning.criteria import CRITERIA, Criterion, Pruning, criterion, find_criterion
from prac.pruning.keep import keep_highest
from prac.pruning.prunable import prunable_weights
from prac.pruning.saliency import synflow_saliency


def a_model() -> nn.Module:
    return build_model("resnet8", num_classes=3, image_shape=(8, 8, 1), seed=0)


def pruning(**more: object) -> Pruning:
    model = a_model()
    generator = torch.Generator().manual_seed(0)
    batch = (torch.randn(9, 1, 8, 8, generator=generator), torch.arange(9) % 3)
    fields = {
        "model": model,
        "mask": Mask.dense(model),
        "image_shape": (8, 8, 1),
        "batches": lambda: [batch],
        "seed": 5,
    }
    return Pruning(**{**fields, **more})  # type: ignore[arg-type]


def test_the_names_of_the_configuration_are_those_that_there_are() -> None:
    assert tuple(CRITERIA) == NAMES


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("iterations", [1, 3])
def test_rounds_have_exact_counts_and_nested_masks(name: str, iterations: int) -> None:
    case = pruning(iterations=iterations)
    mask = case.mask
    for _ in range(3):
        made = CRITERIA[name].next_mask(dataclasses.replace(case, mask=mask), 0.2)
        assert made.num_alive == mask.num_alive - round(0.2 * mask.num_alive)
        assert made.is_subset_of(mask)
        mask = made


def test_every_criterion_finds_another_mask() -> None:
    masks = [found.next_mask(pruning(), 0.5) for found in CRITERIA.values()]
    for index, one in enumerate(masks):
        for other in masks[index + 1 :]:
            # Two masks of half the weights, drawn apart, differ in half of them.
            assert one.distance(other) > 0.05


def test_random_pruning_is_by_its_seed_and_even() -> None:
    mask = pruning().mask
    random = CRITERIA["random"]
    draws = [random.next_mask(pruning(seed=s), 0.5) for s in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]
    assert draws[0].distance(draws[2]) == pytest.approx(0.5, abs=0.02)
    # Every layer loses about as much: 0.5 with five deviations of a coin.
    for name, alive in draws[0].items():
        spread = 5 * 0.5 / alive.numel() ** 0.5
        assert float(alive.float().mean()) == pytest.approx(0.5, abs=spread), name
    assert mask.num_alive == mask.size


def erk(shapes: list[tuple[int, ...]], kept: int) -> list[float]:
    """Weights alive by layer: eps is halved in on, until all layers together have `kept`."""
    low, high = 0.0, float(max(map(math.prod, shapes)))
    for _ in range(200):
        eps = (low + high) / 2
        ratios = [sum(shape) / math.prod(shape) for shape in shapes]
        counts = [math.prod(s) * min(1, eps * r) for s, r in zip(shapes, ratios, strict=True)]
        low, high = (eps, high) if sum(counts) < kept else (low, eps)
    return counts


@given(
    st.lists(
        st.one_of(
            st.tuples(*[st.integers(1, 12)] * 2, *[st.sampled_from([1, 3])] * 2),
            st.tuples(*[st.integers(1, 40)] * 2),
        ),
        min_size=1,
        max_size=6,
    ),
    st.lists(st.floats(0, 0.9), min_size=1, max_size=5),
)
@settings(max_examples=150, deadline=None)
def test_erk_densities_after_one_round_and_after_several(
    shapes: list[tuple[int, ...]], fractions: list[float]
) -> None:
    mask = Mask({f"w{i}": torch.ones(s, dtype=torch.bool) for i, s in enumerate(shapes)})
    for seed, fraction in enumerate(fractions):
        case = pruning(mask=mask, seed=seed)
        made = CRITERIA["random-erk"].next_mask(case, fraction)
        assert made.is_subset_of(mask)
        mask = made
        counts = [int(alive.sum()) for alive in mask.values()]
        for count, expected in zip(counts, erk(shapes, mask.num_alive), strict=True):
            # Half a weight of rounding, and what the other layers have rounded.
            assert abs(count - expected) <= (len(shapes) + 1) / 2 + 1e-6


def test_erk_of_a_network_over_rounds() -> None:
    """Layers that are full at first are not, later."""
    case = pruning()
    mask, shapes = case.mask, [tuple(alive.shape) for alive in case.mask.values()]
    full = []
    for seed in range(12):
        mask = CRITERIA["random-erk"].next_mask(
            dataclasses.replace(case, mask=mask, seed=seed), 0.2
        )
        counts = [int(alive.sum()) for alive in mask.values()]
        assert counts == pytest.approx(erk(shapes, mask.num_alive), abs=1)
        full.append(sum(bool(alive.all()) for alive in mask.values()))
    assert full[0] > full[-1]


def test_erk_is_drawn_by_its_seed_within_layers() -> None:
    draws = [CRITERIA["random-erk"].next_mask(pruning(seed=s), 0.5) for s in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]
    for name, alive in draws[0].items():
        other, size = draws[2][name], alive.numel()
        assert int(alive.sum()) == int(other.sum())
        share = float(alive.float().mean())
        # As many in common as of two independent draws, within five deviations.
        common = float((alive & other).float().mean())
        assert common == pytest.approx(share**2, abs=5 * share * (1 - share) / size**0.5 + 1e-9)


def test_magnitude_is_global_magnitude() -> None:
    case = pruning()
    expected = global_magnitude(prunable_weights(case.model), case.mask, 0.3)
    assert CRITERIA["magnitude"].next_mask(case, 0.3) == expected


def test_synflow_over_iterations_scores_anew_before_each() -> None:
    """Three iterations from 1 to 0.5 by hand: what is alive falls by the cube root of a half."""
    case = pruning(iterations=3)
    mask, alive = case.mask, case.mask.num_alive
    target = alive - round(0.5 * alive)
    for kept in (round(alive * (target / alive) ** (1 / 3)),
                 round(alive * (target / alive) ** (2 / 3)), target):  # fmt: skip
        mask = keep_highest(synflow_saliency(case.model, mask, (8, 8, 1)), mask, kept)
    assert CRITERIA["synflow"].next_mask(case, 0.5) == mask
    assert CRITERIA["synflow"].next_mask(pruning(), 0.5) != mask


@pytest.mark.parametrize("architecture", ["conv4", "resnet8"])
@pytest.mark.parametrize("iterations", [1, 3])
def test_what_criteria_state_as_their_cost_is_what_torch_counts(
    architecture: str, iterations: int
) -> None:
    shape = (16, 16, 3)
    model = build_model(architecture, num_classes=10, image_shape=shape, seed=0)
    asked = 0

    def batches() -> list[tuple[torch.Tensor, torch.Tensor]]:
        nonlocal asked
        asked += 20
        return [(torch.randn(20, 3, 16, 16), torch.arange(20) % 10)]

    forward = sum(forward_flops(model, shape).values())
    for name, found in CRITERIA.items():
        asked = 0
        case = pruning(model=model, mask=Mask.dense(model), image_shape=shape, batches=batches,
                       iterations=iterations)  # fmt: skip
        with FlopCounterMode(display=False) as counter:
            found.next_mask(case, 0.2)
        stated = forward * found.passes_for(asked, iterations)
        # The first layer needs no gradient of its input, which is less than two in a hundred.
        assert stated * 0.98 <= counter.get_total_flops() <= stated, name
        assert bool(stated) == (name in ("snip", "grasp", "synflow")), name


def test_what_a_criterion_of_ones_own_states_as_its_cost() -> None:
    saliency = CRITERIA["snip"].saliency
    assert criterion(reads="trained")(saliency).passes_for(7, 2) == 3 * 7
    assert criterion(reads="trained", passes=1)(saliency).passes_for(7, 2) == 7
    assert criterion(reads="initial", passes=5, own_images=2)(saliency).passes_for(7, 3) == 5 * 13


def test_a_criterion_of_ones_own() -> None:
    @criterion(reads="trained")
    def largest_go(case: Pruning) -> dict[str, torch.Tensor]:
        return {n: -w.abs() for n, w in prunable_weights(case.model).items()}

    case = pruning()
    made = largest_go.next_mask(case, 0.5)
    weights = prunable_weights(case.model)
    largest_kept = max(float(weights[n].detach().abs()[made[n]].max()) for n in made)
    smallest_gone = min(float(weights[n].detach().abs()[~made[n]].min()) for n in made)
    assert largest_kept <= smallest_gone
    method = largest_go.as_method("a.b:largest_go")
    assert (method.prunes, method.trains, method.starts) == ("a.b:largest_go", "rounds", "rewind")
    before = Criterion(largest_go.saliency, "initial").as_method("a.b:c")
    assert (before.trains, before.starts) == ("nothing", "initial")


def test_what_is_no_criterion_is_refused() -> None:
    with pytest.raises(ConfigError, match="known: grasp, magnitude"):
        find_criterion("nope")
    with pytest.raises(ConfigError, match=r"decorated with prac.pruning.criteria.criterion"):
        find_criterion("json:dumps")
    with pytest.raises(ConfigError, match="allowed: trained, initial, nothing"):
        Criterion(CRITERIA["snip"].saliency, "weights")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="'patience' is not allowed; allowed: iterations, sco"):
        criterion(reads="trained", options=("iterations", "patience"))(CRITERIA["snip"].saliency)
