"""A node that is lost, with all its processes, in dense training and in a round."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


def _working(raylets: list[int], titles: tuple[str, ...]) -> int | None:
    """Which node, not the head, has a process of this title."""
    for index, raylet in enumerate(raylets):
        if index == 0:
            continue
        for process in psutil.Process(raylet).children(recursive=True):
            try:
                title = " ".join(process.cmdline())
            except psutil.Error:
                continue
            if title.startswith(titles):
                return index
    return None


@pytest.mark.parametrize("when", ["dense", "dense, with nobody to replace it", "round"])
def test_node_killed(
    when: str,
    tmp_path: Path,
    services: Any,
    tracker: Any,
    words: list[str],
    reference: Any,
    found: Any,
) -> None:
    storage = tmp_path / "storage"
    where = ["--storage", str(storage), "--storage-is-shared"]
    at_work: Callable[[], Any]
    spare = [1]
    if when.endswith("replace it"):
        # The one that is left takes the shares of both.
        spare, where = [], [*where, "--min-workers", "1"]
    # The head only holds the driver: what trains is on nodes that can be lost.
    env = {"MLFLOW_TRACKING_URI": tracker.uri}
    with services.nodes(tmp_path / "ray", env, 0, 1, 1, *spare) as nodes:
        run = services.pipeline(tmp_path / "run", nodes.env, *words, *where)
        try:
            if when.startswith("dense"):
                titles = ("ray::RayTrainWorker", "ray::_RayTrainWorker")
                # Its events show that it is past the start, and not at the end.
                at_work = lambda: len(list(storage.glob("*/events/*-epoch-0001-*.parquet"))) == 2  # noqa: E731
            else:
                titles = ("ray::round:", "ray::run_stage")
                at_work = lambda: _round_has_begun(storage)  # noqa: E731
            run.until(at_work)
            node = run.until(lambda: _working(nodes.raylets, titles))
            killed = time.monotonic()
            nodes.tell(f"kill {node}")
            assert run.wait() == 0, run.said
        finally:
            run.end()
    print(f"\nnode lost in {when}: ended {time.monotonic() - killed:.0f} s later")
    if not spare:
        alone = list(storage.glob("*/events/*-epoch-0007-rank-0-of-1-*.parquet"))
        assert len(alone) == 1, sorted(storage.glob("*/events/*"))
    after = found.of(tracker.uri)
    after.assert_same(reference)


def _round_has_begun(storage: Path) -> bool:
    """Round 1 finished an epoch: its events are beside dense training's."""
    return any(storage.glob("*/events/round-01-epoch-*.parquet"))
