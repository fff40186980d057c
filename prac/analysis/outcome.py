"""From finished stages to results: the rows, bills and pictures of the report."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from prac.analysis.bill import bills_together, make_bill
from prac.analysis.evidence import StageFiles
from prac.analysis.results import DistanceRow, HardSample, Results, RoundRow, SearchRow, StageRow
from prac.config.methods import PRAC, VANILLA, find_method, method_label
from prac.config.recipe import Recipe
from prac.data.dataset import ImageDataset
from prac.lottery.bill import borrowed_stages, own_stages, payers, saved, steps_saved, total
from prac.lottery.graph import Graph, SearchStages
from prac.lottery.outputs import JudgeFacts, Made, MaskFacts, RoundFacts, SetFacts, TicketFacts
from prac.lottery.request import Request
from prac.models.cost import dense_flops
from prac.training.made_by import together
from prac.training.schedule import full_budget

_TITLE_METHODS = 4


def collect_results(
    request: Request,
    graph: Graph,
    made: Mapping[str, Made],
    ran: Collection[str],
    *,
    dataset: ImageDataset,
    link: str | None,
    locations: Mapping[str, str],
) -> Results:
    """Everything that the pipeline found.

    made: by stage name. ran: the stages that ran just now. link: where tickets can be browsed.
    locations: of tickets, by stage key.
    """
    tickets = {name: locations.get(stage.key) for name, stage in graph.stages.items()}
    rows = _all_rows(request, graph, graph.searches, made, tickets)
    dense = {
        search.architecture: [made[name].known(JudgeFacts) for name in search.judgements[0]]
        for search in graph.searches
        if 0 in search.judgements
    }
    recipe = request.recipe
    by_round = {(row.architecture, row.method, row.round): row for row in rows}
    evidence = StageFiles(graph, made, dataset, by_round)
    flops = {name: dense_flops(name, dataset) for name in recipe.architectures}
    return Results(
        title=f"{', '.join(recipe.architectures)} on {request.data_name}: {_told(request)}",
        data=request.data_name,
        recipe=recipe.name,
        num_training_samples=request.num_training,
        num_test_samples=len(dataset.test_labels),
        commonest_share=_commonest_share(dataset),
        num_classes=dataset.num_classes,
        data_notes=dataset.origin.notes,
        tolerance=recipe.prune.tolerance,
        seed=recipe.search.seed,
        settings=settings_of(request),
        rows=tuple(rows),
        judging_seeds=request.judging_seeds,
        margin=request.margin / 100,
        roles={method.name: method.role for method in request.methods},
        searches=tuple(_search_rows(request, graph, made)),
        dense_test_accuracies={
            name: tuple(facts.test_accuracy for facts in judged) for name, judged in dense.items()
        },
        dense_validation_accuracies={
            name: tuple(facts.best_accuracy for facts in judged) for name, judged in dense.items()
        },
        distances=tuple(d for search in graph.searches for d in _distances(search, made)),
        **_evidence(evidence, recipe),
        stages=tuple(_stage_rows(graph, made, ran)),
        bills=tuple(
            make_bill(search, graph, made, flops[search.architecture]) for search in graph.searches
        ),
        bills_together=tuple(bills_together(graph, made, flops)),
        forward_flops=flops,
        mlflow_link=link,
        versions=together(*(made[name].made_by for name in graph.stages if name in made)),
    )


def _commonest_share(dataset: ImageDataset) -> float:
    return float(np.bincount(dataset.test_labels).max() / len(dataset.test_labels))


def _search_rows(request: Request, graph: Graph, made: Mapping[str, Made]) -> Iterator[SearchRow]:
    """The judged tickets of every search; nothing of a single one."""
    if request.searches == 1:
        return
    for place, searches in enumerate((graph.searches, *graph.repeats)):
        repeated = request.repeated(place)
        for row in _all_rows(repeated, graph, searches, made, {}):
            if row.test_accuracies:
                yield SearchRow(
                    architecture=row.architecture,
                    method=row.method,
                    round=row.round,
                    search_seed=repeated.recipe.search.seed,
                    sparsity=row.sparsity,
                    set_size=row.set_size,
                    search_steps=row.search_steps,
                    steps_saved=row.steps_saved,
                    search_seconds=row.search_seconds,
                    seconds_saved=row.seconds_saved,
                    validation_accuracy=row.judge_validation_accuracy,
                    test_accuracies=row.test_accuracies,
                )


def _told(request: Request) -> str:
    """The methods in a title."""
    labels = [method_label(method.name) for method in request.methods]
    if len(labels) > _TITLE_METHODS:
        return f"{labels[0]} beside {len(labels) - 1} other methods"
    return ", ".join(labels)


def _all_rows(
    request: Request,
    graph: Graph,
    searches: Sequence[SearchStages],
    made: Mapping[str, Made],
    tickets: Mapping[str, str | None],
) -> list[RoundRow]:
    """Of these searches, with the wall time that each ticket took beside vanilla's."""
    rows = []
    for search in searches:
        for row in _rows(request, search, made, tickets):
            theirs = borrowed_stages(search, graph, row.round)
            borrowed = total(made[name].cost for name in theirs)
            own = total(made[name].cost for name in own_stages(search, graph, row.round))
            rows.append(
                dataclasses.replace(
                    row,
                    search_seconds=own.seconds,
                    borrowed_steps=borrowed.steps,
                    borrowed_seconds=borrowed.seconds,
                    borrowed_from=payers(theirs, graph),
                )
            )
    vanilla = {(r.architecture, r.round): r.search_seconds for r in rows if r.method == VANILLA}
    return [
        dataclasses.replace(row, seconds_saved=saved(row.search_seconds or 0.0, full))
        if (full := vanilla.get((row.architecture, row.round)))
        else row
        for row in rows
    ]


def _rows(
    request: Request,
    search: SearchStages,
    made: Mapping[str, Made],
    tickets: Mapping[str, str | None],
) -> list[RoundRow]:
    full = full_budget(request.recipe.train, request.num_training).steps
    weights = made[search.masks[0]].known(MaskFacts).weights
    # Sets that were drawn, or taken by a score, have no parts; of a method that draws in every
    # epoch, the set tells the size alone.
    selected = find_method(search.method).data == "selected"
    rows = []
    for index in range(len(search.rounds) + 1):
        this = made[search.all_rounds[index]] if index < len(search.all_rounds) else None
        # Masks that are made beside the training come without any.
        trained = this.facts if this is not None and isinstance(this.facts, RoundFacts) else None
        before = made[search.masks[index - 1]].known(MaskFacts) if index else None
        alive = weights if before is None else before.next_weights_alive
        samples = None
        if index and search.samples:
            samples = made[search.samples[index - 1]].known(SetFacts)
        parts = samples if samples is not None and selected else None
        if parts is not None and not (parts.cet_size or parts.cep_size):
            parts = None
        judged = [made[name].known(JudgeFacts) for name in search.judgements.get(index, ())]
        ticket = search.tickets.get(index, "")
        told = made[ticket].known(TicketFacts) if ticket in made else None
        tested = search.found.get(index)
        found = None if tested is None else made[tested].known(JudgeFacts)
        spent = sum(made[name].cost.steps for name in search.trainings(index))
        rows.append(
            RoundRow(
                architecture=search.architecture,
                method=search.method,
                round=index,
                trained=trained is not None,
                sparsity=1 - alive / weights,
                weights_left=alive,
                set_size=request.num_training if samples is None else samples.set_size,
                cet_size=None if parts is None else parts.cet_size,
                cep_size=None if parts is None else parts.cep_size,
                overlap=None if parts is None else parts.overlap,
                epochs=0 if trained is None else trained.epochs,
                budget_epochs=0 if trained is None else trained.budget_epochs,
                steps=0 if this is None else this.cost.steps,
                search_steps=spent,
                steps_saved=steps_saved(spent, full, search.budgets(index)) if index else None,
                validation_accuracy=None if trained is None else trained.best_accuracy,
                best_epoch=None if trained is None else trained.best_epoch,
                test_accuracies=tuple(facts.test_accuracy for facts in judged),
                validation_accuracies=tuple(facts.best_accuracy for facts in judged),
                seconds=0.0 if this is None else this.cost.seconds,
                ticket=tickets.get(ticket),
                flops_sparse=None if told is None else told.flops_sparse,
                bytes_sparse=None if told is None else told.bytes_sparse,
                sparsity_of_all=None if told is None else told.sparsity_of_all,
                found_test_accuracy=None if found is None else found.test_accuracy,
                found_steps=None
                if found is None
                else sum(made[name].cost.steps for name in search.trained_as_found(index)),
                as_found=index in search.as_found,
                stage="" if trained is None else search.all_rounds[index],
            )
        )
    return rows


def _distances(search: SearchStages, made: Mapping[str, Made]) -> list[DistanceRow]:
    return [
        DistanceRow(
            architecture=search.architecture,
            method=search.method,
            round=index,
            # The first distance is known after the second epoch.
            epoch=epoch + 2,
            distance=distance,
        )
        # The last mask's own training finds no other: it has nothing to settle.
        for index, name in enumerate(search.rounds)
        for epoch, distance in enumerate(getattr(made[name].facts, "distances", ()))
    ]


def _evidence(evidence: StageFiles, recipe: Recipe) -> dict[str, Any]:
    """The fields of the results that are read from artifacts."""
    of_samples = ("recorded", "hardest", "never_learned", "samples")
    found: dict[str, list[Any]] = {
        name: [] for name in (*of_samples, "memorised", "thresholds", "masks", "layers", "classes")
    }
    for search in evidence.graph.searches:
        method = find_method(search.method)
        # Samples that are drawn, or all taken, have the classes of the training split.
        if method.data == "selected" and method.selects != "random":
            found["classes"] += evidence.classes(search)
        found["layers"] += evidence.layers(search)
        if search.method != PRAC.name:
            continue
        found["thresholds"] += evidence.thresholds(search, recipe.select)
        gallery = evidence.gallery(search)
        if gallery is not None:
            found["recorded"].append(search.architecture)
            found["memorised"].append(gallery.memorised())
            found["hardest"] += gallery.most_forgotten()
            found["never_learned"] += gallery.never_learned()
            found["samples"] += evidence.last_samples(search, gallery)
    for architecture in recipe.architectures:
        found["masks"] += evidence.mask_overlaps(architecture)
    return {name: tuple(rows) for name, rows in found.items()}


def set_samples(
    graph: Graph, made: Mapping[str, Made], dataset: ImageDataset
) -> dict[tuple[str, int], list[HardSample]]:
    """Samples of every PrAC set, by architecture and round."""
    evidence = StageFiles(graph, made, dataset, {})
    found = {}
    for search in graph.searches:
        gallery = evidence.gallery(search) if search.method == PRAC.name else None
        if gallery is not None:
            for index, samples in evidence.members(search, gallery).items():
                found[search.architecture, index] = samples
    return found


def _stage_rows(graph: Graph, made: Mapping[str, Made], ran: Collection[str]) -> list[StageRow]:
    return [
        StageRow(
            name=name,
            kind=stage.kind,
            architecture=stage.architecture,
            method=stage.method,
            inputs=tuple(dict.fromkeys(stage.inputs.values())),
            cached=name not in ran,
            steps=made[name].cost.steps,
            seconds=made[name].cost.seconds,
            made_by=dict(made[name].made_by),
        )
        for name, stage in graph.stages.items()
        if stage.kind != "report"
    ]


def settings_of(request: Request) -> dict[str, str]:
    """What a report says of how it was made, by name."""
    recipe: Recipe = request.recipe
    settings = {
        "precision": request.precision,
        "search seeds": ", ".join(map(str, request.search_seeds)),
        "judging seeds": ", ".join(map(str, request.judging_seeds)),
        "sets transferred from": request.transfer_from or "nowhere",
    }
    for section in ("data", "augment", "train", "prune", "select", "budget", "search"):
        for name, value in vars(getattr(recipe, section)).items():
            if section != "data" or name != "source":
                settings[f"{section}.{name}"] = str(value)
    for name, digest in request.weights.items():
        settings[f"initial weights of {name}"] = digest
    return settings
