"""The whole pipeline: check, look up, plan, run what is missing, report."""

from __future__ import annotations

import dataclasses
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from prac.analysis.results import Results, results_from_json, results_to_json
from prac.app.options import Options, home_of, request_of
from prac.app.plan import print_plan
from prac.config.sections import Recipe
from prac.data import open_source
from prac.errors import ConfigError
from prac.lottery.compose import build_graph
from prac.lottery.graph import Graph, Stage
from prac.lottery.stage_config import check_rewind
from prac.models import check_architecture
from prac.storage import Folder
from prac.tracking.store import (
    PIPELINES,
    TICKETS,
    DamagedArtifact,
    Finished,
    Metric,
    Store,
    default_tracking_uri,
)
from prac.tracking.tickets import model_name, note_seeds, ticket_locations, update_aliases
from prac.tracking.views import ticket_page

if TYPE_CHECKING:
    from prac.data.dataset import ImageDataset
    from prac.distributed.context import Context

RESULTS = "results.json"
_MAX_DAMAGES = 3


def run_pipeline(recipe: Recipe, options: Options, console: Console) -> dict[str, Any]:
    """Run a pipeline, or print its plan; returns what is printed as the last line.

    Raises ConfigError before anything starts for what can't be run, PracError for what fails.
    """
    pipeline = Pipeline(recipe, options, console)
    if options.plan:
        print_plan(pipeline.graph, pipeline.found, console)
        return {}
    return pipeline.run()


class Pipeline:
    """A recipe checked, its graph built, its store opened and looked up; nothing has started."""

    def __init__(self, recipe: Recipe, options: Options, console: Console) -> None:
        self.recipe, self.options, self.console = recipe, options, console
        self.home = home_of(options)
        self.source = open_source(recipe.data)
        self.summary = self.source.summary()
        self.request = request_of(recipe, options, self.source, self.summary.num_train)
        check_rewind(recipe, self.request.num_training)
        graph = build_graph(self.request)
        proxies = (
            s.config["proxy"].architecture for s in graph.stages.values() if s.kind == "proxy"
        )
        self.networks = dict.fromkeys((*recipe.architectures, *proxies))
        self._check_architectures(self.summary.image_shape)
        self.graph: Graph = graph.only(options.only) if options.only else graph
        # Opened here for its errors: a storage that can't be used is known before a cluster starts.
        self.storage = Folder(options.storage or self.home / "prac-runs")
        uri = options.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
        if uri is None:
            self._make_home()
            uri = default_tracking_uri(self.home)
        self.store = Store(uri)
        if options.plan and self.store.is_unmade:
            # A plan leaves nothing behind, and needs no MLflow to know that nothing is finished.
            self.found: dict[str, Finished] = {}
            return
        self.store.prepare()
        self.found = self._find()

    def _make_home(self) -> None:
        try:
            self.home.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"--home {self.home} can't be made: {error.strerror}") from error

    def _find(self) -> dict[str, Finished]:
        keys = (stage.key for stage in self.graph.stages.values())
        return self.store.find(self.request.data, keys)

    @cached_property
    def dataset(self) -> ImageDataset:
        """The images, decoded when they are first needed."""
        return self.source.load()

    def _check_architectures(self, image_shape: tuple[int, int, int] | None) -> None:
        if image_shape is not None:
            for architecture in self.networks:
                check_architecture(architecture, len(self.summary.class_names), image_shape)

    def run(self) -> dict[str, Any]:
        """Run what is missing, report; returns what is printed as the last line."""
        damages = 0
        while True:
            try:
                return self._run()
            except DamagedArtifact as error:
                # What only the report or a replay reads; what stages read is the executor's.
                damages += 1
                if damages > _MAX_DAMAGES:
                    raise
                self._revoke(error)
                self.found = self._find()

    def _run(self) -> dict[str, Any]:
        finished = self._sound()
        report = self.graph.stages["report"]
        if report.key in finished and not self.options.only:
            return self._replay(finished[report.key])
        to_run = self.graph.to_run(finished)
        by_name = {
            name: finished[stage.key]
            for name, stage in self.graph.stages.items()
            if stage.key in finished
        }
        ran: set[str] = set()
        if any(stage.kind != "report" for stage in to_run):
            by_name, ran = self._execute(finished, to_run)
        if self.options.only:
            return {"stages": {name: f.run_id for name, f in by_name.items()}}
        return self._report(by_name, ran)

    def _sound(self) -> dict[str, Finished]:
        """The finished stages with whole manifests; damaged ones are revoked and made again."""
        sound = {}
        for key, finished in self.found.items():
            try:
                values = self.store.values(finished)
                sound[key] = dataclasses.replace(finished, values=values)
            except DamagedArtifact as error:
                self._revoke(error)
        return sound

    def _revoke(self, error: DamagedArtifact) -> None:
        self.console.print(f"{error}: it is made again", soft_wrap=True, markup=False)
        self.store.revoke(error.finished, error.what)

    def _execute(
        self, finished: Mapping[str, Finished], to_run: list[Stage]
    ) -> tuple[dict[str, Finished], set[str]]:
        # Ray takes seconds to import; a plan and a replay need none of it.
        from prac.distributed.executor import Executor
        from prac.distributed.progress import make_display

        steps = sum(stage.max_steps for stage in to_run)
        self.console.print(
            f"{len(to_run)} stages to run, at most {steps:,} SGD steps; store "
            f"{self.store.tracking_uri}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
        with self.working() as (context, cpus):
            display = make_display([s for s in to_run if s.kind != "report"], self.console)
            executor = Executor(self.graph, finished, context, display, cpus=cpus)
            try:
                executor.run()
            finally:
                display.close()
            return executor.finished, executor.ran

    @contextmanager
    def working(self) -> Iterator[tuple[Context, int | None]]:
        """Connected to a cluster until the end: what every stage is handed, and the CPUs of a
        cluster of our own (None for one that others brought)."""
        dataset = self.dataset
        self._check_architectures(dataset.image_shape)
        import ray

        from prac.distributed.cluster import cluster_cpus, connected, num_nodes
        from prac.distributed.context import Context, Resources
        from prac.distributed.progress import NewsDesk

        options = self.options
        # At least as many CPUs as one dense run needs: fewer cores then share their time.
        workers = options.min_workers or self.request.workers
        needed = workers * options.cpus_per_round
        with connected(num_cpus=needed) as ours:
            if num_nodes() > 1:
                self._check_shared()
            if cluster_cpus() < needed:
                raise ConfigError(
                    f"{workers} workers of {options.cpus_per_round} CPUs don't fit "
                    f"the cluster's {cluster_cpus()} CPUs; lower --workers or --cpus-per-round"
                )
            context = Context(
                store=self.store,
                data=self.request.data,
                augment=self.recipe.augment,
                dataset=[ray.put(dataset)],
                desk=NewsDesk.remote(),  # type: ignore[attr-defined]
                resources=Resources(
                    storage=self.storage.describe(),
                    workers=self.request.workers,
                    min_workers=options.min_workers,
                    cpus_per_round=options.cpus_per_round,
                    gpus_per_worker=options.gpus_per_worker,
                    gpus_per_round=options.gpus_per_round,
                    max_failures=options.max_failures,
                ),
            )
            yield context, cluster_cpus() if ours else None

    def _check_shared(self) -> None:
        if self.store.is_local or (self.storage.is_local and not self.options.storage_is_shared):
            what = (
                f"the MLflow store {self.store.tracking_uri}"
                if self.store.is_local
                else f"the storage {self.storage.describe()}"
            )
            raise ConfigError(
                f"the cluster has several nodes and {what} is on one of them; set "
                "MLFLOW_TRACKING_URI to a server and --storage to s3://, gs:// or, with "
                "--storage-is-shared, to a folder that all nodes mount"
            )

    def _report(self, finished: dict[str, Finished], ran: set[str]) -> dict[str, Any]:
        started = time.time()
        from prac.analysis.outcome import collect_results, set_pictures
        from prac.report import write_report

        results = collect_results(
            self.request,
            self.graph,
            finished,
            ran,
            self.store,
            dataset=self.dataset,
            link=self._ticket_link(),
            locations=self._ticket_locations(),
        )
        stage = self.graph.stages["report"]
        with tempfile.TemporaryDirectory(prefix="prac-") as scratch:
            folder = Path(scratch)
            write_report(results, folder)
            (folder / RESULTS).write_text(results_to_json(results))
            report = self.store.commit(
                experiment=PIPELINES,
                key=stage.key,
                name=f"{self.recipe.name}: {', '.join(self.recipe.architectures)}",
                data=self.request.data,
                folder=folder,
                values={"seconds": time.time() - started},
                started=started,
                parameters=results.settings,
                metrics=_pipeline_metrics(results),
                tags={"recipe": self.recipe.name, "data_set": self.request.data_name},
                note=f"{results.title}\n\nOpen `report.html` among the artifacts.",
                pictures=set_pictures(self.graph, finished, self.store, self.dataset),
            )
            self._copy_report(folder)
        for row in results.rows:
            if row.ticket is not None and len(row.test_accuracies) > 1:
                dense = results.dense_test_accuracies.get(row.architecture, ())
                note_seeds(self.store, row.ticket, row.test_accuracies, dense)
        for architecture in self.recipe.architectures:
            update_aliases(self.store, model_name(self.request.data_name, architecture))
        return self._tell(results, report)

    def _replay(self, report: Finished) -> dict[str, Any]:
        """Nothing to run: show what was found, from the store."""
        results = self.store.read(report, RESULTS, lambda path: results_from_json(path.read_text()))
        folder = self._report_folder()
        if not (folder / "report.html").is_file():
            from prac.report import write_report

            with tempfile.TemporaryDirectory(prefix="prac-") as scratch:
                write_report(results, scratch)
                self._copy_report(Path(scratch))
        self.console.print("every stage is cached: nothing was trained", highlight=False)
        return self._tell(results, report)

    def _report_folder(self) -> Path:
        key = self.graph.stages["report"].key
        name = "".join(c if c.isalnum() or c in "-_" else "-" for c in self.recipe.name)
        return self.home / "prac-runs" / "reports" / f"{name}-{key[:8]}"

    def _copy_report(self, folder: Path) -> None:
        shutil.copytree(folder, self._report_folder(), dirs_exist_ok=True)

    def _ticket_locations(self) -> dict[str, str]:
        """Stage key to `models:/NAME/VERSION`."""
        locations: dict[str, str] = {}
        for architecture in self.recipe.architectures:
            name = model_name(self.request.data_name, architecture)
            locations |= ticket_locations(self.store, name)
        return locations

    def _ticket_link(self) -> str:
        """The page that shows the tickets: of the server, or of one started for a local store."""
        base = self.store.tracking_uri if not self.store.is_local else "http://127.0.0.1:5000"
        return ticket_page(base, self.store.experiment(TICKETS))

    def _tell(self, results: Results, report: Finished) -> dict[str, Any]:
        from prac.analysis.summary import summary_json
        from prac.report import print_table

        print_table(results, self.console)
        page = self._report_folder() / "report.html"
        lines = [f"report   {page}", f"tickets  {results.mlflow_link}"]
        if self.store.is_local:
            command = f"mlflow server --backend-store-uri {self.store.tracking_uri}"
            lines.append(f"         (start the page with: {command})")
        for line in lines:
            self.console.print(line, highlight=False, markup=False, soft_wrap=True)
        return summary_json(
            results,
            {"mlflow": str(results.mlflow_link), "run_id": report.run_id, "report": str(page)},
        )


def _pipeline_metrics(results: Results) -> Iterable[Metric]:
    for row in results.rows:
        label = f"{row.architecture}.{row.method}"
        known = {
            "test_accuracy": row.test_accuracy,
            "test_std": row.test_std,
            "validation_accuracy": row.validation_accuracy,
            "set_size": row.set_size,
            "search_steps": row.search_steps,
            "sparsity": row.sparsity,
        }
        for name, value in known.items():
            if value is not None:
                yield Metric(name=f"{label}/{name}", value=value, step=row.round)
