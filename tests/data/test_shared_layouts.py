"""Layouts that others wrote down: `prac data show --json` of each says what they say of it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.shared import SHARED

from prac.cli import main

LAYOUTS = SHARED / "cases" / "layouts.py"


@pytest.mark.skipif(not LAYOUTS.is_file(), reason="shared/cases is not here")
def test_each_layout_is_read_as_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    made = subprocess.run(
        [sys.executable, LAYOUTS, "made"], capture_output=True, text=True, check=True
    )
    lines = [line.split("\t") for line in made.stdout.splitlines()]
    assert len(lines) >= 18
    for source, expected in lines:
        status = main(["data", "show", source, "--json"])
        told = capsys.readouterr()
        if expected.startswith("refused"):
            assert (status, told.err.count("\n")) == (2, 1), source
            continue
        assert status == 0, (source, told.err)
        facts = json.loads(told.out)
        found = facts["training_rows"], facts["test_rows"], len(facts["classes"])
        assert found == tuple(map(int, re.findall(r"\d+", expected)[:3])), source
        # Without a test split of their own, a fifth is held out.
        held_out = 4 * facts["test_rows"] == facts["training_rows"]
        assert (facts["test_from"] == "made") == held_out, source
        if "validation" in expected:
            assert facts["test_from"] == "validation"
            assert any("no labels" in warning for warning in facts["warnings"])
        if "mean near 0.5" in expected:
            assert all(abs(mean - 0.5) < 0.01 for mean in facts["mean"]), source
