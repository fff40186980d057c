"""A run that is killed at twenty random moments ends as the one that nothing disturbed."""

from __future__ import annotations

import random
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from support.launch import Launch, launched
from support.left import Left, assert_same, left_in_folder

KILLS = 20
WORDS = (
    *("--executor", "local", "--gpus", "0", "--architectures", "conv4", "--rounds", "2"),
    *("--epochs", "4", "--compare"),
)


def _ended(run: Launch, within: float) -> bool:
    """Whether it ended well by itself; killed otherwise."""
    try:
        assert run.process.wait(within) == 0, run.said()
        return True
    except subprocess.TimeoutExpired:
        run.kill()
        return False


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_at_twenty_random_moments(tmp_path: Path) -> None:
    home = tmp_path / "undisturbed"
    started = time.monotonic()
    with launched(home, *WORDS) as run:
        assert run.wait() == 0, run.said()
    seconds = time.monotonic() - started
    undisturbed = left_in_folder(home, *WORDS)
    assert "ticket:conv4:prac:2" in undisturbed

    seed = time.time_ns()
    print(f"\nundisturbed: {seconds:.0f} s; moments are drawn from {seed}")
    draw = random.Random(seed)
    home, kills, finished = tmp_path / "killed", 0, list[dict[str, Left]]()
    while kills < KILLS:
        with launched(home, *WORDS) as run:
            if not _ended(run, draw.uniform(0, seconds)):
                kills += 1
                continue
        # Whole before it was killed often enough: another begins.
        finished.append(left_in_folder(home, *WORDS))
        shutil.rmtree(home)
    with launched(home, *WORDS) as run:
        assert run.wait() == 0, run.said()
    finished.append(left_in_folder(home, *WORDS))
    print(f"{kills} kills, {len(finished)} runs ended")
    for left in finished:
        assert_same(left, undisturbed)
