"""What a stage cost, over all attempts at it: those that were killed as well."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from prac.config.sections import AugmentConfig
from prac.errors import StoreError
from prac.lottery import attempts
from prac.lottery.attempts import Attempt, noted
from prac.lottery.energy import Energy, EnergyMeter
from prac.lottery.graph import Stage
from prac.lottery.kinds import StageKind
from prac.lottery.local import LocalEnv
from prac.lottery.outputs import Cost, Facts, Made
from prac.lottery.run import clean, make
from prac.lottery.stage_config import ReduceConfig
from prac.lottery.store import MemoryStore
from prac.storage import Folder

STAGE = Stage(
    name="round:conv4:prac:1",
    kind="round",
    architecture="conv4",
    method="prac",
    round_index=1,
    config=ReduceConfig(),
    inputs={},
    key="k" * 32,
)


class PlayedMeter(EnergyMeter):
    """Two joules a reading."""

    def __init__(self) -> None:
        self.joules: float | None = 0.0
        self.source = "RAPL"

    def used(self) -> Energy:
        if self.joules is not None:
            self.joules += 2.0
        return Energy(joules=self.joules, source=self.source)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlayedEnv(LocalEnv):
    """With a meter of ours."""

    played: PlayedMeter = dataclasses.field(default_factory=PlayedMeter)

    def meter(self, stage: Stage) -> EnergyMeter:
        return self.played


@pytest.fixture
def env(tmp_path: Path) -> PlayedEnv:
    return PlayedEnv(
        data="d" * 32, load=lambda: 1 / 0, augment=AugmentConfig(), storage=Folder(tmp_path)
    )


@pytest.fixture
def step(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Made]], None]:
    """Have stages do this."""
    monkeypatch.setattr(attempts, "EVERY_SECONDS", 0.05)
    return lambda work: monkeypatch.setattr(StageKind, "step", lambda _: lambda *_, **__: work())


def _note(env: LocalEnv, name: str, **told: object) -> None:
    env.work(STAGE.key).write(f"attempt-{name}.json", json.dumps(told).encode())


def test_all_attempts_are_added(env: PlayedEnv, step) -> None:
    _note(env, "a", seconds=27.25, joules=100.0, energy_source="RAPL")
    _note(env, "b", seconds=0.5, joules=1.5, energy_source="RAPL")
    step(lambda: Made(facts=Facts(), cost=Cost(steps=7)))
    cost = make(STAGE, {}, env, MemoryStore()).cost
    assert 27.75 <= cost.seconds < 28.5
    assert (cost.joules, cost.energy_source, cost.steps) == (103.5, "RAPL", 7)


@pytest.mark.parametrize(
    ("told", "seconds", "why"),
    [
        ({"seconds": 9, "joules": None, "energy_source": "GPU not measured: x"}, 9, "x"),
        ({"seconds": "many", "joules": 3}, 0, "can't be read"),
        ([1], 0, "can't be read"),
    ],
)
def test_energy_that_one_attempt_could_not_tell_is_not_known(
    told: object, seconds: float, why: str, env: PlayedEnv, step
) -> None:
    env.work(STAGE.key).write("attempt-a.json", json.dumps(told).encode())
    step(lambda: Made(facts=Facts()))
    cost = make(STAGE, {}, env, MemoryStore()).cost
    assert seconds <= cost.seconds < seconds + 1
    assert cost.joules is None
    assert why in cost.energy_source


def test_one_that_fails_is_paid_by_the_next(env: PlayedEnv, step) -> None:
    def fails() -> Made:
        time.sleep(0.2)
        raise RuntimeError("a plug-in's")

    step(fails)
    with pytest.raises(RuntimeError):
        make(STAGE, {}, env, MemoryStore())
    used = env.played.joules
    assert used is not None
    assert len(noted(env.work(STAGE.key))) == 1
    env.played.joules = 0.0
    step(lambda: Made(facts=Facts()))
    cost = make(STAGE, {}, env, MemoryStore()).cost
    assert 0.2 <= cost.seconds < 1
    assert cost.joules == used + 2


def test_what_ends_at_once_leaves_nothing(env: PlayedEnv, step, tmp_path: Path) -> None:
    step(lambda: Made(facts=Facts()))
    make(STAGE, {}, env, MemoryStore())
    assert list(tmp_path.iterdir()) == []
    # A stage that isn't resumed has no folder.
    _note(env, "a", seconds=27.25, joules=100.0, energy_source="RAPL")
    selects = dataclasses.replace(STAGE, kind="select")
    assert make(selects, {}, env, MemoryStore()).cost.seconds < 1


@pytest.mark.parametrize(("kind", "left"), [("round", set()), ("dense", {"events"})])
def test_notes_go_with_the_checkpoint(kind: str, left: set[str], env: PlayedEnv) -> None:
    work = env.work(STAGE.key)
    work.child("events").write("epoch-2", b"events")
    _note(env, "a", seconds=27.25, joules=100.0, energy_source="RAPL")
    clean(dataclasses.replace(STAGE, kind=kind), env)
    assert set(work.names()) | set(work.folders()) == left


def test_a_place_that_takes_no_note_stops_no_work(
    env: PlayedEnv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "EVERY_SECONDS", 0.05)
    place = tmp_path / STAGE.key
    place.write_text("a file where the folder would be")
    refused: list[Exception] = []

    class Refusing(Folder):
        def write(self, name: str, data: bytes) -> None:
            try:
                super().write(name, data)
            except (OSError, StoreError) as error:
                refused.append(error)
                raise

    done = []
    with Attempt(Refusing(place), env.played):
        time.sleep(0.2)
        done.append("the work")
    # Every note on the way, and the last one.
    assert len(refused) > 1
    assert done == ["the work"]
    assert place.read_text() == "a file where the folder would be"


PROGRAM = """
import sys, time
from prac.lottery.attempts import Attempt
from prac.lottery.energy import EnergyMeter
from prac.storage import Folder
with Attempt(Folder(sys.argv[1]), EnergyMeter(cpu_share=1.0)) as attempt:
    print("began", flush=True)
    time.sleep(float(sys.argv[2]))
print(attempt.cost().seconds, flush=True)
"""


def test_killed_twice_in_mid_run(tmp_path: Path) -> None:
    lived = 0.0
    for seconds in (2.6, 1.4):
        words = [sys.executable, "-c", PROGRAM, str(tmp_path), "60"]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "began\n"
            began = time.monotonic()
            time.sleep(seconds)
            os.kill(process.pid, signal.SIGKILL)
            lived += time.monotonic() - began
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path), "0.2"],
        capture_output=True,
        text=True,
        check=True,
    )
    billed = float(done.stdout.split()[-1])
    # What each of the two did after its last note isn't known.
    assert lived + 0.2 - 2 * (attempts.EVERY_SECONDS + 0.5) < billed < lived + 0.2 + 1
    assert billed > 2 * attempts.EVERY_SECONDS
