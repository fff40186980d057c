"""What a planned run leaves, how long it takes on this machine at most, and the memory it holds."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from prac.analysis.speeds import Images, most_seconds, speeds_here
from prac.analysis.timed import Speed, Timed
from prac.app.planned import Planned
from prac.app.screen import Screen
from prac.errors import OutsideError
from prac.lottery.footprint import footprint_line, shown_bytes
from prac.lottery.graph import Stage
from prac.lottery.kinds import KINDS
from prac.lottery.room import Room, seconds_together
from prac.lottery.store import Finished
from prac.machine import available_cpus, cluster_address
from prac.report.wording import duration

_CLUSTER_STARTS, _DENSE_STARTS, _REPORT_STARTS = 4, 4, 2
"""In starts of a process that trains: what a cluster of one's own takes to come up, a dense
training on it until its workers train, and a report until it is drawn."""
_TASK_SECONDS, _TRAINING_SECONDS = 0.3, 1.0
"""Of every stage on Ray, and more of one that trains: what it hands over, looks up and logs: a
third of what a digits run showed on cores that three shared."""
_TICKET_SECONDS = 1.0
"""Of a ticket's files, and its graph where it has one."""
_RAY_BYTES, _RAY_PROCESS_BYTES, _DENSE_BYTES = 2.4e9, 0.15e9, 1.4e9
"""Of Ray with this process and two that make sets; of Ray in a process that trains; of what waits
for the workers of a dense training: as the digits run held them, each shared page counted once,
Ray 2.60."""
_REPORT_BYTES = 0.3e9
"""Of the libraries that read data and draw a report: resident in the local digits run."""


_TRIAL_BYTES = 0.13e9
"""Of a process in which a trial waits for its stages: measured in a digits sweep."""


@dataclass(frozen=True, kw_only=True)
class Trials:
    """Of a sweep. number: of them all. at_once: how many wait for their stages together."""

    number: int
    at_once: int


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """seconds: of wall time, with the steps that stages may take at most. memory: bytes, about."""

    seconds: float
    memory: int

    def line(self) -> str:
        """Both, as a plan tells them."""
        return (
            f"at most {duration(self.seconds)} on this machine where nothing else runs (early "
            f"stops and smaller sets make it less), with about {shown_bytes(self.memory)} of memory"
        )


def tell_costs(
    planned: Planned,
    found: Mapping[str, Finished],
    left: Mapping[str, int],
    screen: Screen,
    *,
    trials: Trials | None = None,
) -> dict[str, Any]:
    """Tell what a plan will leave and take, and return it. left: bytes by kind; else as
    `estimate`."""
    to_run = planned.graph.to_run(found)
    if left:
        screen.line(footprint_line(left))
    expected = _estimated(planned, found, to_run, screen, trials)
    return {
        "stages_to_run": len(to_run),
        "stages_cached": sum(stage.key in found for stage in planned.graph.needed()),
        "max_steps": sum(stage.max_steps for stage in to_run),
        "bytes_left": sum(left.values()) if left or not to_run else None,
        "hours_at_most": None if expected is None else expected.seconds / 3600,
        "memory_bytes": None if expected is None else expected.memory,
    }


def _estimated(
    planned: Planned,
    found: Mapping[str, Finished],
    to_run: list[Stage],
    screen: Screen,
    trials: Trials | None,
) -> Estimate | None:
    """Time and memory, as far as they are known; a plan stands without them."""

    def wait(names: list[str]) -> None:
        # Whoever reads a log or a file waits for nothing.
        if sys.stdout.isatty():
            screen.line(f"timing a few steps of {', '.join(names)}; kept for the next plan")

    try:
        expected = estimate(planned, found, to_run, wait, trials=trials)
    except OutsideError as error:
        screen.line(f"time and memory are not known: {error}")
        return None
    if expected is not None:
        screen.line(expected.line())
    return expected


def estimate(
    planned: Planned,
    found: Mapping[str, Finished],
    to_run: list[Stage],
    told: Callable[[list[str]], None],
    *,
    trials: Trials | None = None,
) -> Estimate | None:
    """Of the stages to run, from a few timed steps of each network, kept for the next plan.

    found: by key. told: which networks are about to be timed. trials: of a sweep, whose
    stages they are. None where nothing is left to compute, and where it isn't known: on a cluster
    that others brought, of images whose size is known only when they are read, and of a network of
    this process. Raises OutsideError for a network that can't be timed.
    """
    train = [stage for stage in to_run if KINDS[stage.kind].needs != "moments"]
    shape = planned.summary.image_shape
    is_local = planned.options.executor == "local"
    names = dict.fromkeys(s.config.architecture for s in train if s.config.architecture)
    if not names or shape is None or not (is_local or cluster_address() == "local"):
        return None
    trains = dataclasses.replace(planned.recipe.train, precision=planned.request.precision)
    timed = speeds_here(
        (
            Timed(
                architecture=name,
                image_shape=shape,
                num_classes=len(planned.summary.class_names),
                train=trains,
                augment=planned.recipe.augment,
                device="cuda" if planned.given.gpus else "cpu",
            )
            for name in names
        ),
        threads=planned.options.cpus_per_round,
        device=planned.given.devices.name if planned.given.gpus else "",
        told=told,
    )
    speeds = {network.architecture: speed for network, speed in timed.items()}
    if speeds.keys() != names.keys():
        return None
    seconds = _seconds(planned, found, to_run, speeds, trials)
    pixels = (planned.summary.num_train + planned.summary.num_test) * math.prod(shape)
    return Estimate(seconds=seconds, memory=_memory(planned, train, speeds, pixels, trials))


def _seconds(
    planned: Planned,
    found: Mapping[str, Finished],
    to_run: list[Stage],
    speeds: Mapping[str, Speed],
    trials: Trials | None,
) -> float:
    is_local, summary = planned.options.executor == "local", planned.summary
    start, training = max(s.start for s in speeds.values()), planned.request.num_training
    images = Images(
        training=training, validation=summary.num_train - training, test=summary.num_test
    )

    def takes(stage: Stage) -> float:
        if is_local:
            return computes(stage)
        trains = KINDS[stage.kind].needs != "moments"
        return computes(stage) + _TASK_SECONDS + (_TRAINING_SECONDS if trains else 0)

    def computes(stage: Stage) -> float:
        if stage.kind == "report":
            return _REPORT_STARTS * start
        if stage.kind == "ticket":
            return _TICKET_SECONDS
        if KINDS[stage.kind].needs == "moments" or not stage.config.architecture:
            return 0.0
        seconds = most_seconds(stage, speeds[stage.config.architecture], images)
        if stage.kind == "dense" and not is_local:
            # Its workers divide nearly all of that.
            seconds = seconds / planned.workers + _DENSE_STARTS * start
        return seconds

    if is_local:
        return start + sum(map(takes, to_run))
    cpus, around = available_cpus(), _CLUSTER_STARTS * start
    if trials is not None:
        # As if each had one stage at work at a time; in the end the front is drawn.
        cpus = min(cpus, trials.at_once * planned.options.cpus_per_round)
        around += _REPORT_STARTS * start + trials.number * _TASK_SECONDS
    together = seconds_together(
        planned.graph,
        {name: found[s.key] for name, s in planned.graph.stages.items() if s.key in found},
        takes,
        planned.shares.used,
        Room(cpus, planned.given.gpus),
    )
    return around + together


def _memory(
    planned: Planned,
    train: list[Stage],
    speeds: Mapping[str, Speed],
    pixels: int,
    trials: Trials | None,
) -> int:
    """pixels: bytes of all images, decoded."""
    held = max(speed.memory for speed in speeds.values())
    if planned.options.executor == "local":
        return int(_REPORT_BYTES) + held + pixels
    shares, room = planned.shares, Room(available_cpus(), planned.given.gpus)

    def at_once(stages: list[Stage]) -> int:
        """How many of them are at work together."""
        busy, count = Room(0), 0
        for stage in stages:
            if not room.holds_beside(busy, shares.used(stage)):
                break
            busy, count = busy + shares.used(stage), count + 1
        return count

    dense = at_once([stage for stage in train if stage.kind == "dense"])
    processes = max(dense * planned.workers, at_once([s for s in train if s.kind != "dense"]))
    # Decoded here, and once more for all processes of the machine together.
    every = _RAY_BYTES + dense * _DENSE_BYTES + processes * (held + _RAY_PROCESS_BYTES)
    if trials is not None:
        # And what hands over between them and their stages.
        every += (min(trials.number, trials.at_once) + 1) * _TRIAL_BYTES
    return int(every) + 2 * pixels
