"""Networks that others wrote, each with a habit of public code: the whole way, or refused first."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from support.pictures import pictures
from support.shared import SHARED

from prac.cli import main, pipeline

NETWORKS = SHARED / "cases" / "networks.py"
TRAINED = ("Flattens", "Tied", "Aux", "Frozen", "Unused", "Dropout", "Branches", "Mlp")
REFUSED = ("standardised", "spectral", "pruned_before")
SMALL = (
    *("--rounds", "1", "--epochs", "1", "--compare", "--set", "data.image_size=32"),
    *("--set", "train.batch_size=16", "--set", "search.rewind=init", "--set", "select.easy=0.5"),
    *("--set", "prune.layers=conv+linear", "--set", "train.shares=2"),
)

pytestmark = [
    pytest.mark.skipif(not NETWORKS.is_file(), reason="shared/cases is not here"),
    pytest.mark.timeout(3000),
]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the networks and pictures."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(NETWORKS, tmp_path / "habits.py")
    pictures(tmp_path / "pictures", ["ant", "bee", "cat"], 16)
    return tmp_path


@pytest.mark.parametrize("network", REFUSED)
def test_what_computes_its_weights_is_refused_from_the_plan_on(
    home: Path, network: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data", "folder:pictures", "--architectures", f"habits:{network}", *SMALL, "--plan"]
    assert pipeline("prac run", words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"habits:{network} can't be searched" in line
    assert "computes" in line


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_others_go_the_whole_way(
    launched: Any, home: Path, workers: str, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"habits:{network}" for network in (*TRAINED, "norm_without_affine")]
    words = ("--data", "folder:pictures", "--architectures", *names, *SMALL, "--workers", workers)
    with launched(home, *words) as run:
        assert run.wait(2400) == 0, run.said()
        assert "habits:Branches: its tickets are kept without a graph" in run.stdout
    assert main(["tickets", "list", "--json"]) == 0
    tickets = json.loads(capsys.readouterr().out)["tickets"]
    assert {ticket["architecture"] for ticket in tickets} == set(names)
    for ticket in tickets:
        network = ticket["architecture"].partition(":")[2]
        which = (ticket["where"], "--trust-code")
        assert main(["tickets", "verify", *which]) == 0
        out = home / "trained" / network
        trained = ("--data", "folder:pictures", "--epochs", "1", "--out", str(out))
        assert main(["tickets", "train", *which, *trained, "--set", "data.image_size=32"]) == 0
        for form in ("safetensors", "onnx", "pt2"):
            capsys.readouterr()
            file = home / f"{network}.{form}"
            status = main(["tickets", "export", *which, "--format", form, "--out", str(file)])
            untraced = network == "Branches" and form != "safetensors"
            assert (status == 0) == file.is_file() == (not untraced), (network, form)
            assert len(capsys.readouterr().err.splitlines()) == untraced, (network, form)
