"""The examples of CONTRIBUTING work: saved as one module, a real search runs with all its parts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.markdown import blocks

from prac.config.sections import DataConfig
from prac.data.dataset import ImageDataset, Source
from prac.data.sources import open_source

PAGE = Path(__file__).parents[1] / ".github" / "CONTRIBUTING.md"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the examples are a module."""
    folder = tmp_path_factory.mktemp("mine")
    examples = blocks(PAGE, "python")
    assert all(example.why_not is None for example in examples)
    (folder / "mine.py").write_text("\n".join(example.text for example in examples))
    return folder


def test_a_search_runs_with_every_part(folder: Path) -> None:
    words = [
        *("run", "--executor", "local", "--recipe", "digits", "--rounds", "2", "--epochs", "2"),
        *("--data", "mine:pictures", "--architectures", "mine:small", "--judge", "none"),
        *("--compare", "mine:unsure", "mine:layerwise", "mine:patient"),
        *("--set", "select.score=mine:unsure", "--set", "select.sampler=mine:evenly"),
        *("--set", "select.fraction=0.5", "--set", "prune.criterion=mine:layerwise"),
    ]
    where = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "prac", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": where},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    methods = [search["method"] for search in summary["searches"]]
    assert sorted(methods) == ["mine:layerwise", "mine:patient", "mine:unsure", "prac"]


def test_the_data_source_is_one(
    folder: Path, digits_data: ImageDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(folder))
    source: Source = open_source(DataConfig(source="mine:MirroredDigits"))
    mirrored = source.load()
    assert mirrored.name == source.name != digits_data.name
    assert mirrored.fingerprint == source.fingerprint() != digits_data.fingerprint
    np.testing.assert_array_equal(mirrored.train_images[:, :, ::-1], digits_data.train_images)
    np.testing.assert_array_equal(mirrored.test_images[:, :, ::-1], digits_data.test_images)
