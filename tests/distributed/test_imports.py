"""What processes of a pipeline import before they work: each heavy library costs seconds."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"torch", "torchvision", "mlflow", "matplotlib", "sklearn", "pandas", "ray.train"}


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        ("prac.app.pipeline", set()),
        ("prac.distributed.executor", set()),  # the driver of a run
        ("prac.distributed.at_work", set()),
        ("prac.analysis.summary", set()),  # a replay, with the next
        ("prac.report.terminal", set()),
        ("prac.distributed.progress", set()),  # the news desk, a process of its own
        ("prac.lottery.run", set()),  # what a process is handed
        ("prac.lottery.steps.training", {"torch"}),  # a round or a judgement
        ("prac.distributed.dense", {"torch", "ray.train", "pandas"}),  # a Ray Train worker
    ],
)
def test_nothing_heavy_but_what_it_needs(module: str, allowed: set[str]) -> None:
    program = f"import sys, {module}; print(*(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True
    )
    assert set(done.stdout.split()) <= allowed
