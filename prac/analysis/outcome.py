"""From finished stages to results: the rows, bills and pictures of the report."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from typing import Any

from prac.analysis.bill import make_bill, own_stages
from prac.analysis.evidence import Evidence
from prac.analysis.results import DistanceRow, Results, RoundRow, StageRow, mean
from prac.config.methods import find_method
from prac.config.sections import Recipe
from prac.data.dataset import ImageDataset
from prac.lottery.graph import Graph, Request, SearchStages
from prac.models import build_model
from prac.models.describe import forward_flops
from prac.report.figures.sheet import sheet
from prac.report.wording import method_label
from prac.tracking.store import Finished, Picture, Store

_TITLE_METHODS = 4
_VERSIONED = ("prac", "torch", "torchvision", "ray", "mlflow", "pyarrow", "numpy")


def collect_results(
    request: Request,
    graph: Graph,
    finished: Mapping[str, Finished],
    ran: set[str],
    store: Store,
    *,
    dataset: ImageDataset,
    link: str,
    locations: Mapping[str, str],
) -> Results:
    """Everything that the pipeline found.

    finished: by stage name, with values. ran: the stages that ran just now. locations: of tickets,
    by stage key.
    """
    tickets = {name: locations.get(stage.key) for name, stage in graph.stages.items()}
    values = {name: finished[name].values for name in graph.stages if name in finished}
    rows = [
        row for search in graph.searches for row in _rows(request, search, graph, values, tickets)
    ]
    recipe = request.recipe
    by_round = {(row.architecture, row.method, row.round): row for row in rows}
    evidence = Evidence(graph, finished, store, dataset, by_round)
    flops = {name: _dense_flops(name, dataset) for name in recipe.architectures}
    return Results(
        title=f"{', '.join(recipe.architectures)} on {request.data_name}: {_told(request)}",
        data=request.data_name,
        recipe=recipe.name,
        num_training_samples=request.num_training,
        num_test_samples=len(dataset.test_labels),
        num_classes=dataset.num_classes,
        tolerance=recipe.prune.tolerance,
        seed=recipe.search.seed,
        settings=_settings(request),
        rows=tuple(rows),
        judging_seeds=request.judging_seeds,
        dense_test_accuracies={
            search.architecture: _accuracies(
                [values[name] for name in search.judgements[0]], "test_accuracy"
            )
            for search in graph.searches
            if 0 in search.judgements
        },
        distances=tuple(d for search in graph.searches for d in _distances(search, values)),
        **_evidence(evidence, recipe),
        stages=tuple(_stage_rows(graph, values, ran)),
        bills=tuple(
            make_bill(search, graph, values, flops[search.architecture])
            for search in graph.searches
        ),
        forward_flops=flops,
        mlflow_link=link,
        versions={name: importlib.metadata.version(name) for name in _VERSIONED},
    )


def _told(request: Request) -> str:
    """The methods in a title."""
    labels = [method_label(method.name) for method in request.methods]
    if len(labels) > _TITLE_METHODS:
        return f"{labels[0]} beside {len(labels) - 1} other methods"
    return ", ".join(labels)


def _rows(
    request: Request,
    search: SearchStages,
    graph: Graph,
    values: Mapping[str, Mapping[str, Any]],
    tickets: Mapping[str, str | None],
) -> list[RoundRow]:
    rows = []
    spent = 0
    num_rounds = len(search.rounds)
    dense = values[search.rounds[0]]
    for index in range(num_rounds + 1):
        this = values[search.rounds[index]] if index < num_rounds else {}
        # Masks that are made beside the training come without any.
        trained = "epochs" in this
        before = values[search.rounds[index - 1]] if index else {}
        samples = values[search.samples[index - 1]] if index and search.samples else {}
        judged = [values[name] for name in search.judgements.get(index, ())]
        ticket = search.tickets.get(index, "")
        cost = values.get(ticket, {})
        weights = int(dense["weights"])
        alive = int(before["next_weights_alive"]) if index else weights
        # Sets that were drawn, or taken by a score, have no such parts; of a method that draws in
        # every epoch, the set tells the size alone.
        selected = find_method(search.method).data == "selected"
        has_parts = selected and (samples.get("cet_size") or samples.get("cep_size"))
        critical = samples if has_parts else {}
        rows.append(
            RoundRow(
                architecture=search.architecture,
                method=search.method,
                round=index,
                trained=trained,
                sparsity=1 - alive / weights,
                weights_left=alive,
                set_size=int(samples.get("set_size", request.num_training)),
                cet_size=critical.get("cet_size"),
                cep_size=critical.get("cep_size"),
                overlap=critical.get("overlap"),
                epochs=int(this.get("epochs", 0)),
                budget_epochs=int(this.get("budget_epochs", 0)),
                steps=int(this.get("steps", 0)),
                search_steps=spent,
                # Vanilla spends the full budget, which round 0 was given, on every round.
                steps_saved=1 - spent / (int(dense["budget_steps"]) * index) if index else None,
                validation_accuracy=this.get("best_accuracy"),
                best_epoch=this.get("best_epoch"),
                test_accuracies=_accuracies(judged, "test_accuracy"),
                judge_validation_accuracy=mean(_accuracies(judged, "best_accuracy")),
                seconds=float(this.get("seconds", 0.0)),
                ticket=tickets.get(ticket),
                flops_sparse=cost.get("flops_sparse"),
                bytes_sparse=cost.get("bytes_sparse"),
            )
        )
        spent += int(this.get("steps", 0))
        if index == 1:
            # m_2 is the first mask of a round on a set that a proxy chose.
            spent += _proxy_steps(search, graph, values)
    return rows


def _proxy_steps(
    search: SearchStages, graph: Graph, values: Mapping[str, Mapping[str, Any]]
) -> int:
    """Of the network that was trained to choose the sets."""
    names = own_stages(search, graph)
    return sum(int(values[name]["steps"]) for name in names if graph.stages[name].kind == "proxy")


def _accuracies(judged: Sequence[Mapping[str, Any]], name: str) -> tuple[float, ...]:
    return tuple(float(values[name]) for values in judged)


def _distances(search: SearchStages, values: Mapping[str, Mapping[str, Any]]) -> list[DistanceRow]:
    return [
        DistanceRow(
            architecture=search.architecture,
            method=search.method,
            round=index,
            # The first distance is known after the second epoch.
            epoch=epoch + 2,
            distance=distance,
        )
        for index, name in enumerate(search.rounds)
        for epoch, distance in enumerate(values[name]["distances"])
    ]


def _evidence(evidence: Evidence, recipe: Recipe) -> dict[str, Any]:
    """The fields of the results that are read from artifacts."""
    of_samples = ("recorded", "hardest", "never_learned", "samples")
    found: dict[str, list[Any]] = {
        name: [] for name in (*of_samples, "thresholds", "masks", "classes")
    }
    for search in evidence.graph.searches:
        method = find_method(search.method)
        # Samples that are drawn, or all taken, have the classes of the training split.
        if method.data == "selected" and method.selects != "random":
            found["classes"] += evidence.classes(search)
        if search.method != "prac":
            continue
        found["thresholds"] += evidence.thresholds(search, recipe.select)
        gallery = evidence.gallery(search)
        if gallery is not None:
            found["recorded"].append(search.architecture)
            found["hardest"] += gallery.most_forgotten()
            found["never_learned"] += gallery.never_learned()
            found["samples"] += evidence.last_samples(search, gallery)
    for architecture in recipe.architectures:
        found["masks"] += evidence.mask_overlaps(architecture)
    return {name: tuple(rows) for name, rows in found.items()}


def set_pictures(
    graph: Graph, finished: Mapping[str, Finished], store: Store, dataset: ImageDataset
) -> list[Picture]:
    """Samples of every PrAC set as a sheet: a key for each network, a step for each round."""
    evidence = Evidence(graph, finished, store, dataset, {})
    pictures = []
    for search in graph.searches:
        gallery = evidence.gallery(search) if search.method == "prac" else None
        if gallery is None:
            continue
        name = "".join(c if c.isalnum() else "_" for c in search.architecture)
        pictures += [
            Picture(key=f"prac_set_{name}", step=index, png=sheet(samples))
            for index, samples in evidence.members(search, gallery).items()
            if samples
        ]
    return pictures


def _stage_rows(
    graph: Graph, values: Mapping[str, Mapping[str, Any]], ran: set[str]
) -> list[StageRow]:
    return [
        StageRow(
            name=name,
            kind=stage.kind,
            architecture=stage.architecture,
            method=stage.method,
            inputs=tuple(dict.fromkeys(stage.inputs.values())),
            cached=name not in ran,
            steps=int(values[name].get("steps", 0)),
            seconds=float(values[name].get("seconds", 0.0)),
        )
        for name, stage in graph.stages.items()
        if stage.kind != "report"
    ]


def _dense_flops(architecture: str, dataset: ImageDataset) -> int:
    """FLOPs of one image through the dense network, counted as it runs."""
    model = build_model(
        architecture,
        num_classes=dataset.num_classes,
        image_shape=dataset.image_shape,
        seed=0,
    )
    return sum(forward_flops(model, dataset.image_shape).values())


def _settings(request: Request) -> dict[str, str]:
    recipe: Recipe = request.recipe
    settings = {
        "workers of dense training": str(request.workers),
        "precision": request.precision,
        "judging seeds": ", ".join(map(str, request.judging_seeds)),
        "sets transferred from": request.transfer_from or "nowhere",
    }
    for section in ("data", "augment", "train", "prune", "select", "budget", "search"):
        for name, value in vars(getattr(recipe, section)).items():
            if section != "data" or name != "source":
                settings[f"{section}.{name}"] = str(value)
    return settings
