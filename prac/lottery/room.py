"""What of a machine stages keep busy, and how long they take together in the room that there is."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from prac.lottery.graph import Graph, Stage
from prac.lottery.kinds import KINDS
from prac.lottery.schedule import Schedule
from prac.lottery.store import Finished

_ROUNDING = 1e-6
"""Of sums of fractions of devices."""


@dataclass(frozen=True)
class Room:
    """CPUs and GPUs: of machines together, or what a stage uses of them."""

    cpus: float
    gpus: float = 0

    def __add__(self, other: Room) -> Room:
        return Room(self.cpus + other.cpus, self.gpus + other.gpus)

    def holds(self, used: Room) -> bool:
        """Whether it is enough for that."""
        return used.cpus <= self.cpus and used.gpus <= self.gpus + _ROUNDING

    def holds_beside(self, busy: Room, used: Room) -> bool:
        """Whether something more fits; what is larger than all there is goes alone."""
        return self.holds(
            Room(busy.cpus and busy.cpus + used.cpus, busy.gpus and busy.gpus + used.gpus)
        )


@dataclass(frozen=True, kw_only=True)
class Shares:
    """What one stage is given. workers: data-parallel ones of dense training."""

    workers: int
    cpus_per_round: int = 1
    gpus_per_worker: float = 0
    gpus_per_round: float = 0

    def used(self, stage: Stage) -> Room:
        """What a stage keeps busy in all."""
        needs, a_round = KINDS[stage.kind].needs, _held(self.gpus_per_round)
        if needs == "workers":
            # The predictions that follow the training are a round's.
            gpus = max(self.workers * _held(self.gpus_per_worker), a_round)
            return Room(self.workers * self.cpus_per_round, gpus)
        return Room(self.cpus_per_round, a_round) if needs == "a device" else Room(0)


def _held(gpus: float) -> float:
    """What of the devices one who asks for so much keeps from others like it: two of 0.6 don't fit
    on one device."""
    return 1 / math.floor(1 / gpus) if 0 < gpus < 1 else gpus


def seconds_together(
    graph: Graph,
    finished: Mapping[str, Finished],
    seconds: Callable[[Stage], float],
    used: Callable[[Stage], Room],
    room: Room,
) -> float:
    """Until the last stage ends, where they run beside each other in the executors' order.

    finished: by name. seconds: that a stage takes; used: what it keeps busy meanwhile.
    """
    schedule = Schedule()
    schedule.add(graph.stages, finished)
    schedule.want(graph.targets)
    now, running = 0.0, list[tuple[float, str]]()

    def start(stage: Stage) -> None:
        schedule.start(stage)
        heapq.heappush(running, (now + seconds(stage), stage.name))

    while schedule.open:
        while (stage := schedule.peek(small=True)) is not None:
            start(stage)
        while (stage := schedule.peek(small=False)) is not None:
            busy = sum((used(schedule.stages[name]) for _, name in running), Room(0))
            if not room.holds_beside(busy, used(stage)):
                break  # nothing overtakes
            start(stage)
        now, name = heapq.heappop(running)
        done = Finished(
            key=schedule.stages[name].key, name=name, run_id="", where="", manifest_sha256=""
        )
        schedule.finish(name, done)
    return now
