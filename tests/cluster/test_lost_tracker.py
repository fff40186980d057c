"""An MLflow server that is away for half a minute, and one that doesn't come back."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

AWAY = 30
DENSE = "dense:conv4:prac: 8 of 8 epochs"


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_away_for_half_a_minute(
    how: str,
    tmp_path: Path,
    services: Any,
    tracker: Any,
    words: list[str],
    reference: Any,
    found: Any,
) -> None:
    env = services.environment(tmp_path, MLFLOW_TRACKING_URI=tracker.uri)
    run = services.pipeline(tmp_path / "run", env, *words)
    try:
        # The last epoch of dense training: what it found is logged while nobody answers.
        events = tmp_path / "run" / "prac-runs"
        run.until(lambda: list(events.glob("*/events/round-00-epoch-0007-*.parquet")))
        if how == "stopped":
            tracker.pause(True)
            time.sleep(AWAY)
            tracker.pause(False)
        else:
            tracker.kill()
            time.sleep(AWAY)
            tracker.start()
        assert DENSE not in run.said
        back = time.monotonic()
        run.until(lambda: DENSE in run.said)
        print(f"\ntracker {how} for {AWAY} s: goes on {time.monotonic() - back:.0f} s later")
        assert run.wait() == 0, run.said
    finally:
        run.end()
    found.of(tracker.uri).assert_same(reference)


def test_away_for_good(
    tmp_path: Path, services: Any, tracker: Any, words: list[str], reference: Any, found: Any
) -> None:
    # Less patience than MLflow's own four minutes, by MLflow's own setting.
    env = services.environment(
        tmp_path, MLFLOW_TRACKING_URI=tracker.uri, MLFLOW_HTTP_REQUEST_MAX_RETRIES="3"
    )
    run = services.pipeline(tmp_path / "run", env, *words)
    try:
        run.until(lambda: "select:conv4:prac:1: " in run.said)
        tracker.kill()
        away = time.monotonic()
        assert run.wait() == 1, run.said
        print(f"\ntracker away for good: ended after {time.monotonic() - away:.0f} s")
        assert run.left() == []
    finally:
        run.end()
    (error,) = services.errors(run)
    assert tracker.uri in error

    tracker.start()
    before = found.of(tracker.uri).made
    assert {"dense:conv4:prac", "select:conv4:prac:1"} <= before.keys()
    again = services.pipeline(tmp_path / "run", env, *words, name="again")
    try:
        assert again.wait() == 0, again.said
    finally:
        again.end()
    after = found.of(tracker.uri)
    assert before.items() <= after.made.items()
    after.assert_same(reference)
