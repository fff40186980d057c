"""`ray job submit` from a clean clone: succeeds, stops, goes on, survives the loss of the head."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from prac.tracking.connection import TICKETS
from prac.tracking.store import MlflowStore

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

PROGRESS = re.compile(r"^\[\d\d:\d\d\] \d+/\d+ \S+", re.MULTILINE)


def _last_json(log: str) -> dict[str, Any]:
    lines = [line for line in log.splitlines() if line.startswith("{")]
    said: dict[str, Any] = json.loads(lines[-1])
    return said


def test_job_stopped_then_head_lost_then_finished(
    tmp_path: Path, services: Any, tracker: Any, words: list[str], reference: Any, found: Any
) -> None:
    clone = services.clone(tmp_path / "clone")
    script = ["pipelines/full.py", *words, "--storage", str(tmp_path / "storage")]
    env = {"MLFLOW_TRACKING_URI": tracker.uri, "HOME": str(tmp_path)}
    with services.head(tmp_path / "head", env) as head:
        first = head.submit(clone, *script, name="first")
        first.until(lambda: list(tmp_path.glob("storage/*/events/*-epoch-0001-rank-1-*.parquet")))
        stopped = head.ray("job", "stop", "first")
        assert stopped.returncode == 0, stopped.stdout + stopped.stderr
        # Ray's own status for a job that somebody stopped is 0; what the run says is in the log.
        first.wait()
        assert "'first' was stopped" in first.said
        assert "error: interrupted; finished stages are kept" in first.said
        before = found.of(tracker.uri).made

        second = head.submit(clone, *script, name="second")
        # A job's log comes late, and what follows takes seconds: not the last moment to look for.
        # On a busy machine the first has finished its dense training before it is stopped.
        at_work = ("dense:conv4:prac: 8 of 8 epochs", "round:conv4:prac:1 starts")
        second.until(lambda: any(told in second.said for told in at_work))
        between = found.of(tracker.uri).made
        assert "dense:conv4:prac" in between
        lost = time.monotonic()
        head.end()
        second.end()
        head.start()
        again = time.monotonic()
        third = head.submit(clone, *script, name="third")
        assert third.wait() == 0, third.said
        done = time.monotonic()
        print(f"\nhead back after {again - lost:.0f} s, all done {done - again:.0f} s later")

        after = found.of(tracker.uri)
        assert before.items() <= between.items() <= after.made.items()
        after.assert_same(reference)
        # Nothing was trained twice: no stage, and no epoch of the one that was stopped.
        assert not re.search(r"\] \d+/\d+ dense:", third.said), third.said
        kept = [p.name for p in tmp_path.glob("storage/*/events/*-epoch-0000-*.parquet")]
        assert len(kept) == 2, kept
        assert all("attempt-0" in name for name in kept), kept
        assert PROGRESS.search(third.said), third.said
        assert len(_last_json(third.said)["searches"][0]["rounds"]) == 3
        assert len(MlflowStore(tracker.uri).search(TICKETS, "attributes.status = 'FINISHED'")) == 2
        # Where results go is said, and it isn't the copy of the clone that the job ran in.
        assert Path(_last_json(third.said)["report"]).is_relative_to(tmp_path / "prac")

        # A replay, through the same door, trains nothing; a user's mistake fails the job.
        fourth = head.submit(clone, *script, name="fourth")
        assert fourth.wait() == 0, fourth.said
        assert "nothing was trained" in fourth.said
        wrong = head.submit(clone, "pipelines/full.py", "--data", "cifar11", name="wrong")
        assert wrong.wait() == 1
        assert "error: data set 'cifar11' is not known" in wrong.said or "cifar11" in wrong.said


def test_job_without_a_tracker(tmp_path: Path, services: Any) -> None:
    clone = services.clone(tmp_path / "clone")
    home = tmp_path / "user"
    home.mkdir()
    words = ["--architectures", "conv4", "--rounds", "1", "--epochs", "2", "--workers", "1"]
    words += ["--compare", "--judge", "none"]
    with services.head(tmp_path / "head", {"HOME": str(home)}) as head:
        run = head.submit(clone, "pipelines/full.py", *words, name="run")
        assert run.wait() == 0, run.said
    assert (home / "prac" / "mlflow.db").is_file()
    assert list((home / "prac" / "mlruns").rglob("next_mask.safetensors"))
    assert Path(_last_json(run.said)["report"]).is_relative_to(home / "prac")
    assert str(home / "prac") in run.said
    # Nothing was left in the clone.
    assert not (clone / "mlflow.db").exists()
    assert not (clone / "prac-runs").exists()
