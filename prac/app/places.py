"""Where a pipeline keeps what it made: MLflow, or a folder."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from prac.analysis.metric import Metric
from prac.analysis.results import Results, RoundRow, results_to_json
from prac.app.console import near
from prac.app.planned import Planned
from prac.errors import ConfigError
from prac.lottery.claims import claim
from prac.lottery.folder_store import FolderStore
from prac.lottery.graph import Graph, Stage
from prac.lottery.kept import FolderKept, Kept, Pipeline
from prac.lottery.outputs import PAGES, RESULTS, Facts, File, Made, TicketFacts
from prac.lottery.store import Finished, Store, StoreAway, seal
from prac.report.verdict import earned_aliases
from prac.scratch import scratch_folder
from prac.storage import Folder
from prac.tracking.address import default_tracking_uri
from prac.tracking.connection import TICKETS
from prac.tracking.kept import MlflowKept
from prac.tracking.shown import Picture, Shown
from prac.tracking.store import MlflowStore
from prac.tracking.tickets import (
    model_name,
    model_of,
    note_seeds,
    show_charts,
    ticket_locations,
    update_aliases,
)
from prac.tracking.views import ticket_page

# A plan and a replay open a place and do without torch.
if TYPE_CHECKING:
    from prac.ticket.format import Ticket


class Place(Protocol):
    """A store, with what is told of it."""

    @property
    def store(self) -> Store:
        """The finished stages."""

    @property
    def where(self) -> str:
        """As a user would write it."""

    @property
    def is_local(self) -> bool:
        """Whether its files lie on this machine."""

    def begin(self, pipeline: Pipeline) -> None:
        """Note what a pipeline needs, before it looks up what is finished: nothing of that goes."""

    def found(self, graph: Graph, *, plan: bool = False) -> dict[str, Finished]:
        """The finished stages of a graph, by key. plan: leave nothing behind."""

    def prove(self) -> None:
        """See that what is made can be kept, before it is made. Raises StoreError."""

    def tickets(self, graph: Graph) -> dict[str, str]:
        """Stage key to where `Ticket.load` finds the ticket."""

    def link(self) -> str | None:
        """Where tickets can be browsed."""

    def keep(
        self, stage: Stage, results: Results, pages: Path, made: Mapping[str, Made], started: float
    ) -> Finished:
        """Keep the report of a pipeline."""

    def lines(self) -> list[str]:
        """What people are told in the end."""


class FolderPlace:
    """A folder: `stages/` in it."""

    is_local = True

    def __init__(self, planned: Planned) -> None:
        self._planned = planned
        self.folder = planned.work / "stages"
        self.store: Store = FolderStore.of_runs(planned.work)
        self.where = str(self.folder)

    def begin(self, pipeline: Pipeline) -> None:
        _note(FolderKept(self.folder), pipeline, self._planned)

    def found(self, graph: Graph, *, plan: bool = False) -> dict[str, Finished]:
        return self.store.find(self._planned.request.data, _keys(graph))

    def prove(self) -> None:
        """By a file that goes at once."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=self.folder).close()
        except OSError as error:
            raise StoreAway(f"the store {self.folder} can't be written ({error})") from error

    def tickets(self, graph: Graph) -> dict[str, str]:
        stages = (stage for stage in graph.stages.values() if stage.kind == "ticket")
        return {stage.key: str(self.folder / stage.key / "ticket") for stage in stages}

    def link(self) -> str | None:
        return None

    def keep(
        self, stage: Stage, results: Results, pages: Path, made: Mapping[str, Made], started: float
    ) -> Finished:
        files: dict[File[Any], Any] = {PAGES: pages, RESULTS: results_to_json(results)}
        made_report = Made(facts=Facts(), files=files)
        data = self._planned.request.data
        return self.store.commit(stage, made_report, data=data, started=started)

    def lines(self) -> list[str]:
        return [f"tickets  {near(self.folder)}"]


class MlflowPlace:
    """A tracking server or database; MLflow is imported when it is first asked."""

    def __init__(self, planned: Planned) -> None:
        self._planned = planned
        self.mlflow = MlflowStore(default_tracking_uri(planned.home), dress_ticket)
        self.store: Store = self.mlflow
        self.where = self.mlflow.shown_uri
        self.is_local = self.mlflow.database is not None

    def begin(self, pipeline: Pipeline) -> None:
        """As a run; an embedded database that isn't there is made."""
        self._prepare()
        _note(MlflowKept(self.mlflow), pipeline, self._planned)

    def _prepare(self) -> None:
        if self.mlflow.is_unmade:
            make_home(self._planned.home)
        self.mlflow.prepare()

    def found(self, graph: Graph, *, plan: bool = False) -> dict[str, Finished]:
        """By key; an embedded database that isn't there is made, but not for a plan."""
        # A plan leaves nothing behind, and needs no MLflow to know that nothing is finished.
        if plan and self.mlflow.is_unmade:
            return {}
        self._prepare()
        found = self.store.find(self._planned.request.data, _keys(graph))
        if not plan and self._register_again(graph, found):
            # It names the tickets by their aliases.
            found.pop(graph.stages["report"].key, None)
        return found

    def _register_again(self, graph: Graph, found: Mapping[str, Finished]) -> bool:
        """Finished tickets of a registered model that was deleted are registered again."""
        tickets = [s for s in graph.stages.values() if s.kind == "ticket" and s.key in found]
        named = {stage.architecture for stage in tickets}
        gone = {architecture for architecture in named if not self._located(architecture)}
        if not gone:
            return False
        from prac.tracking.ticket_again import register_again  # torch

        lost = [found[stage.key] for stage in tickets if stage.architecture in gone]
        again = [register_again(self.mlflow, finished) for finished in lost]
        return any(again)

    def prove(self) -> None:
        self.mlflow.prove()

    def _model(self, architecture: str) -> str:
        request = self._planned.request
        return model_of(self.mlflow, request.data_name, architecture, request.data)

    def tickets(self, graph: Graph) -> dict[str, str]:
        locations: dict[str, str] = {}
        for architecture in self._planned.request.recipe.architectures:
            locations |= self._located(architecture)
        return locations

    def _located(self, architecture: str) -> dict[str, str]:
        # Earlier versions kept tickets of several data sets under one name.
        shared = model_name(self._planned.request.data_name, architecture)
        locations: dict[str, str] = {}
        for name in dict.fromkeys((shared, self._model(architecture))):
            locations |= ticket_locations(self.mlflow, name)
        return locations

    def link(self) -> str | None:
        """The page of the server, or of one that is started for a local store."""
        return ticket_page(self.mlflow.page, self.mlflow.experiment(TICKETS))

    def keep(
        self, stage: Stage, results: Results, pages: Path, made: Mapping[str, Made], started: float
    ) -> Finished:
        """As a run with its metrics and pictures; tickets get their aliases."""
        request, graph = self._planned.request, self._planned.graph
        recipe = request.recipe
        shown = Shown(
            title=_run_title(results, request.data_name),
            note=f"{results.title}\n\nOpen `report.html` among the artifacts.",
            parameters=results.settings,
            metrics=list(_metrics(results.rows)),
            tags={"recipe": recipe.name, "data_set": request.data_name},
            pictures=_sheets(graph, made, self._planned),
        )
        with scratch_folder() as scratch:
            folder = Path(scratch)
            PAGES.write(folder, pages)
            RESULTS.write(folder, results_to_json(results))
            seal(folder, stage, Made(facts=Facts()))
            return self.mlflow.log(
                stage,
                folder,
                shown,
                data=request.data,
                started=started,
                # Before it counts as finished: who is killed here names them the next time.
                before_finish=lambda *_: self._name_tickets(results),
            )

    def _name_tickets(self, results: Results) -> None:
        """Tell the versions what their judgements found, and who has earned an alias."""
        for row in results.rows:
            if row.ticket is not None and len(row.test_accuracies) > 1:
                known = {
                    "test_accuracy": row.test_accuracies,
                    "validation_accuracy": row.validation_accuracies,
                    "dense_test_accuracy": results.dense_test_accuracies.get(row.architecture, ()),
                }
                note_seeds(self.mlflow, row.ticket, known)
        for architecture, chosen in earned_aliases(results).items():
            update_aliases(self.mlflow, self._model(architecture), chosen)
        show_charts(self.mlflow)

    def lines(self) -> list[str]:
        return [f"tickets  {self.link()}", *start_lines(self.mlflow)]


def start_lines(mlflow: MlflowStore) -> list[str]:
    """How the pages of a store of this machine are started; nothing of a server."""
    if not mlflow.is_local:
        return []
    file = mlflow.database
    uri = mlflow.shown_uri if file is None else f"sqlite:///{near(file)}"
    return [f"         start it: mlflow server --backend-store-uri {shlex.quote(uri)}"]


def open_place(planned: Planned) -> Place:
    """The place that the options name; nothing is made yet."""
    return FolderPlace(planned) if planned.options.executor == "local" else MlflowPlace(planned)


def read_found(place: Place, graph: Graph) -> dict[str, Made]:
    """What the finished stages of a graph made, by name; leaves nothing behind."""
    found = place.found(graph, plan=True)
    return {
        name: place.store.read(found[stage.key])
        for name, stage in graph.stages.items()
        if stage.key in found
    }


def _note(kept: Kept, pipeline: Pipeline, planned: Planned) -> None:
    kept.note(pipeline)
    storage = Folder(planned.options.storage or planned.work)
    claim(storage, kept.identity(settle=True), pipeline)


def make_home(home: Path) -> None:
    """Make the folder for what a run leaves. Raises ConfigError."""
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--home {home} can't be made: {error.strerror}") from error


def dress_ticket(ticket: Ticket, facts: TicketFacts, folder: Path) -> None:
    """Add a picture of a ticket's layers."""
    from prac.report.layers import save_layers  # matplotlib: only where a ticket is made

    save_layers(ticket.mask, facts.title, folder / "figures" / "layers.png")


def _keys(graph: Graph) -> Iterable[str]:
    return (stage.key for stage in graph.stages.values())


def _sheets(graph: Graph, made: Mapping[str, Made], planned: Planned) -> list[Picture]:
    """Samples of every PrAC set as a sheet: a key for each network, a step for each round."""
    from prac.analysis.outcome import set_samples  # torch
    from prac.report.figures.sheet import sheet  # matplotlib

    found = set_samples(graph, made, planned.dataset)
    return [
        Picture(
            key=f"prac_set_{''.join(c if c.isalnum() else '_' for c in architecture)}",
            png=sheet(samples),
            step=index,
        )
        for (architecture, index), samples in found.items()
        if samples
    ]


def _run_title(results: Results, data: str) -> str:
    """The methods first, as tickets have them."""
    methods = dict.fromkeys(row.method for row in results.rows)
    networks = dict.fromkeys(row.architecture for row in results.rows)
    return f"{', '.join(methods)}: {', '.join(networks)}, {data}"


def _metrics(rows: Iterable[RoundRow]) -> Iterable[Metric]:
    for row in rows:
        for name, value in _row_numbers(row).items():
            if value is not None:
                label = f"{row.architecture}.{row.method}/{name}"
                yield Metric(name=label, value=value, step=row.round)


def _row_numbers(row: RoundRow) -> Mapping[str, float | None]:
    """Of tickets `validation_accuracy` is of their judgement: that of a round has another name."""
    return {
        "test_accuracy": row.test_accuracy,
        "test_std": row.test_std,
        "round_validation": row.validation_accuracy,
        "set_size": row.set_size,
        "search_steps": row.search_steps,
        "sparsity": row.sparsity,
    }
