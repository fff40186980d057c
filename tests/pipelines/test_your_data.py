"""The README's "your data, your network", as a new user follows it: a run, its ticket, its use."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torchvision
from PIL import Image

from prac.cli import main, pipeline

NETWORKS = """
from torch import nn
from torchvision.models import VisionTransformer

def mlp(in_channels, num_classes):
    inputs = in_channels * 32 * 32
    hidden = [nn.Flatten(), nn.Linear(inputs, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU()]
    return nn.Sequential(*hidden, nn.Linear(32, num_classes))

def vit(num_classes):
    return VisionTransformer(
        image_size=48, patch_size=16, num_layers=2, num_heads=2, hidden_dim=32, mlp_dim=64,
        num_classes=num_classes,
    )
"""
SMALL = "--executor local --gpus 0 --epochs 1 --rounds 1 --compare --set train.batch_size=8"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Photographs of mixed sizes, grey images of 16 bits, networks, weights of 1,000 classes."""
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    for i in range(36):
        split, name = "test" if i % 6 == 0 else "train", ("owl", "tit", "jay")[i % 3]
        height, width = draw.integers(50, 90, 2)
        for kind, pixels in (
            ("photos", draw.integers(0, 256, (height, width, 3), dtype=np.uint8)),
            ("grey", draw.integers(0, 4096, (32, 32), dtype=np.uint16)),
        ):
            file = tmp_path / kind / split / name / f"{i}.{'jpg' if kind == 'photos' else 'png'}"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(file)
    (tmp_path / "birdnets.py").write_text(NETWORKS)
    return tmp_path


@pytest.mark.parametrize(
    ("options", "use"),
    [
        pytest.param(
            "--data folder:photos --set data.image_size=64 --architectures torchvision:resnet18 "
            "--set model.weights=pretrained.safetensors --set search.rewind=init",
            "",
            marks=pytest.mark.slow,
        ),
        (
            "--data folder:photos --set data.image_size=48 --architectures birdnets:vit "
            "--set prune.layers=conv+linear --set train.optimizer=adamw",
            "--trust-code",
        ),
        (
            "--data folder:grey --architectures birdnets:mlp --set prune.layers=conv+linear",
            "--trust-code",
        ),
        ("--data folder:grey --architectures resnet8", ""),
    ],
)
def test_a_run_and_what_its_ticket_is_for(
    home: Path, options: str, use: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if "pretrained" in options:
        weights = torchvision.models.resnet18().state_dict()
        safetensors.torch.save_file(weights, home / "pretrained.safetensors")
    assert pipeline("prac run", [*options.split(), *SMALL.split(), "--plan"]) == 0
    assert pipeline("prac run", [*options.split(), *SMALL.split()]) == 0
    capsys.readouterr()
    assert main(["tickets", "list", "--json"]) == 0
    (ticket,) = json.loads(capsys.readouterr().out)["tickets"]
    assert ticket["sparsity"] == pytest.approx(0.2, abs=1e-3)
    which = [ticket["where"], *[word for word in use.split() if word == "--trust-code"]]
    for command in ("show", "verify"):
        assert main(["tickets", command, *which]) == 0
    data = options.split()[:2]
    words = [ticket["where"], *data, *use.split(), "--epochs", "1", "--out", "trained"]
    assert main(["tickets", "train", *words]) == 0
    for form in ("safetensors", "onnx", "pt2"):
        words = [*which, "--format", form, "--out", f"network.{form}"]
        assert main(["tickets", "export", *words]) == 0
    assert capsys.readouterr().err == ""
