"""Events whose disk is full, that are doubled or deleted, and two pipelines that write the same."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from prac.tracking.connection import PIPELINES, STAGES, finished_run
from prac.tracking.store import MlflowStore

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 MiB: a checkpoint and its successor need about 10."""
    where = tmp_path / "disk"
    where.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(where)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small file system needs root and the right to mount")
    try:
        yield where
    finally:
        subprocess.run(["umount", "--lazy", str(where)], check=True)


def _ballast(disk: Path, leave: int) -> Path:
    """A file that leaves so many bytes."""
    file = disk / "ballast"
    usage = shutil.disk_usage(disk)
    # The run writes meanwhile: what is free now may be too much in a moment, and is filled then.
    with contextlib.suppress(OSError):
        file.write_bytes(bytes(max(0, usage.free - leave)))
    return file


def test_disk_full_while_events_are_written(
    tmp_path: Path,
    small_disk: Path,
    services: Any,
    tracker: Any,
    words: list[str],
    reference: Any,
    found: Any,
) -> None:
    env = services.environment(tmp_path, MLFLOW_TRACKING_URI=tracker.uri)
    where = ["--storage", str(small_disk / "prac")]
    run = services.pipeline(tmp_path / "run", env, *words, *where)
    try:
        # Dense training is done: the disk runs full in round 1.
        run.until(lambda: "select:conv4:prac:1" in found.of(tracker.uri).made)
        ballast = _ballast(small_disk, 0)
        assert run.wait() == 1, run.said
    finally:
        run.end()
    (error,) = services.errors(run)
    assert re.match(r"error: stage round:conv4:prac:1: .* can't be written .*No space", error)
    before = found.of(tracker.uri).made
    assert "dense:conv4:prac" in before

    ballast.unlink()
    started = time.monotonic()
    again = services.pipeline(tmp_path / "run", env, *words, *where, name="again")
    try:
        assert again.wait() == 0, again.said
    finally:
        again.end()
    print(f"\ndisk full in a round: done {time.monotonic() - started:.0f} s after the next start")
    after = found.of(tracker.uri)
    assert before.items() <= after.made.items()
    after.assert_same(reference)


def test_disk_full_in_dense_training(
    tmp_path: Path,
    small_disk: Path,
    services: Any,
    tracker: Any,
    words: list[str],
    reference: Any,
    found: Any,
) -> None:
    env = services.environment(tmp_path, MLFLOW_TRACKING_URI=tracker.uri)
    where = ["--storage", str(small_disk / "prac")]
    run = services.pipeline(tmp_path / "run", env, *words, *where)
    try:
        run.until(lambda: list(small_disk.glob("prac/*/events/*-epoch-0001-*.parquet")))
        ballast = _ballast(small_disk, 0)
        assert run.wait() == 1, run.said
    finally:
        run.end()
    (error,) = services.errors(run)
    assert re.match(r"error: stage dense:conv4:prac: .* can't be written .*No space", error)
    assert list(small_disk.rglob("*.tmp")) == []

    ballast.unlink()
    again = services.pipeline(tmp_path / "run", env, *words, *where, name="again")
    try:
        assert again.wait() == 0, again.said
    finally:
        again.end()
    # It went on from the epochs that were there: the first attempt's events count.
    kept = sorted(p.name for p in small_disk.glob("prac/*/events/*-epoch-0000-*.parquet"))
    assert all("attempt-0" in name for name in kept), kept
    found.of(tracker.uri).assert_same(reference)


def test_two_at_once(
    tmp_path: Path, services: Any, tracker: Any, words: list[str], reference: Any, found: Any
) -> None:
    env = services.environment(tmp_path, MLFLOW_TRACKING_URI=tracker.uri)
    where = ["--storage", str(tmp_path / "storage")]
    started = time.monotonic()
    runs = [services.pipeline(tmp_path / name, env, *words, *where) for name in ("one", "two")]
    try:
        for run in runs:
            assert run.wait() == 0, run.said
    finally:
        for run in runs:
            run.end()
    print(f"\ntwo at once: both ended after {time.monotonic() - started:.0f} s")
    after = found.of(tracker.uri, once=False)
    after.assert_same(reference)
    assert not list((tmp_path / "storage").rglob("*.tmp"))


@pytest.mark.parametrize("how", ["deleted", "doubled"])
def test_event_file(
    how: str,
    tmp_path: Path,
    services: Any,
    reference_home: Path,
    words: list[str],
    reference: Any,
    found: Any,
) -> None:
    home = tmp_path / "home"
    shutil.copytree(reference_home, home)
    store = MlflowStore(f"sqlite:///{home}/mlflow.db")
    before = found.of(store.tracking_uri).made
    events = sorted(home.glob("prac-runs/*/events/round-00-epoch-0003-rank-1-*.parquet"))
    (file,) = events
    if how == "deleted":
        file.unlink()
        said = "attempt 0 lacks rank 1 of 2"
    else:
        shutil.copy(file, file.with_name(f"{file.stem} (copy).parquet"))
        said = "is no event file of this log"
    # The events are wanted again once what was made from them isn't there.
    revoke(store, "reduce:conv4:prac")
    started = time.monotonic()
    run = services.pipeline(home, services.environment(home), *words, name="again")
    try:
        assert run.wait() == 0, run.said
    finally:
        run.end()
    print(f"\nevent file {how}: ended {time.monotonic() - started:.0f} s after the start")
    (line,) = [line for line in run.said.splitlines() if line.endswith("it is made again")]
    assert said in line
    after = found.of(store.tracking_uri)
    again = {name for name, run_id in after.made.items() if before[name] != run_id}
    assert again == {"dense:conv4:prac", "reduce:conv4:prac"}
    after.assert_same(reference)


def revoke(store: MlflowStore, stage: str) -> None:
    """As the store does with damaged runs: this stage and the report aren't found any more."""
    for experiment in (STAGES, PIPELINES):
        for run in store.search(experiment, "attributes.status = 'FINISHED'"):
            finished = finished_run(run)
            if experiment == PIPELINES or finished.name == stage:
                store.revoke(finished, "a test")
