"""Processes killed, files damaged: the run, or the next one, finds what an undisturbed run finds.

One file, so that the undisturbed search is made once. To start Ray costs more than what runs there
does: a run that has survived one fault is the store that the next one is tried on.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

# Each process that trains costs seconds to start; what is found is the same with any number.
ONE_WORKER = ("--workers", "1")

# These take a minute each on two idle cores; the limit is for machines that are busy.
pytestmark = pytest.mark.timeout(1800)


def _epochs(run, at_least: int) -> bool:
    """Whether this many epochs of dense training have committed their events."""
    done = {file.name[:20] for file in run.home.glob("prac-runs/*/events/round-00-*.parquet")}
    return len(done) >= at_least


@pytest.fixture(scope="module")
def survivor(begin, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a run that has lost a worker of its dense training."""
    home = tmp_path_factory.mktemp("survivor")
    with begin(home) as run:
        run.until(lambda: _epochs(run, 2))
        workers = run.processes("RayTrainWorker")
        assert len(workers) == 2, [p.cmdline() for p in run.processes("ray::")]
        workers[1].kill()
        killed = time.monotonic()
        assert run.wait() == 0, run.said()
        print(f"\nworker of dense training killed: ended {time.monotonic() - killed:.0f} s later")
        assert run.alive() == []
    return home


def test_worker_of_dense_training_killed(survivor: Path, reference, found) -> None:
    # The epoch that was lost was trained again, under the next attempt.
    files = [file.name for file in survivor.glob("prac-runs/*/events/*.parquet")]
    assert any("attempt-1" in name for name in files), sorted(files)
    found.of(survivor).assert_same(reference)


@pytest.mark.slow
def test_driver_killed_and_started_again(tmp_path: Path, launch, reference, found, tracked) -> None:
    first = launch(tmp_path)
    first.until(lambda: "select:conv4:prac:1" in first.stdout)
    first.kill()
    # Two agents of Ray's own (2.60) outlive a driver that is killed; nothing of a stage may.
    left = first.alive(patience=30)
    assert all(name.strip().endswith(("DashboardAgent", "RuntimeEnvAgent")) for name in left), left
    first.end()
    before = {name: run["id"] for name, run in tracked(tmp_path).finished().items()}
    assert "dense:conv4:prac" in before

    started = time.monotonic()
    second = launch(tmp_path)
    assert second.wait() == 0, second.said()
    print(f"\ndriver killed: ended {time.monotonic() - started:.0f} s after the next start")
    after = {name: run["id"] for name, run in tracked(tmp_path).finished().items()}
    assert before.items() <= after.items()
    runs = [run for run in tracked(tmp_path).runs() if run["status"] == "FINISHED"]
    keys = [run["tags"]["prac.key"] for run in runs if "prac.key" in run["tags"]]
    assert len(keys) == len(set(keys)) > len(before)
    assert "dense:conv4:prac" not in second.stdout
    found.of(tmp_path).assert_same(reference)
    assert second.alive() == []


def _stages(home: Path) -> dict[str, Path]:
    """The folders of a local run's finished stages, by name."""
    runs = home.glob("prac-runs/stages/[!.]*/run.json")  # not what is being made
    return {json.loads(file.read_text())["name"]: file.parent for file in runs}


def test_local_run_killed_and_started_again(tmp_path: Path, launch_local, reference, found) -> None:
    first = launch_local(tmp_path)
    # Round 1 is at work: it has finished an epoch, and dense training cleans up behind itself.
    first.until(
        lambda: (
            "select:conv4:prac:1" in _stages(tmp_path)
            and list(tmp_path.glob("prac-runs/*/checkpoint.safetensors"))
            and list(tmp_path.glob("prac-runs/*/attempt-*.json"))
        )
    )
    first.kill()
    assert first.alive() == []
    (note,) = tmp_path.glob("prac-runs/*/attempt-*.json")
    killed = json.loads(note.read_text())["seconds"]
    before = {
        name: (folder / "run.json").read_bytes() for name, folder in _stages(tmp_path).items()
    }
    assert "dense:conv4:prac" in before
    assert "round:conv4:prac:1" not in before

    started = time.monotonic()
    second = launch_local(tmp_path)
    assert second.wait() == 0, second.said()
    ended = time.monotonic() - started
    print(f"\nlocal run killed: ended {ended:.0f} s after the next start")
    after = _stages(tmp_path)
    # No stage was made again, and round 1 went on from its checkpoint.
    assert all((after[name] / "run.json").read_bytes() == run for name, run in before.items())
    assert not any(f"{name} starts" in second.stdout for name in before), second.stdout
    assert "round:conv4:prac:1 starts" in second.stdout
    # Both attempts at it are on the bill; the one that was killed by its last note.
    made = json.loads((after["round:conv4:prac:1"] / "manifest.json").read_text())
    assert killed >= 1
    assert killed < made["cost"]["seconds"] < killed + ended
    attempts = [file.name for file in tmp_path.glob("prac-runs/*/events/round-01-*.parquet")]
    assert not attempts, "a round cleans up behind itself"
    found.of_folders(after).assert_same(reference)
    assert not list(tmp_path.glob("prac-runs/stages/.making-*"))


def test_interrupted(tmp_path: Path, launch, tracked) -> None:
    run = launch(tmp_path, *ONE_WORKER)
    run.until(lambda: _epochs(run, 1))
    run.interrupt()
    assert run.wait(90) == 130, run.said()
    assert run.stderr.startswith("error: interrupted")
    assert len(run.stderr.splitlines()) == 1, run.stderr
    assert run.alive() == []
    assert all(r["status"] != "RUNNING" for r in tracked(tmp_path).runs())


def _flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def test_damage_between_two_runs_and_a_worker_of_a_round_killed(
    survivor: Path, launch, reference, found, tracked
) -> None:
    before = tracked(survivor).finished()
    key = before["dense:conv4:prac"]["tags"]["prac.key"]
    # The last file of the dense run's events is cut short, one byte of round 1's mask is another.
    cut = sorted((survivor / "prac-runs" / key / "events").iterdir())[-1]
    cut.write_bytes(cut.read_bytes()[:-100])
    _flip(before["round:conv4:prac:1"]["folder"] / "next_mask.safetensors")
    # Something has to read them: the statistics, a ticket and the report are wanted again.
    wanted = ("reduce:conv4:prac", "ticket:conv4:prac:2", "report")
    tracked(survivor).revoke(*wanted)

    started = time.monotonic()
    run = launch(survivor, *ONE_WORKER)
    # A checkpoint beside no dense training: round 1, made again, has finished an epoch.
    checkpoints = survivor / "prac-runs"
    run.until(
        lambda: any(f.parent.name != key for f in checkpoints.glob("*/checkpoint.safetensors"))
    )
    (worker,) = run.processes("ray::round:") or run.processes("ray::run_stage")
    worker.kill()
    assert run.wait() == 0, run.said()
    print(f"\nfiles damaged, worker killed: ended {time.monotonic() - started:.0f} s after start")
    said = [line for line in run.stdout.splitlines() if line.endswith("it is made again")]
    assert len(said) == 2, run.stdout
    assert any(cut.name in line and "stage dense:conv4:prac" in line for line in said), said
    assert any("next_mask.safetensors fails its checksum" in line for line in said), said
    after = tracked(survivor).finished()
    again = {name for name in before if before[name]["id"] != after[name]["id"]}
    assert again == {"dense:conv4:prac", "round:conv4:prac:1", *wanted}
    found.of(survivor).assert_same(reference)
    assert run.alive() == []
