"""Runs a graph on Ray: every stage a named task, independent ones at the same time."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from prac.distributed.context import Context, Resources
from prac.errors import PracError
from prac.lottery.graph import Graph, Stage
from prac.lottery.kinds import KINDS
from prac.lottery.local import Ran, repair, told, wanted
from prac.lottery.progress import Display
from prac.lottery.run import run_stage
from prac.lottery.schedule import Schedule
from prac.lottery.store import DamagedArtifact, Finished, Store

_remote_stage = ray.remote(run_stage)


@dataclass(frozen=True)
class Failed:
    """A stage that failed. cause: what it raised. told: the same in one line."""

    stage: Stage
    cause: BaseException
    told: PracError


def _needs(stage: Stage, resources: Resources) -> tuple[float, float]:
    """CPUs that a stage's task asks Ray for, and CPUs it uses in all."""
    needs = KINDS[stage.kind].needs
    if needs == "workers":
        # The task itself only waits for the workers, which ask for their own.
        return 0, resources.workers * resources.cpus_per_round
    if needs == "a device":
        return resources.cpus_per_round, resources.cpus_per_round
    # A stage of tens of milliseconds takes a CPU between two others rather than being planned for.
    return 1, 1 if needs == "a processor" else 0


class RayExecutor:
    """Hands stages to Ray as their inputs finish, in an order that keeps the CPUs busy.

    schedule: what is wanted and what is finished; `run` works until nothing is open, a caller of
    its own may add to it between one `submit` and one `collect` and the next. cpus: of the cluster,
    to hold back what would only queue (so that a dense run that needs all workers at once is not
    starved by small stages); None hands over all that is ready, for a cluster that grows with its
    queue.
    """

    def __init__(
        self, context: Context, store: Store, display: Display, *, cpus: int | None
    ) -> None:
        self.context, self.store, self.display = context, store, display
        self.schedule = Schedule()
        self.ran: set[str] = set()
        self._cpus = cpus
        self._running: dict[ray.ObjectRef[Any], Stage] = {}
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
        """End what is at work."""
        for ref in self._running:
            ray.cancel(ref, force=True)

    def submit(self) -> None:
        """Hand over what is ready and finds room."""
        resources = self.context.resources
        used = sum(_needs(stage, resources)[1] for stage in self._running.values())
        dense = sum(stage.kind == "dense" for stage in self._running.values())
        while (stage := self.schedule.peek()) is not None:
            asked, needed = _needs(stage, resources)
            # One more dense run may prepare: Train's controller takes seconds to start, then waits.
            prepares = stage.kind == "dense" and dense == 1
            full = self._cpus is not None and used > 0 and used + needed > self._cpus
            if full and needed > 0 and not prepares:
                # Nothing overtakes: a later stage would take the CPUs this one waits for.
                break
            used += needed
            dense += stage.kind == "dense"
            self._start(self.schedule.start(), asked)

    def _start(self, stage: Stage, cpus: float) -> None:
        gpus = self.context.resources.gpus_per_round
        options: dict[str, Any] = {"name": stage.name, "num_cpus": cpus, "max_retries": 3}
        if gpus > 0 and KINDS[stage.kind].needs == "a device":
            options["num_gpus"] = gpus
        inputs = self.schedule.inputs(stage)
        ref = _remote_stage.options(**options).remote(stage, inputs, self.context, self.store)
        self._running[ref] = stage
        self.display.started(stage)

    def collect(self) -> list[Failed]:
        """Wait for a stage to end, a second at most; those that failed."""
        done, _ = ray.wait(list(self._running), num_returns=1, timeout=1.0)
        # News is no reason to fail: the desk may be on a node that was just lost.
        with contextlib.suppress(RayError):
            for news in ray.get(self.context.desk.collect.remote(), timeout=10):
                self.display.news(news)
        return [failed for ref in done if (failed := self._ended(ref)) is not None]

    def _ended(self, ref: ray.ObjectRef[Any]) -> Failed | None:
        stage = self._running.pop(ref)
        try:
            finished: Finished = ray.get(ref)
        except DamagedArtifact as error:
            # Ray's own error says the same with the worker's whole traceback.
            damaged = DamagedArtifact(error.finished, error.what)
            if self.schedule.holds(damaged.finished):
                repair(
                    damaged, self.schedule, self.store, self.context, self.display, self._damages
                )
            self.schedule.again(stage.name)
            return None
        except RayTaskError as error:
            return Failed(stage, error, _stage_error(stage, error))
        except RayError as error:
            reason = str(error).strip().splitlines()[0]
            return Failed(stage, error, PracError(f"stage {stage.name} failed: {reason}"))
        self.schedule.finish(stage.name, finished)
        self.ran.add(stage.name)
        self.display.finished(stage, self.store.read(finished).facts)
        return None


def _stage_error(stage: Stage, error: RayTaskError) -> PracError:
    """The stage's own error in one line; Ray's holds the whole traceback of the worker."""
    cause = error.cause if isinstance(error.cause, BaseException) else error
    if isinstance(cause, PracError):
        return told(stage, cause)
    lines = str(error).strip().splitlines()
    return PracError(f"stage {stage.name} failed: {lines[-1] if lines else type(cause).__name__}")
