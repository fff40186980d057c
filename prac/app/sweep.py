"""A sweep over the selection and what follows from it: Ray Tune proposes, the stages are shared."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from prac.app.options import Options
from prac.app.pipeline import Pipeline
from prac.app.plan import print_plan
from prac.config.sections import Recipe
from prac.errors import ConfigError, PracError
from prac.fingerprint import fingerprint
from prac.lottery.graph import Graph, Stage
from prac.report.front import SweepResults, best_trial, print_front, write_front
from prac.sweep.outcome import (
    best_configuration,
    sweep_json,
    sweep_metrics,
    sweep_parameters,
)
from prac.sweep.space import SweepOptions, Values, label, varied
from prac.tracking.store import DamagedArtifact, Finished
from prac.tracking.sweeps import RESULTS, SweepLog

if TYPE_CHECKING:
    from prac.distributed.sweep.foreman import Foreman

_VERSION = 1


def run_sweep(
    recipe: Recipe,
    options: Options,
    sweep: SweepOptions,
    console: Console,
    command: Callable[[Values], str],
) -> dict[str, Any]:
    """Run a sweep, or print its plan; returns what is printed as the last line.

    command: the command line that runs the whole pipeline at a point. The same call after a kill
    goes on: all its finished stages are found. Raises ConfigError before anything starts.
    """
    return _Sweep(recipe, options, sweep, console, command).run()


class _Sweep:
    def __init__(
        self,
        recipe: Recipe,
        options: Options,
        sweep: SweepOptions,
        console: Console,
        command: Callable[[Values], str],
    ) -> None:
        self.options, self.sweep, self.console, self.command = options, sweep, console, command
        self.points = sweep.space.points()
        self.probes = sweep.space.probes()
        for values in self.points or [*self.probes, *sweep.space.mixes()]:
            varied(recipe, values)
        self.base = Pipeline(recipe, options, console)
        request = self.base.request
        if recipe.search.rounds not in request.judged_rounds:
            raise ConfigError(
                f"--judge {options.judge} leaves the last tickets untested, which a sweep "
                "compares; allowed: last, all, or rounds with the last among them"
            )
        self.key = self._key()
        self.log = SweepLog(self.base.store, self.key, request.data)
        if sweep.resume and not self.log.started:
            raise ConfigError(
                f"--resume: no sweep like this was begun in {self.base.store.tracking_uri}; leave "
                "--resume out to begin it"
            )

    def _key(self) -> str:
        """Of all that decides what the sweep tries and finds; the machinery is not in it."""
        space = self.sweep.space
        stages = [
            s.key for s in self.base.graph.stages.values() if s.kind not in ("ticket", "report")
        ]
        asha = self.sweep.grace_rounds if self.sweep.asha else None
        return fingerprint({"sweep": _VERSION, "stages": stages, "space": space, "asha": asha})

    def run(self) -> dict[str, Any]:
        """Plan, replay or run."""
        from prac.sweep.union import swept_stages, trial_graph

        request = self.base.request
        probes = [swept_stages(trial_graph(request, values)) for values in self.probes]
        common = set.intersection(*({stage.key for stage in stages} for stages in probes))
        shared = [stage for stage in probes[0] if stage.key in common]
        if self.options.plan:
            self._plan(shared)
            return {}
        finished = self.log.finished()
        if finished is not None:
            try:
                return self._replay(finished)
            except DamagedArtifact as error:
                self.console.print(f"{error}: it is made again", markup=False, soft_wrap=True)
                self.base.store.revoke(finished, error.what)
        return self._run(shared)

    def _union(self, shared: list[Stage]) -> dict[str, Stage]:
        """All stages known beforehand: of every point, or for Optuna the shared ones."""
        from prac.sweep.union import Union, trial_graph

        union = Union(stage.key for stage in shared)
        union.add(Graph({stage.name: stage for stage in shared}, ()), {})
        for values in self.points:
            union.add(trial_graph(self.base.request, values), values)
        return union.stages

    def _plan(self, shared: list[Stage]) -> None:
        stages = self._union(shared)
        keys = [stage.key for stage in stages.values()]
        found = self.base.store.find(self.base.request.data, keys)
        print_plan(Graph(stages, tuple(stages)), found, self.console)
        trials = len(self.points) or self.sweep.space.trials
        told = "" if self.points else "; each adds its own rounds to the shared stages above"
        self.console.print(
            f"{trials} trials, {len(shared)} stages shared by all of them{told}", soft_wrap=True
        )

    def _run(self, shared: list[Stage]) -> dict[str, Any]:
        started = time.time()
        stages = self._union(shared)
        found = self.base.store.find(self.base.request.data, [s.key for s in stages.values()])
        with self.base.working() as (context, cpus):
            from prac.distributed.progress import make_display
            from prac.distributed.sweep.foreman import Foreman
            from prac.distributed.sweep.trials import Exchange

            display = make_display([s for s in stages.values() if s.key not in found], self.console)
            exchange = Exchange.remote()  # type: ignore[attr-defined]
            foreman = Foreman(
                self.base.request,
                shared,
                context,
                display,
                cpus=cpus,
                exchange=exchange,
                log=self.log,
                numbers=self._numbers(),
            )
            tuning = self._start_tune(exchange)
            try:
                foreman.serve(tuning.is_alive)
            finally:
                display.close()
            foreman.close(stopped=self.sweep.asha and tuning.error is None)
        if tuning.error is not None:
            reason = (str(tuning.error).splitlines() or [type(tuning.error).__name__])[0]
            raise PracError(f"Ray Tune failed: {reason}") from tuning.error
        return self._finish(foreman, started)

    def _numbers(self) -> dict[str, int]:
        known = self.points or self.log.started
        return {label(values): number for number, values in enumerate(known, 1)}

    def _start_tune(self, exchange: Any) -> _Tuning:
        from prac.distributed.cluster import cluster_cpus
        from prac.distributed.sweep.trials import TuneSettings

        concurrency = self.sweep.concurrency
        if concurrency is None:
            concurrency = max(1, cluster_cpus() // self.options.cpus_per_round)
        settings = TuneSettings(
            concurrency=concurrency,
            asha=self.sweep.asha,
            grace_rounds=self.sweep.grace_rounds,
            rounds=self.base.recipe.search.rounds,
            storage=self.base.storage.child("tune").describe(),
            # Tune's own state is of no use to us, since stages are found by key: a name never
            # used before, so that nothing of it is taken for this run's.
            name=f"{self.key[:8]}-{int(time.time())}",
        )
        tuning = _Tuning(self.sweep.space, settings, exchange, self.log.started)
        tuning.start()
        return tuning

    def _finish(self, foreman: Foreman, started: float) -> dict[str, Any]:
        rows = foreman.rows
        request = self.base.request
        judged: dict[str, list[float]] = {}
        for name, stage in foreman.stages.items():
            if stage.kind == "judge" and stage.round_index == 0 and name in foreman.finished:
                found = float(foreman.finished[name].values["test_accuracy"])
                judged.setdefault(stage.architecture, []).append(found)
        dense = {architecture: sum(v) / len(v) for architecture, v in judged.items()}
        fields = ", ".join(axis.field for axis in self.sweep.space.axes)
        results = SweepResults(
            sweep=self.key,
            title=f"{', '.join(request.recipe.architectures)} on {request.data_name}: {fields}",
            num_training_samples=request.num_training,
            rows=tuple(rows),
            dense_test_accuracy=dense,
            best=best_trial(rows),
        )
        failed = [row for row in rows if row.state == "failed"]
        with tempfile.TemporaryDirectory(prefix="prac-") as scratch:
            folder = Path(scratch)
            self._write(results, folder)
            if failed or not rows:
                print_front(results, self.console)
                why = failed[0].note if failed else "none was begun"
                trials = len({row.trial for row in failed})
                raise PracError(
                    f"{trials} of {len(foreman.trials)} trials failed: {why} (the table so far is "
                    f"in {self._folder()}; the same command goes on)"
                )
            finished = self.log.commit(
                f"sweep {request.recipe.name}: {fields}",
                folder,
                started=started,
                parameters=sweep_parameters(request.recipe, self.sweep, len(foreman.trials)),
                metrics=sweep_metrics(results),
                note=f"{results.title}\n\nThe table is `trials.csv`, the front `front.png`.",
            )
        return self._tell(results, finished, len(foreman.ran))

    def _folder(self) -> Path:
        name = "".join(c if c.isalnum() or c in "-_" else "-" for c in self.base.recipe.name)
        return self.base.home / "prac-runs" / "sweeps" / f"{name}-{self.key[:8]}"

    def _write(self, results: SweepResults, folder: Path) -> None:
        write_front(results, folder)
        (folder / RESULTS).write_text(results.to_json())
        shutil.copytree(folder, self._folder(), dirs_exist_ok=True)

    def _replay(self, finished: Finished) -> dict[str, Any]:
        """The sweep is finished: show it from the store."""
        read = self.base.store.read
        results = read(finished, RESULTS, lambda path: SweepResults.from_json(path.read_text()))
        if not (self._folder() / "front.png").is_file():
            with tempfile.TemporaryDirectory(prefix="prac-") as scratch:
                self._write(results, Path(scratch))
        self.console.print("the sweep is finished: nothing was trained", highlight=False)
        return self._tell(results, finished, 0)

    def _tell(self, results: SweepResults, finished: Finished, ran: int) -> dict[str, Any]:
        print_front(results, self.console)
        folder, link = self._folder(), self.log.link()
        best = best_configuration(results, self.command)
        lines = [f"figure   {folder / 'front.png'}", f"trials   {link}"]
        if self.base.store.is_local:
            command = f"mlflow server --backend-store-uri {self.base.store.tracking_uri}"
            lines.append(f"         (start the page with: {command})")
        if best is not None:
            lines.append(f"best     trial {best['trial']}: {best['label']}")
            lines.append(f"run it   {best['command']}")
        for line in lines:
            self.console.print(line, highlight=False, markup=False, soft_wrap=True)
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
