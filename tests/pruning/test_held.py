"""A mask that stays with its modules: whatever trains, copies, saves or loads them."""

from __future__ import annotations

import copy
import gc
import io
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters
from torch.optim.swa_utils import AveragedModel

from prac.pruning import Mask, global_magnitude
from prac.pruning.held import hold, release
from prac.pruning.prunable import prunable_weights

IMAGES = torch.randn(16, 2, 6, 6, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(16) % 3


def network() -> nn.Module:
    first, second = nn.Conv2d(2, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)]
    return nn.Sequential(first, nn.BatchNorm2d(8), nn.ReLU(), second, nn.ReLU(), *head)


def mask_of(model: nn.Module) -> Mask:
    return global_magnitude(prunable_weights(model), Mask.dense(model), 0.6)


def momentum(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-2)


def train(model: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> nn.Module:
    optimizer = optimizer or momentum(model)
    weight = next(model.parameters())
    for _ in range(3):
        optimizer.zero_grad()
        output = model(IMAGES.to(weight.dtype)).float()
        nn.functional.cross_entropy(output, LABELS).backward()
        optimizer.step()
    return model


def alive_again(model: nn.Module, mask: Mask) -> int:
    parameters = dict(model.named_parameters())
    return sum(int((parameters[name][~alive] != 0).sum()) for name, alive in mask.items())


def held() -> tuple[nn.Module, Mask]:
    torch.manual_seed(1)
    model = network()
    mask = mask_of(model)
    hold(model, mask)
    return model, mask


def momentum_from_before(model: nn.Module, mask: Mask) -> nn.Module:
    release(model)
    optimizer = momentum(model)
    train(model, optimizer)
    hold(model, mask)
    return train(model, optimizer)


def momentum_that_is_loaded(model: nn.Module, mask: Mask) -> nn.Module:
    dense = network()
    other = momentum(dense)
    train(dense, other)
    optimizer = momentum(model)
    optimizer.load_state_dict(other.state_dict())
    return train(model, optimizer)


def assigned(model: nn.Module, mask: Mask) -> nn.Module:
    model.load_state_dict(network().state_dict(), assign=True)
    assert alive_again(model, mask) == 0
    return train(model)


def loaded_dense(model: nn.Module, mask: Mask) -> nn.Module:
    model.load_state_dict(network().state_dict())
    assert alive_again(model, mask) == 0
    return train(model)


def deep_copy(model: nn.Module, mask: Mask) -> nn.Module:
    return train(copy.deepcopy(copy.deepcopy(model)))


def saved(model: nn.Module, mask: Mask) -> nn.Module:
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    again: nn.Module = torch.load(file, weights_only=False)
    return train(again)


def replaced_parameters(model: nn.Module, mask: Mask) -> nn.Module:
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.weight = nn.Parameter(torch.ones_like(module.weight))
    return train(model)


def by_hand(model: nn.Module, mask: Mask) -> nn.Module:
    copied = copy.deepcopy(model)
    for _ in range(3):
        copied.zero_grad()
        nn.functional.cross_entropy(copied(IMAGES), LABELS).backward()
        with torch.no_grad():
            for parameter in copied.parameters():
                parameter -= 0.1 * parameter.grad
    return copied


def adamw(model: nn.Module, mask: Mask) -> nn.Module:
    copied = copy.deepcopy(model)
    return train(copied, torch.optim.AdamW(copied.parameters(), lr=1e-2, weight_decay=0.1))


def fused(model: nn.Module, mask: Mask) -> nn.Module:
    copied = copy.deepcopy(model)
    return train(copied, torch.optim.Adam(copied.parameters(), lr=1e-2, fused=True))


def closure(model: nn.Module, mask: Mask) -> nn.Module:
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1)

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = nn.functional.cross_entropy(model(IMAGES), LABELS)
        value.backward()
        return value

    optimizer.step(loss)  # type: ignore[arg-type]
    return model


def bfloat16(model: nn.Module, mask: Mask) -> nn.Module:
    return train(model.bfloat16())


def averaged(model: nn.Module, mask: Mask) -> nn.Module:
    mean = AveragedModel(model)
    for _ in range(3):
        train(model)
        mean.update_parameters(model)
    inner: nn.Module = mean.module
    return inner


def frozen_and_thawed(model: nn.Module, mask: Mask) -> nn.Module:
    copied = copy.deepcopy(model.requires_grad_(False))
    return train(copied.requires_grad_(True))


WAYS: list[Callable[[nn.Module, Mask], nn.Module]] = [
    *(momentum_from_before, momentum_that_is_loaded, assigned, loaded_dense, deep_copy, saved),
    *(replaced_parameters, by_hand, adamw, fused, closure, bfloat16, averaged),
    frozen_and_thawed,
]


@pytest.mark.parametrize("way", WAYS)
def test_pruned_weights_stay_exactly_zero(
    way: Callable[[nn.Module, Mask], nn.Module],
) -> None:
    model, mask = held()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    trained = way(model, mask)
    assert alive_again(trained, mask) == 0
    for name, alive in mask.items():
        moved = trained.state_dict()[name].float() != before[name]
        assert bool(moved[alive].any()), "nothing was trained"


@pytest.mark.parametrize("whole_step", [False, True])
def test_compiled_steps_hold_as_well(whole_step: bool) -> None:
    model, mask = held()
    copied = copy.deepcopy(model)
    optimizer = momentum(copied)
    compiled = torch.compile(copied, backend="aot_eager")
    step = torch.compile(optimizer.step, backend="aot_eager") if whole_step else optimizer.step
    for _ in range(3):
        optimizer.zero_grad()
        nn.functional.cross_entropy(compiled(IMAGES), LABELS).backward()
        step()
    assert alive_again(copied, mask) == 0


def added(model: nn.Module) -> None:
    for parameter in model.parameters():
        parameter.data.add_(1.0)


def another(model: nn.Module) -> None:
    for parameter in model.parameters():
        parameter.data = torch.ones_like(parameter)


def a_vector(model: nn.Module) -> None:
    vector = parameters_to_vector(model.parameters())
    vector_to_parameters(torch.ones_like(vector), model.parameters())


@pytest.mark.parametrize("change", [added, another, a_vector])
def test_what_data_changes_is_undone_by_the_next_forward_pass(
    change: Callable[[nn.Module], None],
) -> None:
    model, mask = held()
    for each in (model, copy.deepcopy(model)):
        change(each)
        assert alive_again(each, mask) > 0
        each(IMAGES)
        assert alive_again(each, mask) == 0
        assert all(bool(each.get_parameter(n)[alive].all()) for n, alive in mask.items())


def test_a_held_network_goes_when_nobody_has_it() -> None:
    model, _ = held()
    train(model)
    models = [model, copy.deepcopy(model)]
    left = [weakref.ref(weight) for each in models for weight in each.parameters()]
    models.clear()
    del model
    gc.collect()
    assert not any(weight() is not None for weight in left)


def test_names_and_files_are_those_of_the_plain_network(tmp_path: Path) -> None:
    model, _ = held()
    assert list(model.state_dict()) == list(network().state_dict())
    safetensors.torch.save_file(model.state_dict(), tmp_path / "weights.safetensors")
    network().load_state_dict(safetensors.torch.load_file(tmp_path / "weights.safetensors"))
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    torch.load(tmp_path / "weights.pt", weights_only=True)


def test_two_passes_before_one_backward_pass() -> None:
    model, mask = held()
    optimizer = momentum(model)
    for _ in range(2):
        optimizer.zero_grad()
        (model(IMAGES).square().mean() + model(-IMAGES).square().mean()).backward()
        optimizer.step()
    assert alive_again(model, mask) == 0


def test_a_norm_that_is_clipped_knows_no_pruned_gradient() -> None:
    model, mask = held()
    for each in (model, copy.deepcopy(model)):
        nn.functional.cross_entropy(each(IMAGES), LABELS).backward()
        for name, alive in mask.items():
            gradient = each.get_parameter(name).grad
            assert gradient is not None
            assert not bool(gradient[~alive].any())


def test_what_is_held_and_what_is_copied_are_let_go_apart() -> None:
    model, mask = held()
    copied = copy.deepcopy(model)
    release(copied)
    for module in copied.modules():
        assert not module._forward_pre_hooks
        assert not hasattr(module, "prac_hold")
    assert alive_again(train(copied), mask) > 0
    assert alive_again(train(model), mask) == 0
    hold(copied, mask)
    assert alive_again(train(copied), mask) == 0


def test_held_training_is_training_of_masked_gradients_bit_for_bit() -> None:
    model, mask = held()
    plain = network()
    plain.load_state_dict(model.state_dict())
    for name, alive in mask.items():
        plain.get_parameter(name).register_hook(lambda grad, alive=alive: grad * alive)
    train(plain), train(model)
    assert all(torch.equal(w, model.state_dict()[n]) for n, w in plain.state_dict().items())


def test_a_held_network_of_inference_mode_predicts() -> None:
    with torch.inference_mode():
        model, mask = held()
        model(IMAGES)
    assert alive_again(model, mask) == 0


def test_a_held_network_is_exported_and_traced() -> None:
    model, _ = held()
    model.eval()
    with torch.no_grad():
        expected = model(IMAGES)
        program = torch.export.export(model, (IMAGES,)).module()
        traced = torch.jit.trace(model, (IMAGES,))
        symbolic = torch.fx.symbolic_trace(model)
        for graph in (program, traced, symbolic):
            torch.testing.assert_close(graph(IMAGES), expected)
    assert sum(name.endswith("weight") for name, _ in program.named_parameters()) == 4
