"""Pruned weights are exactly zero after every step: brute force over optimisers and states."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from prac import Mask, MaskedStep, global_magnitude
from prac.errors import ConfigError, TicketError
from prac.pruning.prunable import prunable_weights

Make = Callable[[nn.Module], torch.optim.Optimizer]
OPTIMIZERS: dict[str, Make] = {
    "sgd": lambda m: torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-2),
    "nesterov": lambda m: torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9, nesterov=True),
    "sgd, foreach": lambda m: torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9, foreach=True),
    "sgd, fused": lambda m: torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9, fused=True),
    "adam": lambda m: torch.optim.Adam(m.parameters(), lr=1e-2, weight_decay=1e-1),
    "adam, fused": lambda m: torch.optim.Adam(m.parameters(), lr=1e-2, fused=True),
    "adamw": lambda m: torch.optim.AdamW(m.parameters(), lr=1e-2, weight_decay=1e-1),
    "adamw, amsgrad": lambda m: torch.optim.AdamW(m.parameters(), lr=2e-2, amsgrad=True),
    "adamw, fused": lambda m: torch.optim.AdamW(m.parameters(), lr=2e-2, fused=True),
    "nadam": lambda m: torch.optim.NAdam(m.parameters(), lr=1e-2, weight_decay=1e-1),
    "rmsprop": lambda m: torch.optim.RMSprop(m.parameters(), lr=1e-2, momentum=0.9),
}
CUDA = pytest.param(
    "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
)


def _model(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 8, 3, stride=2, bias=False),
        nn.Flatten(),
        nn.Linear(72, 3),
    )


def _mask(model: nn.Module, fraction: float = 0.6) -> Mask:
    return global_magnitude(prunable_weights(model), Mask.dense(model), fraction).to("cpu")


def _loss(model: nn.Module) -> Tensor:
    first = next(model.parameters())
    images, labels = torch.randn(4, 1, 8, 8), torch.randint(3, (4,))
    logits = model(images.to(first.device, first.dtype))
    return nn.functional.cross_entropy(logits.float(), labels.to(first.device))


def _not_zero(model: nn.Module, mask: Mask) -> int:
    weights = prunable_weights(model)
    return sum(int((weights[name].cpu()[~mask[name]] != 0).sum()) for name in mask)


def _train(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    mask: Mask,
    scaler: torch.amp.GradScaler | None = None,
) -> list[int]:
    """Four steps: the pruned weights that are not zero after each."""
    found = []
    for _ in range(4):
        optimizer.zero_grad()
        if scaler is None:
            _loss(model).backward()
            optimizer.step()
        else:
            scaler.scale(_loss(model)).backward()
            scaler.step(optimizer)
            scaler.update()
        found.append(_not_zero(model, mask))
    return found


def _with_momentum(
    name: str, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> tuple[nn.Module, torch.optim.Optimizer]:
    """A model that its optimiser has trained without a mask."""
    model = _model().to(device, dtype)
    optimizer = OPTIMIZERS[name](model)
    _train(model, optimizer, _mask(model))
    return model, optimizer


@pytest.mark.parametrize("device", ["cpu", CUDA])
@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_zero_from_the_start_and_after_every_step(
    name: str, dtype: torch.dtype, scaled: bool, device: str
) -> None:
    model, optimizer = _with_momentum(name, device, dtype)
    mask = _mask(model)
    free, free_optimizer = copy.deepcopy((model, optimizer))
    mask.apply_(free)
    # The check can fail: what the optimiser remembers moves pruned weights whose gradient is zero.
    free_optimizer.zero_grad()
    for weight in free.parameters():
        weight.grad = torch.zeros_like(weight)
    free_optimizer.step()
    assert _not_zero(free, mask) > 0

    MaskedStep(model, mask, optimizer)
    assert _not_zero(model, mask) == 0
    start = {name: weight.detach().clone() for name, weight in prunable_weights(model).items()}
    scaler = torch.amp.GradScaler(device, init_scale=64.0) if scaled else None
    assert _train(model, optimizer, mask, scaler) == [0] * 4
    for name, weight in prunable_weights(model).items():
        moved = (weight != start[name]).cpu()[mask[name]]
        assert float(moved.float().mean()) > 0.5
        assert bool(torch.isfinite(weight).all())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weights_alive_are_those_of_a_loop_that_multiplies_by_the_mask(name: str) -> None:
    model, optimizer = _with_momentum(name)
    mask = _mask(model)
    other, other_optimizer = copy.deepcopy((model, optimizer))
    MaskedStep(model, mask, optimizer)
    torch.manual_seed(5)
    _train(model, optimizer, mask)
    torch.manual_seed(5)
    with torch.no_grad():
        for each, weight in prunable_weights(other).items():
            weight.mul_(mask[each])
    for _ in range(4):
        other_optimizer.zero_grad()
        _loss(other).backward()
        for each, weight in prunable_weights(other).items():
            weight.grad.mul_(mask[each])
        other_optimizer.step()
        with torch.no_grad():
            for each, weight in prunable_weights(other).items():
                weight.mul_(mask[each])
    for each, tensor in model.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[each])


def test_states_that_are_loaded_do_not_matter() -> None:
    model, optimizer = _with_momentum("adamw")
    remembered = copy.deepcopy(optimizer.state_dict())
    mask = _mask(model)
    masked = MaskedStep(model, mask, optimizer)
    optimizer.load_state_dict(remembered)
    assert _train(model, optimizer, mask) == [0] * 4

    # Other parameters in the old ones' places, of another type, which a new optimiser trains.
    loaded = {name: t.bfloat16() for name, t in _model(seed=1).state_dict().items()}
    before = dict(model.named_parameters())
    model.load_state_dict(loaded, assign=True)
    assert all(p is not before[name] for name, p in model.named_parameters())
    optimizer = OPTIMIZERS["sgd"](model)
    masked.watch(optimizer)
    assert _train(model, optimizer, mask) == [0] * 4


def test_called_by_hand_around_a_step_and_before_the_norm_is_clipped() -> None:
    model, optimizer = _with_momentum("sgd")
    mask = _mask(model)
    masked = MaskedStep(model, mask)
    for _ in range(3):
        optimizer.zero_grad()
        _loss(model).backward()
        masked.before_step()
        weights = prunable_weights(model)
        assert all(bool((weights[name].grad[~mask[name]] == 0).all()) for name in mask)
        expected = torch.stack([p.grad.square().sum() for p in model.parameters()]).sum().sqrt()
        assert float(nn.utils.clip_grad_norm_(model.parameters(), 0.1)) == pytest.approx(
            float(expected)
        )
        optimizer.step()
        masked.after_step()
        assert _not_zero(model, mask) == 0


@pytest.mark.parametrize("at_its_end", [False, True])
def test_a_step_with_a_closure(at_its_end: bool) -> None:
    model = _model()
    mask = _mask(model)
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=4)
    masked = MaskedStep(model, mask, optimizer)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = _loss(model)
        loss.backward()
        if at_its_end:
            assert _not_zero(model, mask) == 0  # at every iteration within the step
            masked.before_step()
        return loss

    for _ in range(3):
        optimizer.step(closure)
        assert _not_zero(model, mask) == 0


def test_what_is_not_a_number_where_a_weight_is_pruned_goes_nowhere() -> None:
    model, optimizer = _with_momentum("sgd")
    mask = _mask(model)
    MaskedStep(model, mask, optimizer)
    for _ in range(2):
        _loss(model).backward()
        for name, weight in prunable_weights(model).items():
            weight.grad[~mask[name]] = float("nan")
        optimizer.step()
    assert _not_zero(model, mask) == 0
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())


def test_frozen_weights_and_those_without_gradients_are_left_alone() -> None:
    model = _model()
    mask = _mask(model)
    model[0].weight.requires_grad_(False)
    optimizer = OPTIMIZERS["sgd"](model)
    MaskedStep(model, mask, optimizer)
    frozen = model[0].weight.clone()
    optimizer.step()
    assert _train(model, optimizer, mask) == [0] * 4
    assert torch.equal(model[0].weight, frozen)


def test_a_later_mask_takes_over_and_remove_lets_go() -> None:
    model, optimizer = _with_momentum("sgd")
    first, second = _mask(model), _mask(model, 0.8)
    held = MaskedStep(model, first, optimizer)
    held.remove()
    held = MaskedStep(model, second, optimizer)
    assert _train(model, optimizer, second) == [0] * 4
    held.remove()
    assert _train(model, optimizer, second)[0] > 0


def test_a_mask_that_does_not_fit_is_one_line() -> None:
    other = Mask.dense(nn.Sequential(nn.Conv2d(1, 2, 3)))
    with pytest.raises(TicketError, match=r"a mask fits only the architecture"):
        MaskedStep(_model(), other)
    model = _model()
    mask = _mask(model)
    parametrizations.weight_norm(model[3])
    with pytest.raises(ConfigError, match=r"'3' computes its weight .* can't be pruned"):
        MaskedStep(model, mask)
