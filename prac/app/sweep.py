"""A sweep over the selection and what follows from it: Ray Tune proposes, the stages are shared."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prac.analysis.trials import SweepResults, best_trial
from prac.app.console import near
from prac.app.options import Options
from prac.app.pipeline import working
from prac.app.places import MlflowPlace, start_lines
from prac.app.planned import Planned, plan_pipeline
from prac.app.screen import RichScreen
from prac.app.sweep_plan import tell_sweep
from prac.config.recipe import Recipe
from prac.errors import ConfigError, PracError
from prac.fingerprint import fingerprint
from prac.lottery.graph import Graph, Stage
from prac.lottery.kept import Pipeline, needs_of
from prac.lottery.outputs import SWEEP
from prac.lottery.store import DamagedArtifact, Finished
from prac.report.front import print_front, write_front
from prac.schema import SchemaError
from prac.scratch import scratch_folder
from prac.storage import Folder
from prac.sweep.outcome import (
    best_configuration,
    dense_accuracies,
    sweep_json,
    sweep_metrics,
    sweep_parameters,
)
from prac.sweep.space import SweepOptions, Values, label, varied
from prac.sweep.union import overlaid, swept_stages, trial_graph
from prac.tracking.shown import Shown
from prac.tracking.sweeps import SweepLog

# Ray takes seconds to import: a plan of a sweep does without.
if TYPE_CHECKING:
    from prac.distributed.sweep.foreman import Foreman

_VERSION = 2


def run_sweep(
    recipe: Recipe,
    options: Options,
    sweep: SweepOptions,
    screen: RichScreen,
    command: Callable[[Values], str],
) -> dict[str, Any]:
    """Run a sweep, or print its plan; returns what is printed as the last line.

    command: the command line that runs the whole pipeline at a point. The same call after a kill
    goes on: all its finished stages are found. Raises ConfigError before anything starts.
    """
    if options.executor == "local":
        raise ConfigError("a sweep is run by Ray Tune; allowed: --executor ray")
    if options.searches > 1:
        raise ConfigError("--searches is for pipelines; a sweep's trials are searches themselves")
    planned = plan_pipeline(recipe, options)
    for values in sweep.space.points() or [*sweep.space.probes(), *sweep.space.mixes()]:
        varied(recipe, values)
    if recipe.search.rounds not in planned.request.judged_rounds:
        raise ConfigError(
            f"--judge {options.judge} leaves the last tickets untested, which a sweep "
            "compares; allowed: auto, found, last, all, or rounds with the last among them"
        )
    running = _Sweep(planned, sweep, screen, command)
    for line in planned.told:
        screen.line(line)
    return running.run()


class _Sweep:
    """A planned sweep. key: of all that decides what it tries and finds, without the machinery."""

    def __init__(
        self,
        planned: Planned,
        sweep: SweepOptions,
        screen: RichScreen,
        command: Callable[[Values], str],
    ) -> None:
        self.planned, self.sweep, self.screen, self.command = planned, sweep, screen, command
        self.points = sweep.space.points()
        self.place = MlflowPlace(planned)
        stages = [stage.key for stage in swept_stages(planned.graph)]
        asha = sweep.grace_rounds if sweep.asha else None
        read = {"sweep": _VERSION, "stages": stages, "space": sweep.space, "asha": asha}
        self.key = fingerprint(read)

    def run(self) -> dict[str, Any]:
        request = self.planned.request
        probes = [swept_stages(trial_graph(request, v)) for v in self.sweep.space.probes()]
        common = set.intersection(*({stage.key for stage in stages} for stages in probes))
        shared = [stage for stage in probes[0] if stage.key in common]
        parts = overlaid(request, shared, self.points)
        if self.planned.options.plan:
            return tell_sweep(self.planned, self.sweep, shared, parts, self.place, self.screen)
        stages = {stage.name: stage for _, part in parts for stage in part}
        graph = Graph(stages, tuple(stages))
        self._note(stages.values())
        found = self.place.found(graph)
        log = SweepLog(self.place.mlflow, self.key, request.data)
        begun = log.started(self.sweep.space.holds)
        if self.sweep.resume and not begun:
            raise ConfigError(
                f"--resume: no sweep like this was begun in {self.place.where}; leave --resume out "
                "to begin it"
            )
        finished = log.finished()
        if finished is not None:
            try:
                return self._replay(finished, log)
            except DamagedArtifact as error:
                self.screen.line(f"{error}: it is made again")
                self.place.store.revoke(error.finished, error.what)
        left = [stage for stage in stages.values() if stage.key not in found]
        return self._run(shared, left, log, begun)

    def _note(self, stages: Iterable[Stage]) -> None:
        request, fields = self.planned.request, ", ".join(a.field for a in self.sweep.space.axes)
        self.place.begin(
            Pipeline(
                key=self.key,
                title=f"sweep {request.recipe.name}: {fields}",
                data=request.data,
                data_name=request.data_name,
                began=time.time(),
                needs={self.key: "sweep", **needs_of(stages)},
            )
        )

    def _run(
        self, shared: list[Stage], left: list[Stage], log: SweepLog, begun: list[Values]
    ) -> dict[str, Any]:
        started = time.time()
        self.place.prove()
        storage = Folder(self.planned.options.storage or self.planned.work)
        with working(self.planned, self.place, storage) as (context, room):
            from prac.distributed.executor import RayExecutor
            from prac.distributed.sweep.foreman import Foreman
            from prac.distributed.sweep.trials import RayExchange

            display = self.screen.display(left, self.planned.request.num_training)
            exchange = RayExchange.open()
            known = self.points or begun
            foreman = Foreman(
                request=self.planned.request,
                shared=shared,
                executor=RayExecutor(context, self.place.store, display, room=room),
                exchange=exchange,
                log=log,
                numbers={label(values): number for number, values in enumerate(known, 1)},
                note=self._note,
            )
            tuning = self._start_tune(exchange, storage, begun)
            try:
                foreman.serve(tuning.is_alive)
            finally:
                display.close()
            foreman.close(stopped=self.sweep.asha and tuning.error is None)
        if tuning.error is not None:
            reason = (str(tuning.error).splitlines() or [type(tuning.error).__name__])[0]
            raise PracError(f"Ray Tune failed: {reason}") from tuning.error
        return self._finish(foreman, log, started)

    def _start_tune(self, exchange: Any, storage: Folder, begun: list[Values]) -> _Tuning:
        from prac.distributed.cluster import cluster_cpus
        from prac.distributed.sweep.trials import TuneSettings

        concurrency = self.sweep.concurrency
        if concurrency is None:
            concurrency = max(1, cluster_cpus() // self.planned.options.cpus_per_round)
        settings = TuneSettings(
            concurrency=concurrency,
            asha=self.sweep.asha,
            grace_rounds=self.sweep.grace_rounds,
            rounds=self.planned.recipe.search.rounds,
            storage=storage.child("tune").describe(),
            # Tune's own state is of no use to us, since stages are found by key: a name never
            # used before, so that nothing of it is taken for this run's.
            name=f"{self.key[:8]}-{int(time.time())}",
        )
        tuning = _Tuning(self.sweep.space, settings, exchange, begun)
        tuning.start()
        return tuning

    def _finish(self, foreman: Foreman, log: SweepLog, started: float) -> dict[str, Any]:
        rows, request = foreman.rows, self.planned.request
        fields = ", ".join(axis.field for axis in self.sweep.space.axes)
        results = SweepResults(
            sweep=self.key,
            title=f"{', '.join(request.recipe.architectures)} on {request.data_name}: {fields}",
            num_training_samples=request.num_training,
            rows=tuple(rows),
            dense_test_accuracy=dense_accuracies(foreman.stages.values(), foreman.made),
            best=best_trial(rows),
            num_points=self.sweep.space.small_size,
        )
        failed = [row for row in rows if row.state == "failed"]
        with scratch_folder() as scratch:
            folder = Path(scratch)
            self._write(results, folder)
            if failed or not rows:
                print_front(results, self.screen.console)
                why = failed[0].note if failed else "none was begun"
                trials = len({row.trial for row in failed})
                raise PracError(
                    f"{trials} of {len(foreman.trials)} trials failed: {why} (the table so far is "
                    f"in {self._folder()}; the same command goes on)"
                )
            shown = Shown(
                title=f"sweep {request.recipe.name}: {fields}",
                note=f"{results.title}\n\nThe table is `trials.csv`, the front `front.png`.",
                parameters=sweep_parameters(request.recipe, self.sweep, len(foreman.trials)),
                metrics=sweep_metrics(results),
            )
            finished = log.commit(
                folder, shown, results=results.to_json(), config=self.sweep.space, started=started
            )
        return self._tell(results, finished, log, len(foreman.executor.ran))

    def _folder(self) -> Path:
        return self.planned.work / "sweeps" / self.planned.file_name(self.key)

    def _write(self, results: SweepResults, folder: Path) -> None:
        write_front(results, folder)
        SWEEP.write(folder, results.to_json())
        shutil.copytree(folder, self._folder(), dirs_exist_ok=True)

    def _replay(self, finished: Finished, log: SweepLog) -> dict[str, Any]:
        """The sweep is finished: show it from the store."""
        try:
            results = SweepResults.from_json(self.place.store.read(finished)[SWEEP])
        except SchemaError as error:
            raise DamagedArtifact(finished, f"{SWEEP.name} can't be read ({error})") from error
        if not (self._folder() / "front.png").is_file():
            with scratch_folder() as scratch:
                self._write(results, Path(scratch))
        self.screen.line("the sweep is finished: nothing was trained")
        return self._tell(results, finished, log, 0)

    def _tell(
        self, results: SweepResults, finished: Finished, log: SweepLog, ran: int
    ) -> dict[str, Any]:
        print_front(results, self.screen.console)
        folder, link = self._folder(), log.link()
        best = best_configuration(results, self.command)
        lines = [f"figure   {near(folder / 'front.png')}", f"trials   {link}"]
        lines += start_lines(self.place.mlflow)
        if best is not None:
            lines.append(f"best     trial {best['trial']}: {best['label']}")
            lines.append(f"run it   {best['command']}")
        for line in lines:
            self.screen.line(line, whole=True)
        where = {"run_id": finished.run_id, "mlflow": link, "folder": str(folder)}
        return {**where, "stages_run": ran, "best": best, **sweep_json(results)}


class _Tuning(threading.Thread):
    """Tune beside the foreman, who has the main thread, where interrupts arrive."""

    def __init__(self, *work: Any) -> None:
        super().__init__(name="tune", daemon=True)
        self._work = work
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            from prac.distributed.sweep.trials import run_tune

            run_tune(*self._work)
        except BaseException as error:
            self.error = error
