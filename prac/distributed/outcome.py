"""From finished stages to results: the rows, bills and pictures of the report."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from typing import Any

from prac.config import Recipe
from prac.distributed import artifacts
from prac.distributed.graph import Graph, Request, SearchStages
from prac.results import Bill, DistanceRow, HardSample, Results, RoundRow, StageRow
from prac.tracking.store import Finished, Store

_VERSIONED = ("prac", "torch", "torchvision", "ray", "mlflow", "pyarrow", "numpy")
_GALLERY_TILES = 20


def collect_results(
    request: Request,
    graph: Graph,
    finished: Mapping[str, Finished],
    ran: set[str],
    store: Store,
    *,
    num_test: int,
    num_classes: int,
    link: str,
    locations: Mapping[str, str],
) -> Results:
    """Everything that the pipeline found.

    finished: by stage name, with values. ran: the stages that ran just now. locations: of tickets,
    by stage key.
    """
    tickets = {name: locations.get(stage.key) for name, stage in graph.stages.items()}
    values = {name: finished[name].values for name in graph.stages if name in finished}
    rows = [row for search in graph.searches for row in _rows(request, search, values, tickets)]
    recipe = request.recipe
    methods = ", ".join(request.methods)
    return Results(
        title=f"{', '.join(recipe.architectures)} on {request.data_name}: {methods}",
        data=request.data_name,
        recipe=recipe.name,
        num_training_samples=request.num_training,
        num_test_samples=num_test,
        num_classes=num_classes,
        tolerance=recipe.prune.tolerance,
        seed=recipe.search.seed,
        settings=_settings(request),
        rows=tuple(rows),
        dense_test_accuracy={
            search.architecture: float(values[search.judgements[0]]["test_accuracy"])
            for search in graph.searches
            if 0 in search.judgements
        },
        distances=tuple(d for search in graph.searches for d in _distances(search, values)),
        hardest=tuple(_hardest(graph, finished, store)),
        stages=tuple(_stage_rows(graph, values, ran)),
        bills=tuple(_bill(search, values) for search in graph.searches),
        mlflow_link=link,
        versions={name: importlib.metadata.version(name) for name in _VERSIONED},
    )


def _rows(
    request: Request,
    search: SearchStages,
    values: Mapping[str, Mapping[str, Any]],
    tickets: Mapping[str, str | None],
) -> list[RoundRow]:
    rows = []
    spent = 0
    num_rounds = len(search.rounds)
    dense = values[search.rounds[0]]
    for index in range(num_rounds + 1):
        trained = index < num_rounds
        this = values[search.rounds[index]] if trained else {}
        before = values[search.rounds[index - 1]] if index else {}
        samples = values[search.samples[index - 1]] if index and search.samples else {}
        judged = values[search.judgements[index]] if index in search.judgements else {}
        weights = int(dense["weights"])
        alive = int(before["next_weights_alive"]) if index else weights
        critical = samples if search.method == "prac" else {}
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
                test_accuracy=judged.get("test_accuracy"),
                judge_validation_accuracy=judged.get("best_accuracy"),
                seconds=float(this.get("seconds", 0.0)),
                ticket=tickets.get(search.tickets.get(index, "")),
            )
        )
        spent += int(this.get("steps", 0))
    return rows


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


def _hardest(graph: Graph, finished: Mapping[str, Finished], store: Store) -> list[HardSample]:
    found = []
    for name, stage in graph.stages.items():
        if stage.kind != "reduce":
            continue
        table = store.read(finished[name], artifacts.HARDEST, artifacts.read_table)
        for row in table.slice(0, _GALLERY_TILES).to_pylist():
            found.append(
                HardSample(
                    architecture=stage.architecture,
                    sample_id=row["sample_id"],
                    label=row["label"],
                    presentations=row["presentations"],
                    forgotten=row["forgotten"],
                    never_learned=row["first_learned"] is None,
                    mean_margin=row["mean_margin"],
                    png=row["png"],
                )
            )
    return found


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


def _bill(search: SearchStages, values: Mapping[str, Mapping[str, Any]]) -> Bill:
    rounds = [values[name] for name in search.rounds]
    return Bill(
        architecture=search.architecture,
        method=search.method,
        steps=sum(int(r["steps"]) for r in rounds),
        samples=sum(int(r["samples"]) for r in rounds),
        forward_samples=sum(int(r["forward_samples"]) for r in rounds),
        seconds=sum(float(r["seconds"]) for r in rounds),
    )


def _settings(request: Request) -> dict[str, str]:
    recipe: Recipe = request.recipe
    settings = {
        "workers of dense training": str(request.workers),
        "precision": request.precision,
        "sets transferred from": request.transfer_from or "nowhere",
    }
    for section in ("data", "augment", "train", "prune", "select", "budget", "search"):
        for name, value in vars(getattr(recipe, section)).items():
            if section != "data" or name != "source":
                settings[f"{section}.{name}"] = str(value)
    return settings


def summary_json(results: Results, mlflow: Mapping[str, str]) -> dict[str, Any]:
    """What a pipeline prints last: its MLflow link, and every search's rounds and savings."""
    searches = []
    seen = dict.fromkeys((row.architecture, row.method) for row in results.rows)
    for architecture, method in seen:
        rows = [r for r in results.rows if (r.architecture, r.method) == (architecture, method)]
        searches.append(
            {
                "architecture": architecture,
                "method": method,
                "rounds": [
                    {
                        "round": row.round,
                        "trained": row.trained,
                        "sparsity": round(row.sparsity, 6),
                        "set_size": row.set_size,
                        "steps": row.steps,
                        "validation_accuracy": row.validation_accuracy,
                        "test_accuracy": row.test_accuracy,
                    }
                    for row in rows
                ],
                "iterations_saved": rows[-1].steps_saved,
            }
        )
    return {**mlflow, "dense_test_accuracy": results.dense_test_accuracy, "searches": searches}
