"""A mask that stays with its modules: whatever trains, copies, saves or loads them."""

from __future__ import annotations

import copy
import gc
import io
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, parametrizations, vector_to_parameters
from torch.optim.swa_utils import AveragedModel

from prac import Mask, global_magnitude
from prac.errors import TicketError
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
def test_pruned_weights_stay_exactly_zero(way: Callable[[nn.Module, Mask], nn.Module]) -> None:
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


@pytest.mark.parametrize(
    "put_on", [parametrizations.weight_norm, parametrizations.orthogonal, nn.utils.spectral_norm]
)
def test_a_weight_that_is_computed_says_that_it_is_not_held(
    put_on: Callable[[nn.Module], nn.Module],
) -> None:
    model, _ = held()
    put_on(model[3])
    with pytest.raises(TicketError, match=r"weight of .*Conv2d is no parameter any more"):
        model(IMAGES)
    release(model)
    model(IMAGES)


def test_weights_that_are_handed_in_for_a_call_are_the_callers() -> None:
    model, mask = held()
    given = {name: torch.ones_like(weight) for name, weight in model.named_parameters()}
    torch.func.functional_call(model, given, (IMAGES,))
    assert all(bool((weight == 1).all()) for weight in given.values())
    assert alive_again(train(model), mask) == 0


_WORKER = """
import sys
import torch
from torch import nn
from prac import Mask, global_magnitude
from prac.pruning.held import hold
from prac.pruning.prunable import prunable_weights
rank, place = int(sys.argv[1]), sys.argv[2]
torch.distributed.init_process_group("gloo", init_method=place, rank=rank, world_size=2)
torch.manual_seed(rank)  # other weights in each process: DDP sends those of the first
model = nn.Sequential(nn.Conv2d(2, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(128, 3))
torch.manual_seed(0)
with torch.no_grad():
    scores = {name: torch.rand_like(w) for name, w in prunable_weights(model).items()}
mask = global_magnitude(scores, Mask.dense(model), 0.6)
hold(model, mask)
images, labels = torch.randn(16, 2, 6, 6)[rank::2], (torch.arange(16) % 3)[rank::2]
parallel = nn.parallel.DistributedDataParallel(model)
optimizer = torch.optim.SGD(parallel.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
for _ in range(3):
    optimizer.zero_grad()
    nn.functional.cross_entropy(parallel(images), labels).backward()
    optimizer.step()
weight = model[0].weight.detach()
(name, alive), = mask.items()
print(int((weight[~alive] != 0).sum()), int((weight != 0).sum()), float(weight.double().sum()))
torch.distributed.destroy_process_group()
"""


def test_two_processes_that_train_together(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _WORKER]
    place = f"file://{tmp_path / 'meeting'}"
    workers = [
        subprocess.Popen([*command, str(rank), place], stdout=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    told = [worker.communicate(timeout=120)[0].split() for worker in workers]
    assert told[0] == told[1]
    assert told[0][0] == "0"
    assert int(told[0][1]) == 8 * 2 * 9 - round(0.6 * 8 * 2 * 9)
