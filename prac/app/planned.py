"""A pipeline that is checked and planned; nothing is made, opened or started yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from prac.app.devices import Given, find_devices, given
from prac.app.means import precision_of, workers_of
from prac.app.options import Options, home_of
from prac.config.recipe import Recipe
from prac.data.dataset import DataSummary, Source
from prac.data.shown import two_lines
from prac.data.sources import open_source
from prac.data.splits import training_rows
from prac.errors import ConfigError
from prac.lottery.compose import build_graph
from prac.lottery.footprint import footprint
from prac.lottery.graph import Graph, Stage
from prac.lottery.networks import check_networks
from prac.lottery.request import Request, make_request
from prac.lottery.room import Shares
from prac.lottery.sizes import NetworkSize, network_size
from prac.lottery.trials import NetworkTrial
from prac.models.catalogue import Format, Pictures
from prac.plugins import is_of_this_process
from prac.training.schedule import shares_of

if TYPE_CHECKING:
    from prac.data.dataset import ImageDataset


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A recipe with its data and its graph. home: where what it makes goes by default. trials:
    what was found of networks that aren't ours."""

    recipe: Recipe
    options: Options
    home: Path
    source: Source
    summary: DataSummary
    request: Request
    graph: Graph
    workers: int
    given: Given
    trials: Mapping[str, NetworkTrial]

    @property
    def shares(self) -> Shares:
        """What a stage is given."""
        return Shares(
            workers=self.workers,
            cpus_per_round=self.options.cpus_per_round,
            gpus_per_worker=self.given.per_worker,
            gpus_per_round=self.given.per_round,
        )

    @cached_property
    def dataset(self) -> ImageDataset:
        """The images, decoded when they are first needed; the networks are tried on them."""
        dataset = self.source.load()
        if not self.trials:
            _check(self.request, self.graph, self.options, dataset)
        return dataset

    @property
    def work(self) -> Path:
        """The folder of events, checkpoints and reports by default."""
        return self.home / "prac-runs"

    @property
    def told(self) -> list[str]:
        """What is said first, of the data and of what computes."""
        device = self.given.line(self.workers, self.request.precision)
        return [*two_lines(self.source.name, self.summary), device]

    def file_name(self, key: str) -> str:
        """The name of a folder of this recipe's, with the start of a key."""
        name = "".join(c if c.isalnum() or c in "-_" else "-" for c in self.recipe.name)
        return f"{name}-{key[:8]}"


def plan_pipeline(recipe: Recipe, options: Options) -> Planned:
    """Check a recipe and its data, and build the graph. Raises ConfigError."""
    source = open_source(recipe.data)
    summary = source.summary()
    if options.executor == "ray":
        _refuse_of_this_process(recipe)
    num_training = training_rows(summary, recipe.data.validation_fraction)
    share = given(options, find_devices(options), shares_of(recipe.train, num_training))
    request = make_request(
        recipe,
        source,
        num_training,
        precision_of(recipe, options, share),
        transfer_from=options.transfer_from,
        judge=options.judge,
        seeds=options.seeds,
        searches=options.searches,
        margin=options.margin,
    )
    graph = build_graph(request)
    if options.only:
        graph = graph.only(options.only)
    trials = {}
    if summary.image_shape is not None:
        images = Format(len(summary.class_names), summary.image_shape)
        trials = _check(request, graph, options, images)
    return Planned(
        recipe=recipe,
        options=options,
        home=home_of(options),
        source=source,
        summary=summary,
        request=request,
        graph=graph,
        workers=workers_of(recipe, options, share, num_training, _dense(graph)),
        given=share,
        trials=trials,
    )


def _dense(graph: Graph) -> int:
    return sum(stage.kind == "dense" for stage in graph.needed())


def bytes_left(planned: Planned, to_run: list[Stage]) -> dict[str, int]:
    """Bytes that these stages will leave, about, by kind; nothing where the size of the images is
    known only when they are read."""
    shape, classes = planned.summary.image_shape, len(planned.summary.class_names)
    if shape is None:
        return {}
    names = {getattr(stage.config, "architecture", "") for stage in to_run} - {""}
    tried = {n: NetworkSize(4 * t.parameters, t.prunable) for n, t in planned.trials.items()}
    layers = planned.recipe.prune.layers
    sizes = {name: tried.get(name) or network_size(name, shape, classes, layers) for name in names}
    return footprint(
        to_run,
        sizes,
        planned.request.num_training,
        fraction=planned.recipe.prune.fraction,
        graphs=planned.options.executor == "ray",
    )


def _check(
    request: Request, graph: Graph, options: Options, images: Pictures
) -> dict[str, NetworkTrial]:
    return check_networks(
        graph.architectures,
        images,
        recipe=request.recipe,
        precision=request.precision,
        # MLflow's tickets have graphs.
        graphs=options.executor == "ray",
    )


def _refuse_of_this_process(recipe: Recipe) -> None:
    """Raise ConfigError for a plug-in that a cluster's workers can't load."""
    for name in recipe.plug_ins:
        if is_of_this_process(name):
            raise ConfigError(
                f"{name!r} is of this process alone, and the workers of a cluster can't load it; "
                "allowed: --executor local (prac.search), or a module of its own: "
                "package.module:name"
            )
