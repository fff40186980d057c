"""What a command's words ask for, and that a search in Python asks for the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from prac.app.options import Options
from prac.app.planned import plan_pipeline
from prac.cli.options import parse_value
from prac.config.recipes import digits
from prac.data.sources import open_source
from prac.lottery.search import local_request

MODULE = """
import dataclasses
import numpy as np
from prac.config.sections import DataConfig
from prac.data.sources import open_source

def held():
    # Of the training rows half are for validation, whatever the configuration says.
    made = open_source(DataConfig(source="digits")).load()
    ids = np.arange(len(made.train_labels), dtype=np.int32)
    return dataclasses.replace(made, training_ids=ids[::2], validation_ids=ids[1::2])
"""


def test_a_data_set_s_own_validation_rows_are_no_training_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "halves.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    recipe = digits().replace(architectures=("conv4",), compare=())
    recipe = recipe.set(data={"source": "halves:held"})
    planned = plan_pipeline(recipe, Options(executor="local"))
    source = open_source(recipe.data)
    asked = local_request(recipe, source, "cpu", judge="last")
    rows = len(source.load().training_ids)
    assert planned.request.num_training == asked.num_training == rows
    assert planned.request.data == asked.data


def test_lists_of_a_setting_are_of_its_own_type() -> None:
    assert parse_value("train.milestones", "3, 5", tuple[int, ...]) == (3, 5)
    told = parse_value("model.weights", "a=b.safetensors,c.safetensors", tuple[str, ...])
    assert told == ("a=b.safetensors", "c.safetensors")
