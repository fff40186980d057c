"""Files that change between two runs: found when they are read, said, and made again."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

# These take a minute each on two idle cores; the limit is for machines that are busy.
pytestmark = pytest.mark.timeout(1800)


def _flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def test_damage_between_two_runs(launch, reference, found, tracked) -> None:
    home = reference.home
    before = tracked(home).finished()
    # One file of the dense run's events is cut short, one byte of round 1's mask is another.
    events = home / "prac-runs" / before["dense:conv4:prac"]["tags"]["prac.key"] / "events"
    cut = sorted(events.iterdir())[3]
    cut.write_bytes(cut.read_bytes()[:-100])
    _flip(before["round:conv4:prac:1"]["folder"] / "next_mask.safetensors")
    # Something has to read them: the statistics, a ticket and the report are wanted again.
    wanted = ("reduce:conv4:prac", "ticket:conv4:prac:2", "report")
    tracked(home).revoke(*wanted)

    started = time.monotonic()
    run = launch(home)
    assert run.wait() == 0, run.said()
    print(
        f"\nevent file and artifact damaged: ended {time.monotonic() - started:.0f} s after start"
    )
    said = [line for line in run.stdout.splitlines() if line.endswith("it is made again")]
    assert len(said) == 2, run.stdout
    assert any(cut.name in line and "stage dense:conv4:prac" in line for line in said), said
    assert any("next_mask.safetensors fails its checksum" in line for line in said), said
    after = tracked(home).finished()
    again = {name for name in before if before[name]["id"] != after[name]["id"]}
    assert again == {"dense:conv4:prac", "round:conv4:prac:1", *wanted}
    found.of(home).assert_same(reference.found)
    assert run.alive() == []
