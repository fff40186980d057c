"""What a stranger's ticket can do: nothing but be refused in a line that names what is wrong."""

from __future__ import annotations

import argparse
import copy
import dataclasses
import hashlib
import json
import math
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision.models._api import BUILTIN_MODELS

from prac import Mask, Ticket
from prac.cli import build_parser, main
from prac.cli.stored import WHERE_HELP
from prac.errors import PracError, TicketError
from prac.models.registry import build_model
from prac.ticket.cost import ticket_cost


def _ticket(architecture: str = "conv4", *, trained: bool = True) -> Ticket:
    model = build_model("conv4", num_classes=3, image_shape=(8, 8, 1), seed=0)
    weights = model.state_dict()
    mask = Mask.dense(model)
    lineage = {
        "architecture": architecture,
        "num_classes": 3,
        "image_shape": [8, 8, 1],
        "class_names": ["a", "b", "c"],
        "mean": [0.5],
        "std": [0.25],
        "test_accuracy": 0.5,
        "validation_accuracy": 0.5,
        "data": "toy",
        "method": "prac",
        "my own": {"notes": [1, None, "x"]},
    }
    return Ticket.of(mask, weights, lineage, trained=dict(weights) if trained else None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ticket in a folder, read only."""
    return _ticket().save(tmp_path_factory.mktemp("ticket"))


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Path]:
    """A module on the path, of a name of its own, and the file that its import makes."""
    name, sang = f"canary_{tmp_path.name}", tmp_path / "sang"
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / f"{name}.py").write_text(
        f"import pathlib\npathlib.Path({str(sang)!r}).touch()\n"
        "from prac.models.registry import build_model\n"
        "def net(in_channels, num_classes):\n"
        "    shape = (8, 8, in_channels)\n"
        "    return build_model('conv4', num_classes=num_classes, image_shape=shape, seed=0)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    return name, sang


def test_nothing_that_a_ticket_names_runs_without_consent(
    canary: tuple[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, sang = canary
    where = _ticket(f"{name}:net").save(tmp_path / "ticket")
    out = str(tmp_path / "out")
    commands: dict[str, list[str]] = {
        "show": [],
        "verify": [],
        "export": ["--format", "safetensors", "--out", out],
        "train": ["--data", "digits", "--epochs", "1", "--out", out],
        "connectivity": ["--epochs", "1", "--points", "3"],
    }
    for command, options in commands.items():
        group = [] if command == "connectivity" else ["tickets"]
        status = main([*group, command, str(where), *options])
        told = capsys.readouterr()
        assert f"the ticket names code to run, {name}:net" in told.out + told.err, command
        assert "--trust-code" in told.out + told.err
        assert (status == 0) == (command == "show"), command
    assert main(["tickets", "pull", str(where), "--out", out]) == 0
    assert main(["tickets", "compare", str(where), str(where)]) == 0
    assert _takes_tickets(build_parser()) == {*commands, "pull", "compare"}
    with pytest.raises(TicketError, match="names code to run"):
        Ticket.load(where).build()
    assert not sang.exists()

    assert main(["tickets", "verify", str(where), "--trust-code"]) == 0
    assert sang.exists()


def _takes_tickets(parser: argparse.ArgumentParser, name: str = "") -> set[str]:
    """The names of all commands that are given a ticket."""
    found = {name for action in parser._actions if action.help == WHERE_HELP}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below, each in action.choices.items():
                found |= _takes_tickets(each, below)
    return found


@pytest.mark.parametrize("kind", [torch.float8_e4m3fn, torch.complex64])
def test_weights_of_a_kind_that_nothing_trains(kind: torch.dtype) -> None:
    ticket = _ticket(trained=False)
    name = next(iter(ticket.weights))
    weights = {**ticket.weights, name: ticket.weights[name].to(kind)}
    with pytest.raises(TicketError, match=f"{name} is of {str(kind)[6:]}"):
        dataclasses.replace(ticket, weights=weights).verify()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seed", "x"),
        ("steps_saved", "x"),
        ("flops_dense", "x"),
        ("precision", "fp4"),
        ("parameters", -1),
    ],
)
def test_what_a_page_shows_of_a_lineage_is_of_its_type(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], field: str, value: object
) -> None:
    copied = Path(shutil.copytree(folder, tmp_path / "ticket"))
    manifest = json.loads((copied / "ticket.json").read_text())
    manifest["lineage"][field] = value
    (copied / "ticket.json").write_text(json.dumps(manifest))
    assert main(["tickets", "show", str(copied)]) == 2
    assert f"lineage.{field}" in capsys.readouterr().err


def test_a_package_of_ones_own_is_listed(
    canary: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, sang = canary
    where = _ticket(f"{name}:net").save(tmp_path / "ticket")
    monkeypatch.setenv("PRAC_TRUSTED_PACKAGES", f"another, {name}")
    Ticket.load(where).build()
    assert sang.exists()


def test_what_is_consented_to_is_found_beside_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    where = _ticket("net_beside_ticket:net").save(tmp_path / "ticket")
    (tmp_path / "net_beside_ticket.py").write_text(
        "from prac.models.registry import build_model\n"
        "def net(in_channels, num_classes):\n"
        "    shape = (8, 8, in_channels)\n"
        "    return build_model('conv4', num_classes=num_classes, image_shape=shape, seed=0)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
    before = list(sys.path)
    assert main(["tickets", "verify", str(where)]) == 2
    assert sys.path == before
    assert main(["tickets", "verify", str(where), "--trust-code"]) == 0, capsys.readouterr()


@pytest.mark.parametrize("name", ["torchvision:squeezenet1_1", "squeezenet1_1"])
def test_a_network_of_a_library_needs_no_consent(name: str, tmp_path: Path) -> None:
    assert Ticket.load(_ticket(name).save(tmp_path / "ticket")).network_name() == name


class _Largest(TorchDispatchMode):
    """Notes the most numbers that a tensor with memory has."""

    numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor) and made.device.type != "meta":
            self.numbers = max(self.numbers, made.numel())
        return made


@pytest.mark.parametrize(
    ("name", "classes", "weight"),
    [
        ("torchvision:vit_h_14", 1000, "class_token"),  # 632 million weights
        ("torchvision:regnet_y_128gf", 1000, "stem.0.weight"),  # widths from its own arithmetic
        ("resnet18_x16", 10**6, "stem.0.weight"),
        ("conv4", 10**6, "features.0.weight"),
    ],
)
def test_a_network_far_larger_than_its_weights_is_refused_before_it_is_made(
    name: str, classes: int, weight: str
) -> None:
    ticket = _ticket(name)
    lineage = {**ticket.lineage, "image_shape": [224, 224, 3], "num_classes": classes}
    stranger = dataclasses.replace(ticket, lineage=lineage)
    with _Largest() as largest, pytest.raises(TicketError, match=f"doesn't fit.*{weight}"):
        stranger.build()
    assert largest.numbers < 10**6


def test_a_network_whose_shapes_tell_no_size_is_made_with_consent_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that computes with its weights while it is made could be of any size."""

    def needs_values(num_classes: int, **_: object) -> nn.Module:
        model = nn.Sequential(nn.Conv2d(3, 10**5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        model.append(nn.Linear(10**5, num_classes))
        assert isinstance(model[0].weight.detach().sum().item(), float)
        return model

    monkeypatch.setitem(BUILTIN_MODELS, "needs_values", needs_values)
    monkeypatch.setattr(needs_values, "__module__", "torchvision.models.needs_values")
    name = "torchvision:needs_values"
    model = build_model(name, num_classes=2, image_shape=(8, 8, 3), seed=0)
    lineage = {"architecture": name, "num_classes": 2, "image_shape": [8, 8, 3]}
    own = Ticket.of(Mask.dense(model), model.state_dict(), lineage)
    assert own.build().state_dict().keys() == model.state_dict().keys()
    stranger = dataclasses.replace(own, trust_code=False)
    with _Largest() as largest, pytest.raises(TicketError, match="--trust-code"):
        stranger.build()
    assert largest.numbers < 10**5


@pytest.mark.parametrize("name", ["resnet8", "torchvision:squeezenet1_1"])
def test_images_far_larger_than_the_network_cost_nothing_to_look_at(name: str) -> None:
    shape = (4096, 4096, 3)
    model = build_model(name, num_classes=3, image_shape=(64, 64, 3), seed=0)
    lineage = {"architecture": name, "num_classes": 3, "image_shape": list(shape)}
    stranger = Ticket.of(Mask.dense(model), model.state_dict(), lineage)
    small = ticket_cost(stranger.apply(model), stranger.mask, (512, 512, 3))
    with _Largest() as largest:
        cost = ticket_cost(stranger.build(), stranger.mask, shape)
    assert largest.numbers < 10**6
    # Strides and pools divide evenly in the one, and cut a border off in the other.
    assert cost.flops_dense / small.flops_dense == pytest.approx(8**2, rel=0.1)


def test_leaving_the_process_is_no_way_to_be_right(tmp_path: Path) -> None:
    where = _ticket("sys:exit").save(tmp_path / "ticket")
    assert main(["tickets", "verify", str(where)]) != 0
    assert main(["tickets", "verify", str(where), "--trust-code"]) != 0


def _link_out(folder: Path) -> None:
    secret = folder.parent / "secret"
    secret.write_bytes((folder / "mask.safetensors").read_bytes())
    (folder / "mask.safetensors").unlink()
    (folder / "mask.safetensors").symlink_to(secret)


def _fifo(folder: Path) -> None:
    (folder / "mask.safetensors").unlink()
    os.mkfifo(folder / "mask.safetensors")


def _device(folder: Path) -> None:
    (folder / "weights.safetensors").unlink()
    (folder / "weights.safetensors").symlink_to("/dev/zero")


def _large(folder: Path) -> None:
    with (folder / "ticket.json").open("ab") as file:
        file.truncate(2**25)


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (_link_out, "a link out of the ticket's folder"),
        (_fifo, "no regular file"),
        (_device, "a link out of the ticket's folder"),
        (_large, "33,554,432 bytes; allowed: 16,777,216"),
    ],
)
def test_only_regular_files_inside_are_opened(
    folder: Path, tmp_path: Path, harm: Callable[[Path], None], words: str
) -> None:
    copied = Path(shutil.copytree(folder, tmp_path / "ticket"))
    harm(copied)
    with pytest.raises(TicketError, match=words):
        Ticket.load(copied)


def test_a_link_beside_the_ticket_is_not_copied(folder: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(folder, tmp_path / "ticket"))
    (tmp_path / "secret").write_text("of another")
    (copied / "notes").symlink_to(tmp_path / "secret")
    assert main(["tickets", "pull", str(copied), "--out", str(tmp_path / "out")]) == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("how", ["missing", "misshapen", "more"])
def test_trained_weights_that_are_not_the_networks(how: str) -> None:
    ticket = _ticket()
    assert ticket.trained is not None
    weights = dict(ticket.trained)
    name = next(name for name in reversed(weights) if name.endswith("weight"))
    if how == "missing":
        del weights[name]
    elif how == "misshapen":
        weights[name] = torch.zeros(1)
    else:
        weights["another.weight"] = torch.zeros(1)
    changed = Ticket(
        mask=ticket.mask, weights=ticket.weights, lineage=ticket.lineage, trained=weights
    )
    with pytest.raises(TicketError, match="trained weight"):
        changed.verify()


@pytest.mark.parametrize(
    "text",
    [
        '{"format": 1, "format": 1}',
        '{"format": NaN}',
        '{"format": 1e999}',
        "[" * 100_000,
        "[]",
        "null",
        '"text"',
        "\x00",
    ],
)
def test_what_is_no_strict_json(folder: Path, tmp_path: Path, text: str) -> None:
    copied = Path(shutil.copytree(folder, tmp_path / "ticket"))
    (copied / "ticket.json").write_text(text)
    with pytest.raises(TicketError, match=r"ticket\.json"):
        Ticket.load(copied)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=True, allow_infinity=True)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)
CHECKED = (
    *("format", "sparsity", "weights_alive", "sha256", "lineage", "lineage.num_classes"),
    *("lineage.architecture", "lineage.image_shape", "lineage.class_names", "lineage.mean"),
    *("lineage.std", "lineage.test_accuracy", "lineage.validation_accuracy", "lineage.data"),
)


@settings(
    max_examples=int(os.environ.get("PRAC_EXAMPLES", "100")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(field=st.sampled_from(CHECKED), value=VALUES, gone=st.booleans())
def test_any_change_of_a_field_is_refused_or_harmless(
    folder: Path, tmp_path: Path, field: str, value: Any, gone: bool
) -> None:
    target = tmp_path / "ticket"
    if not target.exists():
        shutil.copytree(folder, target)
    manifest = json.loads((folder / "ticket.json").read_text())
    changed = copy.deepcopy(manifest)
    inside = changed["lineage"] if field.startswith("lineage.") else changed
    name = field.removeprefix("lineage.")
    if gone:
        del inside[name]
    else:
        inside[name] = value
    (target / "ticket.json").write_text(json.dumps(changed))
    refused = _refusal(target)
    if refused is None:
        accuracy = Ticket.load(target).lineage.get("test_accuracy")
        assert accuracy is None or (math.isfinite(accuracy) and 0 <= accuracy <= 1)
        return
    assert "\n" not in refused
    # What is not finite is refused as JSON; what only a network can refuse, in its words.
    assert name in refused or "strict JSON" in refused or name in _OF_NETWORKS, refused


_OF_NETWORKS = ("sha256", "num_classes", "image_shape", "architecture")


def _refusal(folder: Path) -> str | None:
    """What is said to a ticket that is loaded, verified and built; None where nothing is."""
    try:
        ticket = Ticket.load(folder)
        ticket.verify()
        ticket.build()
    except PracError as error:
        return str(error)
    return None


@settings(max_examples=int(os.environ.get("PRAC_EXAMPLES", "100")), deadline=None)
@given(data=st.binary(max_size=200), place=st.floats(0, 1), cut=st.booleans())
def test_any_bytes_are_refused_by_their_checksum(
    tmp_path_factory: pytest.TempPathFactory, folder: Path, data: bytes, place: float, cut: bool
) -> None:
    target = tmp_path_factory.mktemp("ticket")
    shutil.copytree(folder, target, dirs_exist_ok=True)
    file = target / "weights.safetensors"
    whole = file.read_bytes()
    at = int(place * len(whole))
    made = whole[:at] + data + (b"" if cut else whole[at + len(data) :])
    file.write_bytes(made)
    if made == whole:
        Ticket.load(target)
        return
    with pytest.raises(TicketError, match="fails its checksum"):
        Ticket.load(target)
    # A stranger also writes the checksum.
    manifest = json.loads((target / "ticket.json").read_text())
    manifest["sha256"]["weights.safetensors"] = hashlib.sha256(made).hexdigest()
    (target / "ticket.json").write_text(json.dumps(manifest))
    refused = _refusal(target)
    assert refused is None or "\n" not in refused
    if refused is None:
        assert Ticket.load(target).weights.keys() == safetensors.torch.load(whole).keys()
    shutil.rmtree(target)
