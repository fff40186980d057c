"""The number format for this processor, without torch, is the one that torch would name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from prac.training import processor
from prac.training.precision import resolve_precision


@pytest.mark.skipif(not hasattr(torch.cpu, "get_capabilities"), reason="torch 2.10 has no answer")
def test_it_says_what_torch_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = "bf16" if torch.cpu.get_capabilities().get("avx512_bf16") else "fp32"
    assert processor.cpu_precision() == expected
    assert resolve_precision("auto", torch.device("cpu")) == expected
    # As on systems that have no such file.
    monkeypatch.setattr(processor, "_LINUX", tmp_path / "absent")
    assert processor.cpu_precision() == expected


def test_without_any_answer_it_is_the_plain_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    monkeypatch.setattr(processor, "_LINUX", tmp_path / "absent")
    assert processor.cpu_precision() == "fp32"


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
