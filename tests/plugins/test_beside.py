"""A module beside the folder that a command is typed in is found, in its workers too."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from prac.plugins.beside import find_beside

REPOSITORY = Path(__file__).resolve().parents[2]
NETWORK = """
from torch import nn

def {name}(in_channels, num_classes):
    layers = [nn.Conv2d(in_channels, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(4, num_classes))
"""


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "nets_beside.py").write_text(NETWORK.format(name="small"))
    (tmp_path / "pack_beside").mkdir()
    (tmp_path / "pack_beside" / "nets.py").write_text(NETWORK.format(name="small"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        ["--architectures", "conv4", "nets_beside:small"],
        ["--set", "select.score=pack_beside.nets:small"],
        ["--vary", "select.score=el2n,nets_beside:small"],
    ],
)
def test_what_is_typed_is_looked_for(words: list[str], beside: Path) -> None:
    find_beside(words)
    assert sys.path[-1] == str(beside)
    assert os.environ["PYTHONPATH"].split(os.pathsep) == [str(REPOSITORY), str(beside)]
    find_beside(words)
    assert sys.path.count(str(beside)) == 1


@pytest.mark.parametrize(
    "words",
    [
        ["conv4", "parquet:nets_beside", "models:/nets_beside/1", "absent_beside:small"],
        ["json:tool"],
    ],
)
def test_nothing_else_is(words: list[str], beside: Path) -> None:
    (beside / "json.py").write_text("raise SystemExit('a stranger')")
    before = list(sys.path)
    find_beside(words)
    assert sys.path == before


def test_a_network_beside_the_working_folder_is_searched(beside: Path) -> None:
    """On Ray: `tracking/test_secrets.py`, whose search is of such a network."""
    words = ["--architectures", "nets_beside:small", "--epochs", "1", "--rounds", "1", "--compare"]
    ended = subprocess.run(
        [sys.executable, str(REPOSITORY / "pipelines" / "full.py"), *words, "--executor=local"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert ended.returncode == 0, ended.stderr
