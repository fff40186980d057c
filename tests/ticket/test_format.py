"""Tickets: saved and loaded whole or refused, held sparse through a user's own training."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from prac import Mask, global_magnitude
from prac.errors import TicketError
from prac.models.registry import build_model
from prac.pruning.prunable import prunable_weights
from prac.ticket.format import FOUND_FILE, MASK_FILE, TRAINED_FILE, WEIGHTS_FILE, Ticket
from prac.ticket.reading import MANIFEST_FILE

LINEAGE = {
    "architecture": "resnet8",
    "num_classes": 3,
    "image_shape": [8, 8, 1],
    "class_names": ["a", "b", "c"],
    "mean": [0.5],
    "std": [0.25],
}


def _model(seed: int = 0) -> nn.Module:
    return build_model("resnet8", num_classes=3, image_shape=(8, 8, 1), seed=seed)


def _ticket(fraction: float = 0.6, seed: int = 0) -> Ticket:
    model = _model(seed)
    mask = global_magnitude(prunable_weights(model), Mask.dense(model), fraction)
    return Ticket.of(mask, model.state_dict(), LINEAGE)


def _pruned_not_zero(model: nn.Module, mask: Mask) -> int:
    return sum(int((w[~mask[n]] != 0).sum()) for n, w in prunable_weights(model).items())


def _train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 4) -> None:
    draw = torch.Generator().manual_seed(0)
    for _ in range(steps):
        optimizer.zero_grad()
        images = torch.randn(8, 1, 8, 8, generator=draw)
        labels = torch.randint(3, (8,), generator=draw)
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()


def test_trained_weights_that_layers_share_are_saved(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(1, 1, 3, bias=False), nn.Conv2d(1, 1, 3, bias=False))
    model[1].weight = model[0].weight
    state = model.state_dict()
    ticket = Ticket.of(Mask.dense(model), state, LINEAGE, trained=state, found=state)
    loaded = Ticket.load(ticket.save(tmp_path))
    for part in (loaded.trained, loaded.found):
        assert part is not None
        assert all(torch.equal(part[name], tensor) for name, tensor in state.items())


def test_a_ticket_has_zeros_where_it_is_pruned_and_the_rewind_weights_elsewhere() -> None:
    model, ticket = _model(), _ticket()
    start = model.state_dict()
    for name, weight in ticket.weights.items():
        alive = ticket.mask.get(name)
        expected = start[name] if alive is None else torch.where(alive, start[name], 0.0)
        assert torch.equal(weight, expected)
    ticket.verify()
    num_pruned = round(0.6 * ticket.mask.size)
    assert ticket.sparsity == pytest.approx(num_pruned / ticket.mask.size)
    with pytest.raises(TicketError, match="have no stem"):
        Ticket.of(ticket.mask, {}, {})


def test_what_is_saved_is_loaded_and_nothing_is_unpickled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket = _ticket()
    assert ticket.save(tmp_path / "deep" / "ticket") == tmp_path / "deep" / "ticket"

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("unpickled")

    for name in ("pickle.loads", "pickle.load", "pickle.Unpickler", "torch.load"):
        monkeypatch.setattr(name, refuse)
    loaded = Ticket.load(tmp_path / "deep" / "ticket")
    assert loaded.mask == ticket.mask
    assert list(loaded.mask) == list(ticket.mask)
    assert loaded.lineage == LINEAGE
    assert loaded.weights.keys() == ticket.weights.keys()
    assert all(torch.equal(loaded.weights[n], ticket.weights[n]) for n in ticket.weights)
    loaded.verify()
    manifest = json.loads((tmp_path / "deep" / "ticket" / MANIFEST_FILE).read_text())
    assert manifest["weights_alive"] == ticket.mask.num_alive
    # An older ticket in the same folder is replaced.
    _ticket(0.2).save(tmp_path / "deep" / "ticket")
    assert Ticket.load(str(tmp_path / "deep" / "ticket")).mask == _ticket(0.2).mask


def test_a_ticket_that_is_there_stays_until_another_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = dict(_ticket().weights)
    there = dataclasses.replace(_ticket(), trained=state, found=state)
    there.save(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(TicketError, match="lineage is no JSON"):
        dataclasses.replace(_ticket(0.2), lineage={"accuracy": np.float32(0.5)}).save(tmp_path)
    write = Path.write_bytes
    for number in range(3):

        def full(path: Path, data: bytes, left: list[int] = [number]) -> int:  # noqa: B006
            if not left[0]:
                raise OSError(28, "No space left on device")
            left[0] -= 1
            return write(path, data)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "write_bytes", full)
            with pytest.raises(OSError, match="No space"):
                _ticket(0.2).save(tmp_path)
        assert Ticket.load(tmp_path).mask == there.mask
    known = {MASK_FILE, WEIGHTS_FILE, MANIFEST_FILE, "notes.txt"}
    assert {path.name for path in tmp_path.iterdir()} == known | {TRAINED_FILE, FOUND_FILE}
    _ticket(0.2).save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == known
    assert Ticket.load(tmp_path).trained is None


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    folder = _ticket().save(tmp_path)
    for name in (MASK_FILE, WEIGHTS_FILE):
        good = (folder / name).read_bytes()
        for at in (0, 9, len(good) // 2, len(good) - 1):
            (folder / name).write_bytes(good[:at] + bytes([good[at] ^ 4]) + good[at + 1 :])
            with pytest.raises(TicketError, match=rf"{name} fails its checksum"):
                Ticket.load(folder)
        (folder / name).write_bytes(good[:-1])
        with pytest.raises(TicketError, match="fails its checksum"):
            Ticket.load(folder)
        (folder / name).unlink()
        with pytest.raises(TicketError, match="damaged"):
            Ticket.load(folder)
        (folder / name).write_bytes(good)
    Ticket.load(folder)


@pytest.mark.parametrize("manifest", ["", "[]", "3", "{}", '{"format": 1}', '{"format": 99}', "\0"])
def test_a_damaged_manifest_is_refused(tmp_path: Path, manifest: str) -> None:
    folder = _ticket().save(tmp_path)
    (folder / MANIFEST_FILE).write_text(manifest)
    with pytest.raises(TicketError) as info:
        Ticket.load(folder)
    assert str(folder) in str(info.value)
    assert "\n" not in str(info.value)


@pytest.mark.parametrize("name", ["sparsity", "weights_alive"])
def test_numbers_of_a_manifest_that_the_mask_denies_are_refused(tmp_path: Path, name: str) -> None:
    folder = _ticket().save(tmp_path)
    told = json.loads((folder / MANIFEST_FILE).read_text())
    told[name] = told[name] + 1 if name == "weights_alive" else told[name] / 2
    (folder / MANIFEST_FILE).write_text(json.dumps(told))
    with pytest.raises(TicketError, match=f"{name} of ticket.json is not what the mask has"):
        Ticket.load(folder)


def test_a_ticket_by_its_manifest(tmp_path: Path) -> None:
    folder = _ticket().save(tmp_path)
    assert Ticket.load(folder / MANIFEST_FILE).mask == Ticket.load(folder).mask


def test_a_folder_without_manifest_holds_no_ticket(tmp_path: Path) -> None:
    folder = _ticket().save(tmp_path)
    (folder / MANIFEST_FILE).unlink()
    for where in (folder, tmp_path / "nowhere"):
        with pytest.raises(TicketError, match=f"holds no ticket: there is no {MANIFEST_FILE}"):
            Ticket.load(where)


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(TicketError, match=r"nothing opens nonsense:/; known: a folder, .*models"):
        Ticket.load("nonsense:/ticket/1")


def test_verify_finds_a_pruned_weight_that_is_not_zero() -> None:
    for value, message in ((1e-30, "1 pruned weights of"), (float("nan"), "1 pruned weights of")):
        ticket = _ticket()
        name = next(n for n, alive in ticket.mask.items() if not alive.all())
        first = tuple(torch.nonzero(~ticket.mask[name])[0])
        ticket.weights[name][first] = value
        with pytest.raises(TicketError, match=message) as info:
            ticket.verify()
        assert name in str(info.value)
    ticket = _ticket()
    ticket.weights["classifier.bias"][0] = float("inf")
    with pytest.raises(TicketError, match=r"classifier\.bias holds values that are not finite"):
        ticket.verify()
    missing = Ticket(mask=ticket.mask, weights={}, lineage={})
    with pytest.raises(TicketError, match="missing or of another shape"):
        missing.verify()


def test_a_model_that_does_not_fit_is_refused() -> None:
    other = build_model("conv4", num_classes=3, image_shape=(8, 8, 1), seed=0)
    wider = build_model("resnet8", num_classes=4, image_shape=(8, 8, 1), seed=0)
    for model in (other, wider):
        with pytest.raises(TicketError, match="doesn't fit the model") as info:
            _ticket().apply(model)
        assert "\n" not in str(info.value)


def test_build_makes_the_network_of_the_lineage() -> None:
    ticket = _ticket()
    model = ticket.build()
    assert all(torch.equal(t, ticket.weights[n]) for n, t in model.state_dict().items())
    bare = Ticket(mask=ticket.mask, weights=ticket.weights, lineage={})
    with pytest.raises(TicketError, match="lineage has no 'architecture'"):
        bare.build()


OPTIMIZERS: dict[str, Callable[[nn.Module], torch.optim.Optimizer]] = {
    "sgd": lambda m: torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-2),
    "nesterov": lambda m: torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9, nesterov=True),
    "adamw": lambda m: torch.optim.AdamW(m.parameters(), lr=1e-2, weight_decay=1e-1),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training_keeps_pruned_weights_at_zero(optimizer: str) -> None:
    ticket = _ticket()
    model = ticket.apply(_model(seed=5))
    _train(model, OPTIMIZERS[optimizer](model))
    assert _pruned_not_zero(model, ticket.mask) == 0
    for name, weight in prunable_weights(model).items():
        alive = ticket.mask[name]
        assert bool((weight[alive] != ticket.weights[name][alive]).any())


def test_gradients_accumulated_over_steps_are_held_too() -> None:
    ticket = _ticket()
    model = ticket.build()
    optimizer = OPTIMIZERS["sgd"](model)
    for _ in range(2):
        model(torch.randn(4, 1, 8, 8)).square().sum().backward()
    optimizer.step()
    assert _pruned_not_zero(model, ticket.mask) == 0


def test_keep_false_holds_nothing() -> None:
    ticket = _ticket()
    model = ticket.apply(_model(), keep=False)
    assert _pruned_not_zero(model, ticket.mask) == 0
    _train(model, OPTIMIZERS["sgd"](model))
    assert _pruned_not_zero(model, ticket.mask) > 0


def test_a_second_ticket_on_the_same_model_replaces_the_first() -> None:
    model, first, second = _model(), _ticket(0.6, seed=0), _ticket(0.6, seed=1)
    first.apply(model)
    second.apply(model)
    fresh = second.apply(_model())
    for trained in (model, fresh):
        _train(trained, OPTIMIZERS["sgd"](trained))
    assert all(torch.equal(t, fresh.state_dict()[n]) for n, t in model.state_dict().items())
    second.apply(model, keep=False)
    _train(model, OPTIMIZERS["sgd"](model))
    assert _pruned_not_zero(model, second.mask) > 0


def test_a_network_that_was_trained_before_is_held_with_its_optimiser() -> None:
    ticket, model = _ticket(), _model(seed=5)
    optimizer = OPTIMIZERS["sgd"](model)
    _train(model, optimizer)
    _train(ticket.apply(model), optimizer)
    assert _pruned_not_zero(model, ticket.mask) == 0


def test_a_copy_of_the_model_is_held() -> None:
    ticket = _ticket()
    copied = copy.deepcopy(ticket.build())
    _train(copied, OPTIMIZERS["adamw"](copied))
    assert _pruned_not_zero(copied, ticket.mask) == 0
