"""A part of the cluster that a run started for itself is killed: one line, and nothing is lost."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.mark.parametrize(
    "part", ["raylet/raylet", "gcs_server", "ray::DashboardAgent", "ray::RuntimeEnvAgent"]
)
def test_a_part_that_all_need(part: str, tmp_path: Path, launch, reference, found, tracked) -> None:
    """Ray ends the raylet whose agent is gone."""
    first = launch(tmp_path)
    first.until(lambda: "select:conv4:prac:1" in first.stdout)
    first.processes(part)[0].kill()
    killed = time.monotonic()
    assert first.wait(120) == 1, first.said()
    print(f"\n{part} killed: the run ended {time.monotonic() - killed:.0f} s later")
    # Ray's own libraries may have written a line before.
    (said,) = (line for line in first.stderr.splitlines() if line.startswith("error: "))
    assert "finished stages are kept, the same command goes on from there" in said
    assert first.stderr.endswith(f"{said}\n")
    assert "Traceback" not in first.stderr
    # Two agents of Ray's own (2.60) outlive a head for a while; nothing of a stage may.
    agents = ("DashboardAgent", "RuntimeEnvAgent")
    assert all(name.strip().endswith(agents) for name in first.alive())
    before = {name: run["id"] for name, run in tracked(tmp_path).finished().items()}
    assert "dense:conv4:prac" in before

    second = launch(tmp_path)
    assert second.wait() == 0, second.said()
    after = {name: run["id"] for name, run in tracked(tmp_path).finished().items()}
    assert before.items() <= after.items()
    found.of(tmp_path).assert_same(reference)


@pytest.mark.parametrize("part", ["dashboard/dashboard.py", "log_monitor.py"])
def test_a_part_that_no_stage_needs(part: str, tmp_path: Path, launch, reference, found) -> None:
    run = launch(tmp_path)
    run.until(lambda: list(tmp_path.glob("prac-runs/*/events/*-epoch-0001-*.parquet")))
    run.processes(part)[0].kill()
    assert run.wait() == 0, run.said()
    assert run.stderr == ""
    found.of(tmp_path).assert_same(reference)
