"""A graph that somebody changed is refused where our code loads it, and has run nothing."""

from __future__ import annotations

import json
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from prac import Mask, Ticket
from prac.models.registry import build_model
from prac.tracking.models import write_model
from prac.tracking.predict_images import checked

GRAPH = "/models/model.json"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The graph of a small ticket."""
    folder, model = (
        tmp_path_factory.mktemp("ticket"),
        build_model("conv4", num_classes=3, image_shape=(8, 8, 1), seed=0),
    )
    lineage = {
        "architecture": "conv4",
        "num_classes": 3,
        "image_shape": [8, 8, 1],
        "class_names": ["a", "b", "c"],
        "mean": [0.5],
        "std": [0.25],
    }
    weights = model.state_dict()
    write_model(Ticket.of(Mask.dense(model), weights, lineage, dict(weights)), folder)
    return folder / "data" / "model.pt2"


def test_an_unchanged_one_gives_the_same(archive: Path) -> None:
    images = torch.arange(3 * 64, dtype=torch.uint8).reshape(3, 8, 8, 1)
    ours = torch.export.load(checked(str(archive))).module()
    theirs = torch.export.load(str(archive)).module()
    assert torch.equal(ours(images), theirs(images))


Change = Callable[[dict[str, Any], str], None]


def _each(value: Any, name: str, new: str) -> None:
    """Put a text in place of all that stand under a name."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, each in list(inner):
        if key == name and isinstance(each, str):
            value[key] = new
        elif isinstance(each, dict | list):
            _each(each, name, new)


CHANGES: dict[str, Change] = {
    "an expression": lambda graph, code: _each(graph, "expr_str", code),
    "a target": lambda graph, code: _each(graph, "target", "torch.os.system"),
    "a file": lambda graph, code: _each(graph, "target", "torch.ops.aten.from_file.default"),
    "a name": lambda graph, code: _each(graph, "name", f"x={code}"),
    "guards": lambda graph, code: graph.update(guards_code=[code]),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_code_in_a_graph_is_refused(archive: Path, tmp_path: Path, change: Change) -> None:
    canary, strange = tmp_path / "canary", tmp_path / "model.pt2"
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(strange, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name.endswith(GRAPH):
                graph = json.loads(data)
                change(graph, f"__import__('pathlib').Path({str(canary)!r}).touch()")
                data = json.dumps(graph).encode()
            new.writestr(name, data)
    with pytest.raises(ValueError, match=r"would run .*; it was changed"):
        checked(str(strange))
    assert not canary.exists()


def test_a_record_that_is_there_twice_is_refused(archive: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(archive) as there:
        (graph,) = (name for name in there.namelist() if name.endswith(GRAPH))
    for second in (graph, f"other{GRAPH}"):
        strange = tmp_path / "model.pt2"
        strange.write_bytes(archive.read_bytes())
        with warnings.catch_warnings(), zipfile.ZipFile(strange, "a") as changed:
            warnings.simplefilter("ignore")
            changed.writestr(second, b"{}")
        with pytest.raises(ValueError, match="is there twice"):
            checked(str(strange))


def test_where_nothing_is_checked_an_expression_runs(archive: Path, tmp_path: Path) -> None:
    """What `mlflow.pytorch.load_model` calls: the canary does sing."""
    canary, strange = tmp_path / "canary", tmp_path / "model.pt2"
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(strange, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name.endswith(GRAPH):
                graph = json.loads(data)
                code = f"__import__('pathlib').Path({str(canary)!r}).touch()"
                _each(graph, "expr_str", code)
                data = json.dumps(graph).encode()
            new.writestr(name, data)
    with pytest.raises(Exception):  # noqa: B017, PT011
        torch.export.load(str(strange))
    assert canary.exists()
