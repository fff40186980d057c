"""Runs a graph on Ray: every stage a named task, independent ones at the same time."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

from ray.exceptions import RayError

from prac.distributed.context import Resources
from prac.distributed.env import RayEnv
from prac.distributed.tasks import RAY, SMALL, Tasks, beside_small
from prac.errors import OutsideError, PracError, first_line
from prac.lottery.graph import Graph, Stage
from prac.lottery.kinds import KINDS
from prac.lottery.local import Ran, repair, told, wanted
from prac.lottery.progress import Display
from prac.lottery.room import Room
from prac.lottery.run import run_stage
from prac.lottery.schedule import Schedule
from prac.lottery.store import DamagedArtifact, Finished, Store

_MOST_SMALL = 4
"""Stages of moments at once: each is a process with torch in it, which is memory."""


@dataclass(frozen=True)
class Failed:
    """A stage that failed. cause: what it raised. told: the same in one line."""

    stage: Stage
    cause: Exception
    told: PracError


def _asked(stage: Stage, resources: Resources) -> Room:
    """What a stage's task asks Ray for."""
    needs = KINDS[stage.kind].needs
    if needs == "workers":
        # It only waits: for the workers, which ask for their own.
        return Room(0)
    if needs == "a device":
        return Room(beside_small(resources.cpus_per_round), resources.gpus_per_round)
    return Room(SMALL)


class RayExecutor:
    """Hands stages to Ray as their inputs finish, in an order that keeps the CPUs busy.

    schedule: what is wanted and what is finished; `run` works until nothing is open, a caller of
    its own may add to it between one `submit` and one `collect` and the next. room: of the cluster,
    to hold back what would only queue, which nothing that matters more could overtake any more;
    None hands over all that is ready, for a cluster that grows with its queue. tasks: where the
    stages run.
    """

    def __init__(
        self,
        context: RayEnv,
        store: Store,
        display: Display,
        *,
        room: Room | None,
        tasks: Tasks = RAY,
    ) -> None:
        self.context, self.store, self.display = context, store, display
        self.schedule = Schedule()
        self.ran: set[str] = set()
        self._room, self._tasks = room, tasks
        self._running: dict[Hashable, Stage] = {}
        self._damages: dict[str, int] = {}

    def run(self, graph: Graph, finished: Mapping[str, Finished]) -> Ran:
        """Run all that has to run, except the report. Raises PracError where a stage fails.

        finished: what the store has, by stage name.
        """
        self.schedule.add(graph.stages, finished)
        self.schedule.want(wanted(graph))
        try:
            while self.schedule.open:
                self.submit()
                for failed in self.collect():
                    raise failed.told from failed.cause
        except BaseException:
            self.cancel()
            raise
        return Ran(finished=self.schedule.finished, ran=frozenset(self.ran))

    @property
    def busy(self) -> bool:
        """Whether any stage is at work."""
        return bool(self._running)

    def cancel(self) -> None:
        for handle in self._running:
            self._tasks.cancel(handle)

    def submit(self) -> None:
        """Hand over what is ready and finds room."""
        resources = self.context.resources
        running = list(self._running.values())
        busy = sum((resources.used(stage) for stage in running), Room(0))
        dense = sum(stage.kind == "dense" for stage in running)
        small = sum(KINDS[stage.kind].needs == "moments" for stage in running)
        while small < _MOST_SMALL and (stage := self.schedule.peek(small=True)) is not None:
            small += 1
            self._start(stage)
        while (stage := self.schedule.peek(small=False)) is not None:
            used = resources.used(stage)
            # One more dense run may prepare: Train's controller takes seconds to start, then waits.
            prepares = (
                stage.kind == "dense"
                and dense > 0
                and (self._room is None or self._room.holds(busy))
            )
            full = self._room is not None and not self._room.holds_beside(busy, used)
            if full and not prepares:
                # Nothing overtakes: a later stage would take what this one waits for.
                break
            busy += used
            dense += stage.kind == "dense"
            self._start(stage)

    def _start(self, stage: Stage) -> None:
        self.schedule.start(stage)
        asked = _asked(stage, self.context.resources)
        handle = self._tasks.submit(
            run_stage,
            stage,
            self.schedule.inputs(stage),
            self.context,
            self.store,
            name=stage.name,
            cpus=asked.cpus,
            gpus=asked.gpus,
        )
        self._running[handle] = stage
        self.display.started(stage)

    def collect(self) -> list[Failed]:
        """Wait for a stage to end, a second at most; those that failed."""
        done = self._tasks.wait(list(self._running))
        for news in self.context.desk.collect():
            self.display.news(news)
        return [failed for handle in done if (failed := self._ended(handle)) is not None]

    def _ended(self, handle: Hashable) -> Failed | None:
        stage = self._running.pop(handle)
        try:
            finished: Finished = self._tasks.result(handle)
        except DamagedArtifact as error:
            if self.schedule.holds(error.finished):
                repair(error, self.schedule, self.store, self.context, self.display, self._damages)
            self.schedule.again(stage.name)
            return None
        except Exception as error:
            return Failed(stage, error, _in_a_line(stage, error))
        self.schedule.finish(stage.name, finished)
        self.ran.add(stage.name)
        self.display.finished(stage, self.store.read(finished).facts)
        return None


def _in_a_line(stage: Stage, error: Exception) -> PracError:
    """A stage's error; of others' errors the kind and the first line."""
    if isinstance(error, PracError):
        return told(stage, error)
    said, kind = first_line(error), type(error).__name__
    if not isinstance(error, RayError) and said != kind:
        said = f"{kind}: {said}"
    return OutsideError(f"stage {stage.name} failed: {said}")
