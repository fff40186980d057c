"""Runs a graph on Ray: every stage a named task, independent ones at the same time."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from prac.distributed.context import Context, Resources
from prac.distributed.made import Running
from prac.distributed.progress import Display
from prac.errors import PracError
from prac.lottery.graph import COMPUTING, Graph, Kind, Stage
from prac.quick_import import quick_import
from prac.tracking.store import STAGES, TICKETS, DamagedArtifact, Finished, StoreAway
from prac.tracking.tickets import register

# What others wait for goes first: a set or a mask in time keeps every chain busy.
_PRIORITY: Mapping[Kind, int] = {
    "reduce": 0,
    "select": 0,
    "subset": 0,
    "score": 0,
    "start": 0,
    "dense": 1,
    "proxy": 1,
    "prune": 1,
    "round": 2,
    "judge": 3,
    "ticket": 4,
}
_MAX_DAMAGES = 3


def run_stage(stage: Stage, inputs: Mapping[str, Finished], context: Context) -> Finished:
    """Run one stage here and commit what it made; the store has it only when it is complete.

    Where another pipeline has made it meanwhile, that is taken: two that run at once share their
    work folders, and the one that is done first cleans up.
    """
    if (other := _made_by_another(stage, context)) is not None:
        return other
    try:
        return _make(stage, inputs, context)
    except StoreAway:
        raise
    except Exception:
        if (other := _made_by_another(stage, context)) is not None:
            return other
        raise


def _made_by_another(stage: Stage, context: Context) -> Finished | None:
    finished = context.store.find_one(_experiment(stage), stage.key)
    if finished is None:
        return None
    return dataclasses.replace(finished, values=context.store.values(finished))


def _experiment(stage: Stage) -> str:
    return TICKETS if stage.kind == "ticket" else STAGES


def _make(stage: Stage, inputs: Mapping[str, Finished], context: Context) -> Finished:
    with quick_import():
        from prac.distributed.stages import RUN

    started = time.time()
    with tempfile.TemporaryDirectory(prefix="prac-") as scratch:
        folder = Path(scratch)
        running = Running(stage=stage, inputs=inputs, context=context, folder=folder)
        made = RUN[stage.kind](running)
        common = {"architecture": stage.architecture, "method": stage.method, "kind": stage.kind}
        if stage.kind in ("select", "subset"):
            common["round"] = str(stage.round_index)
        tags = {name: value for name, value in common.items() if value}
        before_finish, name = None, stage.name
        if made.facts is not None:
            facts = made.facts
            tags, name = facts.tags(), facts.title
            before_finish = register(
                context.store, facts.registered_model, stage.key, facts.description, tags, made.data
            )
        if (other := _made_by_another(stage, context)) is not None:
            return other
        finished = context.store.commit(
            experiment=_experiment(stage),
            key=stage.key,
            name=name,
            data=context.data,
            folder=folder,
            values=made.values,
            started=started,
            parameters=made.parameters,
            metrics=made.metrics,
            tags=tags,
            before_finish=before_finish,
        )
    # Another pipeline may be writing there; `prac gc` finds what stays.
    with contextlib.suppress(OSError):
        _clean(stage, context)
    return finished


def _clean(stage: Stage, context: Context) -> None:
    """Checkpoints are of no use once a stage is committed; a dense run's events are kept."""
    work = context.work(stage.key)
    if stage.kind == "dense":
        work.remove("checkpoint.safetensors")
        # Of runs that were killed.
        for name in work.folders():
            if name.startswith("train-"):
                work.child(name).delete()
    elif stage.kind in ("round", "judge", "proxy"):
        work.delete()


_remote_stage = ray.remote(run_stage)


def _needs(stage: Stage, resources: Resources) -> tuple[float, float]:
    """CPUs that a stage's task asks Ray for, and CPUs it uses in all."""
    if stage.kind == "dense":
        # The task itself only waits for the workers, which ask for their own.
        return 0, resources.workers * resources.cpus_per_round
    if stage.kind in COMPUTING:
        return resources.cpus_per_round, resources.cpus_per_round
    if stage.kind == "ticket":
        return 1, 1
    # Tens of milliseconds: it takes a CPU between two others rather than being planned for.
    return 1, 0


class Executor:
    """Hands stages to Ray as their inputs finish, in an order that keeps the CPUs busy.

    cpus: of the cluster, to hold back what would only queue (so that a dense run that needs all
    workers at once is not starved by small stages); None hands over all that is ready, for a
    cluster that grows with its queue.
    """

    def __init__(
        self,
        graph: Graph,
        finished: Mapping[str, Finished],
        context: Context,
        display: Display,
        *,
        cpus: int | None,
    ) -> None:
        self._graph = graph
        self._context = context
        self._display = display
        self._cpus = cpus
        # By stage name: what is done, and what is at work.
        self.finished: dict[str, Finished] = {
            name: finished[stage.key]
            for name, stage in graph.stages.items()
            if stage.key in finished
        }
        self.ran: set[str] = set()
        self._running: dict[ray.ObjectRef[Any], Stage] = {}
        # By stage key: its runs that were found damaged.
        self._damages: dict[str, set[str]] = {}

    def run(self) -> None:
        """Run all that has to run, except the report. Raises PracError where a stage fails."""
        try:
            while waiting := self._waiting():
                self._submit(waiting)
                self._collect()
        except BaseException:
            for ref in self._running:
                ray.cancel(ref, force=True)
            raise

    def _waiting(self) -> list[Stage]:
        done = {finished.key for finished in self.finished.values()}
        return [s for s in self._graph.to_run(done) if s.kind != "report"]

    def _submit(self, waiting: list[Stage]) -> None:
        at_work = {stage.name for stage in self._running.values()}
        ready = [
            stage
            for stage in waiting
            if stage.name not in at_work and all(i in self.finished for i in stage.inputs.values())
        ]
        ready.sort(key=lambda stage: (_PRIORITY[stage.kind], stage.round_index))
        used = sum(_needs(stage, self._context.resources)[1] for stage in self._running.values())
        dense = sum(stage.kind == "dense" for stage in self._running.values())
        for stage in ready:
            asked, needed = _needs(stage, self._context.resources)
            # One more dense run may prepare: Train's controller takes seconds to start, then waits.
            prepares = stage.kind == "dense" and dense == 1
            full = self._cpus is not None and used > 0 and used + needed > self._cpus
            if full and needed > 0 and not prepares:
                # Nothing overtakes: a later stage would take the CPUs this one waits for.
                break
            used += needed
            dense += stage.kind == "dense"
            self._start(stage, asked)

    def _start(self, stage: Stage, cpus: float) -> None:
        gpus = self._context.resources.gpus_per_round
        options: dict[str, Any] = {"name": stage.name, "num_cpus": cpus, "max_retries": 3}
        if gpus > 0 and stage.kind in COMPUTING:
            options["num_gpus"] = gpus
        inputs = {role: self.finished[name] for role, name in stage.inputs.items()}
        ref = _remote_stage.options(**options).remote(stage, inputs, self._context)
        self._running[ref] = stage
        self._display.started(stage)

    def _collect(self) -> None:
        done, _ = ray.wait(list(self._running), num_returns=1, timeout=1.0)
        # News is no reason to fail: the desk may be on a node that was just lost.
        with contextlib.suppress(RayError):
            for news in ray.get(self._context.desk.collect.remote(), timeout=10):
                self._display.news(news)
        for ref in done:
            stage = self._running.pop(ref)
            try:
                finished: Finished = ray.get(ref)
            except DamagedArtifact as error:
                self._make_again(error)
                continue
            except RayTaskError as error:
                self._failed(stage, error, _stage_error(stage, error))
                continue
            except RayError as error:
                reason = str(error).strip().splitlines()[0]
                self._failed(stage, error, PracError(f"stage {stage.name} failed: {reason}"))
                continue
            self.finished[stage.name] = finished
            self.ran.add(stage.name)
            self._display.finished(stage, dict(finished.values))

    def _failed(self, stage: Stage, error: RayError, told: PracError) -> None:
        """A stage failed: the whole run ends. `told` is the error in one line."""
        raise told from error

    def _make_again(self, error: DamagedArtifact) -> None:
        """A damaged input: revoke its run and let its stage run again."""
        # Ray's own error says the same with the worker's whole traceback.
        damaged, said = error.finished, f"{DamagedArtifact(error.finished, error.what)}"
        runs = self._damages.setdefault(damaged.key, set())
        if damaged.run_id in runs:
            return  # Another stage read the same run before it was made again.
        runs.add(damaged.run_id)
        if len(runs) > _MAX_DAMAGES:
            raise PracError(f"{said}, again after {_MAX_DAMAGES} new runs; check the storage")
        self._display.say(f"{said}: it is made again")
        self._context.store.revoke(damaged, error.what)
        for name, finished in list(self.finished.items()):
            if finished.run_id == damaged.run_id:
                if self._graph.stages[name].kind == "dense":
                    self._context.work(damaged.key).delete()
                del self.finished[name]


def _stage_error(stage: Stage, error: RayTaskError) -> PracError:
    """The stage's own error in one line; Ray's holds the whole traceback of the worker."""
    cause = error.cause if isinstance(error.cause, BaseException) else error
    if isinstance(cause, PracError):
        failed = PracError(f"stage {stage.name}: {cause}")
        failed.exit_status = cause.exit_status
        return failed
    lines = str(error).strip().splitlines()
    return PracError(f"stage {stage.name} failed: {lines[-1] if lines else type(cause).__name__}")
