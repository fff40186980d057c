"""The whole pipeline: plan, look up, run what is missing, report."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prac.analysis.results import Results, results_from_json, results_to_json
from prac.analysis.summary import summary_json
from prac.app.console import near
from prac.app.estimate import tell_costs
from prac.app.options import Options
from prac.app.places import MlflowPlace, Place, make_home, open_place
from prac.app.planned import Planned, bytes_left, plan_pipeline
from prac.app.screen import Screen
from prac.app.unread import unread_settings
from prac.config.recipe import Recipe
from prac.errors import ConfigError
from prac.lottery.graph import Stage
from prac.lottery.kept import pipeline_of
from prac.lottery.local import MAX_DAMAGES, LocalEnv, Ran, run_local
from prac.lottery.outputs import RESULTS, Made
from prac.lottery.store import DamagedArtifact, Finished, check_files
from prac.report.csv_files import write_csv
from prac.schema import SchemaError
from prac.scratch import scratch_folder
from prac.storage import Folder

if TYPE_CHECKING:
    from prac.data.dataset import ImageDataset
    from prac.distributed.env import RayEnv
    from prac.lottery.room import Room


def run_pipeline(recipe: Recipe, options: Options, screen: Screen) -> dict[str, Any]:
    """Run a pipeline, or print its plan; returns what is printed as the last line.

    Raises ConfigError before anything starts for what can't be run, PracError for what fails.
    """
    planned = plan_pipeline(recipe, options)
    place = open_place(planned)
    running = None if options.plan else _Running(planned, place, screen)
    for line in planned.told:
        screen.line(line)
    for name, trial in planned.trials.items():
        for line in trial.lines(name, recipe.prune):
            screen.line(line)
    for setting in unread_settings(planned):
        screen.line(f"nothing of this run reads {setting}")
    if running is not None:
        return running.run()
    found = place.found(planned.graph, plan=True)
    screen.plan(planned.graph, found)
    return tell_costs(planned, found, bytes_left(planned, planned.graph.to_run(found)), screen)


class _Running:
    """A planned pipeline, with the place that keeps what it makes."""

    def __init__(self, planned: Planned, place: Place, screen: Screen) -> None:
        self.planned, self.place, self.screen = planned, place, screen
        self.graph = planned.graph
        self._told: list[str] = []
        # Opened here for its errors: a storage that can't be used is known before a cluster starts.
        self.storage = Folder(planned.options.storage or planned.work)

    def run(self) -> dict[str, Any]:
        """Run what is missing, report; returns what is printed as the last line."""
        make_home(self.planned.home)
        self.storage.make()
        self.place.begin(pipeline_of(self.planned.request, self.graph, time.time()))
        found = self.place.found(self.graph)
        damages: Counter[str] = Counter()
        while True:
            try:
                return self._run(found)
            except DamagedArtifact as error:
                # What only the report or a replay reads; what stages read is the executor's.
                damages[error.finished.key] += 1
                if damages[error.finished.key] > MAX_DAMAGES:
                    raise
                self.screen.line(f"{error}: it is made again")
                self.place.store.revoke(error.finished, error.what)
                found = self.place.found(self.graph)

    def _run(self, found: Mapping[str, Finished]) -> dict[str, Any]:
        report = self.graph.stages["report"]
        tickets = {stage.key for stage in self.graph.stages.values() if stage.kind == "ticket"}
        if self.place.is_local:
            # Nobody reads them again here, and they are what is taken away.
            for key in found.keys() & tickets:
                check_files(self.place.store.read(found[key]))
        if not found.keys() >= tickets:
            # Its page leads to them: it is told anew with those that are made again.
            found = {key: finished for key, finished in found.items() if key != report.key}
        if report.key in found and not self.planned.options.only:
            return self._replay(found[report.key])
        by_name = {n: found[s.key] for n, s in self.graph.stages.items() if s.key in found}
        # A manifest that is damaged is found here, before anything is built on it.
        for finished in by_name.values():
            _ = self.place.store.read(finished).facts
        to_run = [stage for stage in self.graph.to_run(found) if stage.kind != "report"]
        ran: Collection[str] = ()
        if to_run:
            steps = sum(stage.max_steps for stage in to_run)
            told = f"{len(to_run)} stages to run, at most {steps:,} SGD steps; store "
            self.screen.line(told + self.place.where)
            self.place.prove()
            done = self._execute(by_name, to_run)
            by_name, ran = done.finished, done.ran
        if self.planned.options.only:
            return {"stages": {name: finished.run_id for name, finished in by_name.items()}}
        return self._report(by_name, ran)

    def _execute(self, finished: Mapping[str, Finished], to_run: list[Stage]) -> Ran:
        display = self.screen.display(to_run, self.planned.request.num_training)
        try:
            if self.planned.options.executor == "local":
                return run_local(self.graph, self._local_env(display), self.place.store)
            # Ray takes seconds to import; a plan, a replay and a local run need none of it.
            from prac.distributed.executor import RayExecutor

            self._dataset()
            with working(self.planned, self.place, self.storage) as (context, room):
                executor = RayExecutor(context, self.place.store, display, room=room)
                return executor.run(self.graph, finished)
        finally:
            display.close()

    def _dataset(self) -> ImageDataset:
        """The images; what only they tell is said when they are decoded."""
        dataset = self.planned.dataset
        known = self.planned.summary.origin.notes + tuple(self._told)
        for note in dataset.origin.notes:
            if note not in known:
                self.screen.line(f"data {dataset.name}: {note}")
                self._told.append(note)
        return dataset

    def _local_env(self, display: Any) -> LocalEnv:
        planned = self.planned
        return LocalEnv(
            data=planned.request.data,
            load=self._dataset,
            augment=planned.recipe.augment,
            storage=self.storage,
            device="cuda" if planned.given.gpus else "cpu",
            threads=planned.options.cpus_per_round,
            deterministic=planned.options.deterministic,
            display=display,
        )

    def _report(self, finished: Mapping[str, Finished], ran: Collection[str]) -> dict[str, Any]:
        from prac.analysis.outcome import collect_results  # torch: a replay does without

        started = time.time()
        made: dict[str, Made] = {n: self.place.store.read(f) for n, f in finished.items()}
        results = collect_results(
            self.planned.request,
            self.graph,
            made,
            ran,
            dataset=self.planned.dataset,
            link=self.place.link(),
            locations=self.place.tickets(self.graph),
        )
        stage = self.graph.stages["report"]
        with scratch_folder() as scratch:
            pages = Path(scratch)
            self._write(results, pages)
            report = self.place.keep(stage, results, pages, made, started)
            shutil.copytree(pages, self._report_folder(), dirs_exist_ok=True)
        return self._tell(results, report)

    def _write(self, results: Results, pages: Path) -> None:
        missing = [name for name in ("matplotlib", "jinja2") if find_spec(name) is None]
        if not missing:
            from prac.report.html import write_report  # matplotlib and jinja2 take most of a second

            write_report(results, pages)
            return
        write_csv(results, pages / "tables")
        RESULTS.write(pages, results_to_json(results))
        named = " and ".join(missing)
        self.screen.line(f"{named} not installed: the report is JSON and CSV, without its page")

    def _replay(self, report: Finished) -> dict[str, Any]:
        """Nothing to run: show what was found, from the store."""
        try:
            results = results_from_json(self.place.store.read(report)[RESULTS])
        except SchemaError as error:
            raise DamagedArtifact(report, f"{RESULTS.name} can't be read ({error})") from error
        if not (self._report_folder() / "report.html").is_file():
            with scratch_folder() as scratch:
                self._write(results, Path(scratch))
                shutil.copytree(scratch, self._report_folder(), dirs_exist_ok=True)
        self.screen.line("every stage is cached: nothing was trained")
        return self._tell(results, report)

    def _report_folder(self) -> Path:
        name = self.planned.file_name(self.graph.stages["report"].key)
        return self.planned.work / "reports" / name

    def _tell(self, results: Results, report: Finished) -> dict[str, Any]:
        self.screen.results(results)
        page = self._report_folder() / "report.html"
        told = page if page.is_file() else page.parent
        for line in (f"report   {near(told)}", *self.place.lines()):
            self.screen.line(line, whole=True)
        link = results.mlflow_link
        where = {"run_id": report.run_id, "report": str(told)}
        return summary_json(results, where if link is None else {"mlflow": link, **where})


def resources_of(planned: Planned, storage: Folder) -> Any:
    """What of a cluster a pipeline asks for."""
    from prac.distributed.context import Resources  # Ray

    options = planned.options
    return Resources(
        **vars(planned.shares),
        storage=storage.describe(),
        min_workers=options.min_workers,
        gpus=planned.given.gpus,
        deterministic=options.deterministic,
    )


def working(
    planned: Planned, place: Place, storage: Folder
) -> AbstractContextManager[tuple[RayEnv, Room | None]]:
    """Connected to a cluster until the end: what every stage is handed, and the room of a cluster
    of our own (None for one that others brought)."""
    dataset = planned.dataset  # decoded, and the networks tried, before anything starts
    from prac.distributed.at_work import at_work  # Ray

    return at_work(
        dataset,
        data=planned.request.data,
        augment=planned.recipe.augment,
        resources=resources_of(planned, storage),
        check_shared=lambda: _check_shared(place, storage, planned.options),
    )


def _check_shared(place: Place, storage: Folder, options: Options) -> None:
    local = isinstance(place, MlflowPlace) and place.mlflow.is_local
    if options.storage_is_shared and not local:
        return
    written = place.mlflow.clients_write if isinstance(place, MlflowPlace) else None
    if local or written or storage.is_local:
        what = f"the storage {storage.describe()}"
        if local:
            what = f"the MLflow store {place.where}"
        elif written:
            # Every node would look for what another has written.
            what = f"the folder of artifacts {written} of the MLflow server {place.where}"
        raise ConfigError(
            f"the cluster has several nodes and {what} is on one of them; set "
            "MLFLOW_TRACKING_URI to a server that takes artifacts itself and --storage to s3://, "
            "gs:// or, with --storage-is-shared, to a folder that all nodes mount"
        )
