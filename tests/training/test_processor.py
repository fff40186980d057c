"""The number format for this processor, without torch, is the one that torch would name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from prac.training import processor
from prac.training.precision import resolve_precision


def test_it_says_what_torch_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = "bf16" if torch.cpu._is_avx512_bf16_supported() else "fp32"
    assert processor.cpu_precision() == expected
    assert resolve_precision("auto", torch.device("cpu")) == expected
    # As on systems that have no such file.
    monkeypatch.setattr(processor, "_LINUX", tmp_path / "absent")
    assert processor.cpu_precision() == expected


@pytest.mark.parametrize(
    ("flags", "precision"), [("fpu avx512_bf16 amx", "bf16"), ("fpu avx512_bf16x", "fp32")]
)
def test_a_flag_counts_as_a_whole_word(
    flags: str, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(f"processor : 0\nflags : {flags}\n\nprocessor : 1\nflags : {flags}\n")
    monkeypatch.setattr(processor, "_LINUX", file)
    assert processor.cpu_precision() == precision
