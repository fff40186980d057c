"""One process, a cluster, one core, two workers: the same graph leaves the same bits.

`test_full.py` compares a process and a cluster by two methods, and
`distributed/test_same_everywhere.py` the executors by one method of each sort.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from support.left import assert_same, graph_of, left_in_folder, left_in_mlflow, without_places

from prac.config.methods import METHODS

SMALL = (
    *("--rounds", "2", "--epochs", "3", "--judge", "last"),
    *("--set", "select.proxy_epochs=1", "--set", "select.window=3"),
    *("--set", "prune.iterations=4"),
)
ALL = tuple(name for name in METHODS if name != "prac")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]


def _run(launched: Any, home: Path, *words: str, before: tuple[str, ...] = ()) -> dict[str, Any]:
    with launched(home, *words, before=before) as run:
        assert run.wait(2400) == 0, run.said()
        return without_places(run.summary)


def _compared(launched: Any, folder: Path, words: tuple[str, ...], *ray: str) -> None:
    one = _run(launched, folder / "local", *words, "--executor", "local")
    other = _run(launched, folder / "ray", *words, *ray)
    assert one == other
    alone = left_in_folder(folder / "local", *words)
    _, graph = graph_of(*words)
    assert alone.keys() == {stage.name for stage in graph.stages.values()} - {"report"}
    assert_same(alone, left_in_mlflow(folder / "ray", *words))
    kinds = {name.partition(":")[0] for name, left in alone.items() if left.files}
    assert {"dense", "round", "select", "subset", "judge", "ticket"} <= kinds


@pytest.mark.parametrize("transfer", [False, True])
def test_a_process_and_a_cluster_by_every_method(
    launched: Any, tmp_path: Path, transfer: bool
) -> None:
    networks = ("--architectures", "conv4")
    if transfer:
        networks = (*networks, "resnet8", "--transfer-from", "conv4")
    _compared(launched, tmp_path, (*networks, "--compare", *ALL, *SMALL), "--workers", "2")


@pytest.mark.skipif(
    shutil.which("taskset") is None or len(os.sched_getaffinity(0)) < 2,
    reason="needs taskset and two cores",
)
def test_cores_and_workers(launched: Any, tmp_path: Path) -> None:
    words = ("--architectures", "conv4", "--compare", "random-subset", *SMALL)
    one, other, *_ = sorted(os.sched_getaffinity(0))
    found = []
    for cores in (f"{one}", f"{one},{other}"):
        for workers in ("1", "2"):
            home = tmp_path / f"cores-{cores}-workers-{workers}"
            before = ("taskset", "-c", cores)
            said = _run(launched, home, *words, "--workers", workers, before=before)
            found.append((said, left_in_mlflow(home, *words)))
    (first, left), *others = found
    assert {name.partition(":")[0] for name in left} >= {"dense", "select", "judge", "ticket"}
    for said, theirs in others:
        assert said == first
        assert_same(theirs, left)
