"""Exported networks: run as a stranger would, and give the ticket's own answers."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor

from prac import Mask, global_magnitude
from prac.errors import ConfigError, TicketError
from prac.models.registry import build_model
from prac.pruning.prunable import prunable_weights
from prac.ticket.export import ExportFormat, ImageClassifier, export_ticket, image_classifier
from prac.ticket.format import Ticket
from prac.ticket.shrink import resized

SHAPE = (8, 8, 1)


@pytest.fixture(scope="module")
def ticket() -> Ticket:
    model = build_model("resnet8", num_classes=3, image_shape=SHAPE, seed=0)
    mask = global_magnitude(prunable_weights(model), Mask.dense(model), 0.5)
    lineage = {
        "architecture": "resnet8",
        "num_classes": 3,
        "image_shape": list(SHAPE),
        "class_names": ["a", "b", "c"],
        "mean": [0.4],
        "std": [0.3],
    }
    rewind = Ticket.of(mask, model.state_dict(), lineage)
    other = build_model("resnet8", num_classes=3, image_shape=SHAPE, seed=1)
    trained = Ticket.of(mask, other.state_dict(), lineage).weights
    return dataclasses.replace(rewind, trained=trained)


def _images(count: int) -> Tensor:
    draw = torch.Generator().manual_seed(3)
    return torch.randint(0, 256, (count, *SHAPE), generator=draw, dtype=torch.uint8)


def test_the_classifier_normalises_as_the_data_set_does(ticket: Ticket) -> None:
    images = _images(4)
    pixels = (images.permute(0, 3, 1, 2).double() / 255 - 0.4) / 0.3
    with torch.inference_mode():
        expected = ticket.build(trained=True).eval()(pixels.float())
        got = image_classifier(ticket)(images)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("count", [1, 2, 9])
def test_a_pt2_file_takes_any_number_of_stored_images(
    ticket: Ticket, tmp_path: Path, count: int
) -> None:
    made = export_ticket(ticket, tmp_path / "network.pt2", "pt2")
    run = torch.export.load(made.file).module()
    with torch.inference_mode():
        expected = image_classifier(ticket)(_images(count))
    torch.testing.assert_close(run(_images(count)), expected, rtol=1e-4, atol=1e-4)
    assert made.part == "trained"


def test_an_onnx_file_gives_the_same_logits(ticket: Ticket, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    made = export_ticket(ticket, tmp_path / "network.onnx", "onnx")
    assert [f.name for f in tmp_path.iterdir()] == ["network.onnx"]
    session = runtime.InferenceSession(made.file)
    (logits,) = session.run(None, {"images": _images(7).numpy()})
    with torch.inference_mode():
        expected = image_classifier(ticket)(_images(7))
    torch.testing.assert_close(torch.from_numpy(logits), expected, rtol=1e-3, atol=1e-3)


@pytest.fixture(scope="module")
def dying() -> Ticket:
    """A judged ResNet-20s of which three filters in four inside the blocks are dead."""
    model = build_model("resnet20s", num_classes=3, image_shape=SHAPE, seed=0)
    mask = Mask.dense(model)
    alive = {name: tensor.clone() for name, tensor in mask.items()}
    for name, tensor in alive.items():
        if name.endswith("conv1.weight"):
            tensor[: 3 * len(tensor) // 4] = False
    lineage = {
        "architecture": "resnet20s",
        "num_classes": 3,
        "image_shape": list(SHAPE),
        "mean": [0.4],
        "std": [0.3],
    }
    rewind = Ticket.of(Mask(alive), model.state_dict(), lineage)
    return dataclasses.replace(rewind, trained=rewind.weights)


@pytest.mark.parametrize("format", ["safetensors", "onnx", "pt2"])
def test_a_shrunk_file_is_smaller_and_gives_the_same_logits(
    dying: Ticket, tmp_path: Path, format: ExportFormat
) -> None:
    if format == "onnx":
        pytest.importorskip("onnxruntime")
        pytest.importorskip("onnxscript")
    whole = export_ticket(dying, tmp_path / "whole", format)
    made = export_ticket(dying, tmp_path / "shrunk", format, shrink=True)
    # Nine blocks, three each of 16, 32 and 64 channels, lose 12, 24 and 48.
    assert made.channels_removed == 3 * (12 + 24 + 48)
    assert whole.channels_removed is None
    assert made.parameters < 0.3 * whole.parameters
    assert made.size < 0.6 * whole.size
    images = _images(5)
    with torch.inference_mode():
        expected = image_classifier(dying)(images)
        if format == "onnx":
            session = pytest.importorskip("onnxruntime").InferenceSession(made.file)
            got = torch.from_numpy(session.run(None, {"images": images.numpy()})[0])
        elif format == "pt2":
            got = torch.export.load(made.file).module()(images)
        else:
            fresh = build_model("resnet20s", num_classes=3, image_shape=SHAPE, seed=4)
            network = resized(fresh, safetensors.torch.load_file(made.file)).eval()
            got = ImageClassifier(network, [0.4], [0.3])(images)
    torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("architecture", ["vgg8s", "resnet18"])
def test_other_families_run_as_onnx(architecture: str, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    shape = (8, 8, 3)
    model = build_model(architecture, num_classes=4, image_shape=shape, seed=0)
    mask = global_magnitude(prunable_weights(model), Mask.dense(model), 0.9)
    lineage = {
        "architecture": architecture,
        "num_classes": 4,
        "image_shape": list(shape),
        "mean": [0.4, 0.5, 0.6],
        "std": [0.3, 0.2, 0.1],
    }
    ticket = Ticket.of(mask, model.state_dict(), lineage)
    made = export_ticket(ticket, tmp_path / "network.onnx", "onnx")
    images = torch.randint(0, 256, (3, *shape), dtype=torch.uint8)
    (logits,) = runtime.InferenceSession(made.file).run(None, {"images": images.numpy()})
    with torch.inference_mode():
        expected = ticket.build().eval()(
            (images.permute(0, 3, 1, 2) / 255 - torch.tensor(lineage["mean"]).view(3, 1, 1))
            / torch.tensor(lineage["std"]).view(3, 1, 1)
        )
    scale = float(expected.abs().max())
    torch.testing.assert_close(torch.from_numpy(logits), expected, rtol=1e-3, atol=1e-3 * scale)


def test_weights_to_train_from_are_not_shrunk(dying: Ticket, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="only trained weights are shrunk"):
        export_ticket(dying, tmp_path / "x", "safetensors", part="rewind", shrink=True)
    assert not list(tmp_path.iterdir())


def test_a_shrunk_file_is_held_against_the_whole_network(
    dying: Ticket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shrink that removed what mattered would be found out."""
    export = sys.modules["prac.ticket.export"]
    honest = export.shrink_network

    def careless(network: torch.nn.Module) -> object:
        made = honest(network)
        with torch.no_grad():
            made.network.classifier.bias += 1
        return made

    monkeypatch.setattr(export, "shrink_network", careless)
    with pytest.raises(TicketError, match="differ by"):
        export_ticket(dying, tmp_path / "x", "safetensors", shrink=True)


def test_onnx_without_its_packages_names_the_extra(
    ticket: Ticket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prac.ticket.export.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'prac\[export\]'"):
        export_ticket(ticket, tmp_path / "network.onnx", "onnx")
    assert not list(tmp_path.iterdir())


def test_safetensors_are_the_weights_of_the_part_asked_for(ticket: Ticket, tmp_path: Path) -> None:
    made = export_ticket(ticket, tmp_path / "w.safetensors", "safetensors", part="rewind")
    weights = safetensors.torch.load_file(made.file)
    assert weights.keys() == ticket.weights.keys()
    assert all(torch.equal(weights[name], ticket.weights[name]) for name in weights)
    assert made.largest_difference == 0


def test_a_file_that_answers_otherwise_is_not_kept(
    ticket: Ticket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(file: Path, read: Ticket) -> object:
        return lambda images: torch.zeros(len(images), 3)

    monkeypatch.setitem(sys.modules["prac.ticket.export"]._RUNNERS, "safetensors", other)
    with pytest.raises(TicketError, match="differ by"):
        export_ticket(ticket, tmp_path / "w.safetensors", "safetensors")
    assert not list(tmp_path.iterdir())


def test_a_format_that_is_not_known_is_refused(ticket: Ticket, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="known: safetensors, onnx, pt2"):
        export_ticket(ticket, tmp_path / "x", "tflite")  # type: ignore[arg-type]


def test_a_ticket_that_was_not_judged_has_no_trained_network(ticket: Ticket) -> None:
    bare = dataclasses.replace(ticket, trained=None)
    with pytest.raises(TicketError, match="not judged"):
        image_classifier(bare, "trained")


def test_trained_weights_are_saved_verified_and_checksummed(ticket: Ticket, tmp_path: Path) -> None:
    ticket.save(tmp_path)
    again = Ticket.load(tmp_path)
    again.verify()
    assert again.trained is not None
    assert ticket.trained is not None
    assert all(torch.equal(again.trained[n], ticket.trained[n]) for n in ticket.trained)
    name = next(iter(ticket.mask))
    spoiled = {**ticket.trained, name: torch.ones_like(ticket.trained[name])}
    with pytest.raises(TicketError, match="pruned trained weights"):
        dataclasses.replace(ticket, trained=spoiled).verify()
    file = tmp_path / "trained.safetensors"
    file.write_bytes(file.read_bytes()[:-4] + b"\0\0\0\1")
    with pytest.raises(TicketError, match="checksum"):
        Ticket.load(tmp_path)


@pytest.mark.parametrize("format", ["onnx", "pt2"])
def test_nothing_is_printed_beside_the_answer(
    ticket: Ticket, tmp_path: Path, format: ExportFormat, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxscript")
    export_ticket(ticket, tmp_path / f"network-of-{format}", format)
    branches = build_model("support.networks:Branching", num_classes=3, image_shape=SHAPE, seed=0)
    lineage = {**ticket.lineage, "architecture": "support.networks:Branching"}
    weights = {name: tensor.clone() for name, tensor in branches.state_dict().items()}
    with pytest.raises(TicketError, match="can't be exported"):
        export_ticket(Ticket.of(Mask.dense(branches), weights, lineage), tmp_path / "x", format)
    assert capfd.readouterr() == ("", "")
