"""fp32 is fp32: torch's own switches, as a training finds and leaves them."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings

import pytest
import torch

from prac.config.sections import TrainConfig
from prac.errors import ConfigError
from prac.training.made_by import computed_by
from prac.training.precision import autocast, float32, resolve_precision, use_deterministic

CUDA, CPU = torch.device("cuda"), torch.device("cpu")


def _switches() -> list[str]:
    backends = torch.backends
    return [
        backends.cuda.matmul.fp32_precision,
        backends.cudnn.conv.fp32_precision,
        backends.cudnn.rnn.fp32_precision,
    ]


@pytest.mark.parametrize(
    ("precision", "products"), [("fp32", "ieee"), ("bf16", "ieee"), ("tf32", "tf32")]
)
def test_products_are_computed_as_the_precision_says(precision, products) -> None:
    before = _switches()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with float32(CUDA, precision):
            assert _switches() == [products] * 3
            # The forward pass within, and the backward pass behind it.
            with autocast(CUDA, "fp32" if precision == "bf16" else precision):
                assert _switches() == [products] * 3
            assert _switches() == [products] * 3
    assert _switches() == before


def test_what_was_set_before_is_put_back_after_an_error() -> None:
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    before = _switches()
    try:
        with pytest.raises(ZeroDivisionError), float32(CUDA, "fp32"):
            raise ZeroDivisionError
        assert _switches() == before
        assert before[0] == "tf32"
    finally:
        torch.backends.cuda.matmul.fp32_precision = "none"


def test_the_older_switches_say_the_same_afterwards() -> None:
    code = (
        "import warnings; warnings.simplefilter('error')\n"
        "import torch; from prac.training.precision import float32\n"
        "old = lambda: (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32)\n"
        "before = old()\n"
        "with float32(torch.device('cuda'), 'fp32'): pass\n"
        "assert old() == before, (before, old())\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_tf32_is_of_cuda() -> None:
    assert TrainConfig(precision="tf32").precision == "tf32"
    assert resolve_precision("tf32", CUDA) == "tf32"
    with pytest.raises(ConfigError, match="tf32 is of NVIDIA's GPUs; allowed on a CPU: auto"):
        resolve_precision("tf32", CPU)


def test_deterministic_algorithms_are_used_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    assert "algorithms" not in computed_by(CPU)
    try:
        use_deterministic(True)
        assert torch.are_deterministic_algorithms_enabled()
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
        assert computed_by(CPU)["algorithms"] == "deterministic"
    finally:
        use_deterministic(False)
    assert not torch.are_deterministic_algorithms_enabled()
    os.environ.pop("CUBLAS_WORKSPACE_CONFIG")
