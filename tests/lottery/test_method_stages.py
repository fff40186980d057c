"""Every method's stages, run one after the other without Ray, against its search in one process."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
import torch
from prac.distributed.made import Running
from prac.lottery.judge import JudgeConfig, Judgement

from prac.analysis.bill import make_bill, own_stages
from prac.analysis.outcome import collect_results
from prac.analysis.results import Results
from prac.config.methods import METHODS, method_label
from prac.config.sections import (
    AugmentConfig,
    BudgetConfig,
    PruneConfig,
    Recipe,
    RewindPoint,
    SearchConfig,
    SelectConfig,
    TrainConfig,
)
from prac.data.batches import DeviceImages
from prac.data.dataset import ImageDataset
from prac.distributed import artifacts, stages, ticket_stage
from prac.distributed.context import Resources
from prac.lottery.compose import build_graph
from prac.lottery.graph import Graph, Request, Stage
from prac.lottery.round_events import count_epochs
from prac.lottery.rounds import RoundOutcome, RoundTask, run_round, train_round
from prac.lottery.search import SearchResult, search
from prac.pruning import Mask
from prac.report import write_csv
from prac.report.html import render
from prac.report.wording import method_label
from prac.selection import PracSet, Reason, critical_for_training
from prac.storage import Folder
from prac.ticket.format import Ticket
from prac.tracking.store import Finished
from prac.training.loop import Trained
from prac.training.observers import EpochRecord

RECIPE = Recipe(
    name="tiny",
    description="",
    architectures=("resnet8",),
    augment=AugmentConfig(crop_padding=1, flip=False),
    train=TrainConfig(
        epochs=4, batch_size=64, learning_rate=0.05, milestones=(3,), precision="fp32"
    ),
    prune=PruneConfig(tolerance=0.12, patience=1, record_at_once=True, iterations=2),
    select=SelectConfig(window=2, proxy="conv4", proxy_epochs=1, strata=5),
    budget=BudgetConfig(min_round_epochs=2),
    search=SearchConfig(rounds=2, rewind=RewindPoint("epoch", 1)),
    compare=tuple(name for name in METHODS if name != "prac"),
)


BILL = {
    "steps",
    "samples",
    "evaluation_samples",
    "score_samples",
    "score_gradient_samples",
    "score_passes",
    "seconds",
}


class PlainStore:
    """Folders and values by stage key."""

    def __init__(self) -> None:
        self.folders: dict[str, Path] = {}
        self.left: dict[str, Mapping[str, Any]] = {}

    def read(self, finished: Finished, file: str, reader: Callable[[Path], Any]) -> Any:
        return reader(self.folders[finished.key] / file)

    def values(self, finished: Finished) -> Mapping[str, Any]:
        return self.left[finished.key]

    def read_manifest(self, finished: Finished) -> Mapping[str, Any]:
        return {"sha256": {path.name: "" for path in self.folders[finished.key].iterdir()}}


class PlainContext:
    def __init__(self, dataset: ImageDataset, folder: Path) -> None:
        self.dataset, self.folder, self.store = dataset, folder, PlainStore()
        self.resources = Resources(storage=str(folder), workers=1)
        self.judged: dict[str, tuple[JudgeConfig, Mask | None, Mapping[str, torch.Tensor]]] = {}
        report = SimpleNamespace(remote=lambda news: None)
        self.desk = SimpleNamespace(report=report)

    def judge(
        self,
        config: JudgeConfig,
        mask: Mask | None,
        rewind_weights: Mapping[str, torch.Tensor],
        images: DeviceImages,
        *,
        run: str,
        **more: Any,
    ) -> Judgement:
        self.judged[run] = (config, mask, rewind_weights)
        record = EpochRecord(
            epoch=0,
            steps=21,
            learning_rate=0.1,
            loss=1.0,
            train_accuracy=0.5,
            validation_accuracy=0.5,
            seconds=0.1,
        )
        weights = {name: tensor.clone() for name, tensor in rewind_weights.items()}
        for name, alive in (mask or {}).items():
            weights[name] *= alive
        trained = Trained(epochs=[record], best_epoch=0, best_accuracy=0.5, best_weights=weights)
        return Judgement(trained=trained, test_accuracy=0.25)

    def work(self, key: str) -> Folder:
        return Folder(self.folder / "work" / key)

    def load_dataset(self) -> ImageDataset:
        return self.dataset

    def images(self, *, gpus: float) -> DeviceImages:
        return DeviceImages(self.dataset, RECIPE.augment)


def run(graph: Graph, context: PlainContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """All stages in order; the dense run in this process in place of Ray Train's workers."""

    def dense(running: Running, task: RoundTask) -> RoundOutcome:
        return train_round(task, context.images(gpus=0), context.work(task.run))

    def reduce(context: PlainContext, *, run: str, epochs: int) -> pa.Table:
        ids = context.dataset.training_ids
        work = context.work(run)
        return count_epochs(
            work, run=run, round_index=0, epochs=range(epochs), sample_ids=ids
        ).statistics()

    monkeypatch.setattr(stages, "_train_on_workers", dense)
    monkeypatch.setattr(stages, "reduce_in_parts", reduce)
    # Judgements, exports and figures have their own tests, and take most of the time.
    monkeypatch.setattr(stages, "judge", context.judge)
    for name in ("write_model", "save_layers"):
        monkeypatch.setattr(ticket_stage, name, lambda *arguments: None)
    for name, stage in graph.stages.items():
        if stage.kind == "report":
            continue
        folder = context.folder / stage.key
        folder.mkdir()
        inputs = {role: finished(graph.stages[other]) for role, other in stage.inputs.items()}
        running = Running(stage=stage, inputs=inputs, context=context, folder=folder)  # type: ignore[arg-type]
        made = stages.RUN[stage.kind](running)
        if stage.kind in ("proxy", "score", "subset", "prune", "start"):
            assert set(made.values) >= BILL, name
        context.store.folders[stage.key] = folder
        context.store.left[stage.key] = made.values


def finished(stage: Stage) -> Finished:
    return Finished(
        key=stage.key, name=stage.name, run_id="", artifact_uri="", manifest_sha256="", values={}
    )


@dataclasses.dataclass
class Pipeline:
    request: Request
    graph: Graph
    context: PlainContext

    def read(self, name: str, file: str, reader: Callable[[Path], Any]) -> Any:
        return self.context.store.read(finished(self.graph.stages[name]), file, reader)

    def values(self, name: str) -> Mapping[str, Any]:
        return self.context.store.left[self.graph.stages[name].key]


def run_all(recipe: Recipe, digits_data: ImageDataset, folder: Path) -> Pipeline:
    request = Request(
        recipe=recipe,
        data=digits_data.fingerprint,
        data_name="digits",
        num_training=len(digits_data.training_ids),
        precision="fp32",
        workers=1,
    )
    graph = build_graph(request)
    context = PlainContext(digits_data, folder)
    with pytest.MonkeyPatch.context() as patch:
        run(graph, context, patch)
    return Pipeline(request, graph, context)


@pytest.fixture(scope="module")
def pipeline(digits_data: ImageDataset, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    return run_all(RECIPE, digits_data, tmp_path_factory.mktemp("stages"))


@pytest.fixture(scope="module")
def find(
    digits_data: ImageDataset, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], SearchResult]:
    images = DeviceImages(digits_data, RECIPE.augment)
    found: dict[str, SearchResult] = {}
    folder = tmp_path_factory.mktemp("searches")

    def by(name: str) -> SearchResult:
        if name not in found:
            beside = None if name == "prac" else by("prac")
            found[name] = search(
                RECIPE,
                "resnet8",
                images,
                lambda task: run_round(task, images, Folder(folder / task.run)),
                method=name,
                beside=beside,
            )
        return found[name]

    return by


@pytest.mark.parametrize("name", METHODS)
def test_stages_and_the_search_in_one_process_find_the_same(
    pipeline: Pipeline, find: Callable[[str], SearchResult], name: str
) -> None:
    stages_of = next(s for s in pipeline.graph.searches if s.method == name)
    result = find(name)
    masks = [pipeline.read(m, artifacts.MASK, artifacts.read_mask) for m in stages_of.masks]
    assert masks == list(result.masks[1:])
    sets = [
        PracSet.from_table(pipeline.read(s, artifacts.SAMPLES, artifacts.read_table))
        for s in stages_of.samples
    ]
    assert not sets or sets == list(result.sets[1:])
    steps = [pipeline.values(r)["steps"] for r in stages_of.rounds]
    assert steps == [r.outcome.steps if r.outcome else 0 for r in result.rounds]
    # What scores and masks cost is on the bill: the same, counted by stages.
    values = {n: pipeline.values(n) for n, s in pipeline.graph.stages.items() if s.kind != "report"}
    bill = make_bill(stages_of, pipeline.graph, values, forward_flops=None)
    scoring = result.scoring
    assert bill.steps == result.steps + scoring.steps
    assert bill.score_samples == scoring.score_samples + scoring.score_gradient_samples
    trained = [r.outcome for r in result.rounds if r.outcome]
    sizes = [len(made) for made in result.sets]
    samples = sum(len(o.epochs) * size for o, size in zip(trained, sizes, strict=False))
    assert bill.samples == samples + scoring.samples


def test_easy_samples_and_a_late_threshold_are_the_same_in_stages(
    digits_data: ImageDataset, tmp_path: Path
) -> None:
    select = SelectConfig(easy=0.3, late_threshold=1, late_from=2)
    recipe = RECIPE.replace(select=select, compare=())
    made = run_all(recipe, digits_data, tmp_path)
    images = DeviceImages(digits_data, recipe.augment)
    work = tmp_path / "search"
    result = search(
        recipe,
        "resnet8",
        images,
        lambda task: run_round(task, images, Folder(work / task.run)),
    )
    names = made.graph.searches[0].samples
    read = [made.read(name, artifacts.SAMPLES, artifacts.read_table) for name in names]
    assert [PracSet.from_table(table) for table in read] == list(result.sets[1:])
    for index, chosen in enumerate(result.sets[1:]):
        statistics = result.rounds[index].outcome.statistics
        forgets = critical_for_training(statistics, threshold=index)
        assert chosen.training_ids.tolist() == forgets.tolist()
        easy, critical = chosen.having(Reason.EASY), len(chosen) - len(chosen.having(Reason.EASY))
        assert len(easy) == round(0.3 * (len(images.training_ids) - critical)) > 0
    rows = {r.round: r for r in collected(made).rows}
    assert [rows[k].easy_size for k in (0, 1, 2)] == [
        None,
        *(len(chosen.having(Reason.EASY)) for chosen in result.sets[1:]),
    ]


@pytest.mark.parametrize("name", METHODS)
def test_tickets_start_where_the_method_starts(
    pipeline: Pipeline, find: Callable[[str], SearchResult], name: str
) -> None:
    stages_of = next(s for s in pipeline.graph.searches if s.method == name)
    key = pipeline.graph.stages[stages_of.tickets[2]].key
    ticket = Ticket.load(pipeline.context.store.folders[key] / "ticket")
    ticket.verify()
    result = find(name)
    assert ticket.mask == result.last_mask
    expected = Ticket.of(result.last_mask, result.rewind_weights, {})
    assert all(torch.equal(ticket.weights[n], t) for n, t in expected.weights.items())
    lineage = ticket.lineage
    assert lineage["method"] == name
    assert lineage["search_steps"] == result.steps + result.scoring.steps
    assert lineage["set_size"] == len(result.last_set)
    untrained = not any(r.outcome for r in result.rounds)
    assert (lineage["rewind"] == "init") == (untrained or name == "random-tickets")
    assert (lineage["steps_saved"] == 1) == untrained
    assert lineage["test_accuracy"] == 0.25
    # It is judged from there, under its mask, and all methods alike.
    (judgement,) = stages_of.judgements[2]
    key = pipeline.graph.stages[judgement].key
    config, mask, start = pipeline.context.judged[key]
    assert mask == result.last_mask
    assert all(torch.equal(start[n], t) for n, t in result.rewind_weights.items())
    assert {str(config) for config, _, _ in pipeline.context.judged.values()} == {str(config)}


def collected(pipeline: Pipeline) -> Results:
    """What the report is made of."""
    done = {
        name: dataclasses.replace(finished(stage), values=pipeline.values(name))
        for name, stage in pipeline.graph.stages.items()
        if stage.kind != "report"
    }
    return collect_results(
        pipeline.request,
        pipeline.graph,
        done,
        set(done),
        pipeline.context.store,  # type: ignore[arg-type]
        dataset=pipeline.context.dataset,
        link="",
        locations={},
    )


@pytest.fixture(scope="module")
def results(pipeline: Pipeline) -> Results:
    return collected(pipeline)


def test_every_method_has_its_bill(results: Results, pipeline: Pipeline) -> None:
    bills = {bill.method: bill for bill in results.bills}
    assert list(bills) == list(METHODS)
    per_round = {
        row.method: sum(r.steps for r in results.rows if r.method == row.method)
        for row in results.rows
    }
    proxy = next(s for s in pipeline.graph.stages.values() if s.kind == "proxy")
    trained_beside = {"proxy": int(pipeline.values(proxy.name)["steps"])}
    for method, bill in bills.items():
        assert bill.steps == per_round[method] + trained_beside.get(method, 0), method
        assert bill.flops, method
        assert bill.judging_steps == 21 * (2 if method == "prac" else 1), method
    for method in METHODS:
        # A proxy is trained before the first set: m_1 does without, m_2 and m_3 cost it.
        _, first, *later = [row for row in results.rows if row.method == method]
        beside = trained_beside.get(method, 0)
        rounds = [row.steps for row in results.rows if row.method == method]
        assert first.search_steps == rounds[0], method
        assert later[0].search_steps == sum(rounds[:2]) + beside, method
    assert bills["random-tickets"].steps == bills["prac"].steps
    assert bills["random-subset"].borrowed_steps > 0 == bills["prac"].borrowed_steps
    # Nothing is trained: the images that a criterion looked at go forward and backward.
    network = results.forward_flops["resnet8"]
    assert (bills["snip"].steps, bills["snip"].samples) == (0, 0)
    assert bills["snip"].flops == 3 * bills["snip"].score_samples * network > 0
    assert bills["grasp"].flops == 12 * bills["grasp"].score_samples * network > 0
    # SynFlow looks at none, but at one of ones, in two iterations of two rounds.
    assert bills["synflow"].score_samples == 0
    assert bills["synflow"].flops == 3 * 4 * network
    # Who makes no set of predictions predicts the training split once, in the dense round.
    training = len(pipeline.context.dataset.training_ids)
    rounds_of = {s.method: len(s.rounds) for s in pipeline.graph.searches}
    for method in ("vanilla", "cet-only", "rs2", "random-subset", "el2n"):
        assert bills[method].cep_samples in (0, training), method
    for method in ("prac", "cep-only", "no-early-stop"):
        assert bills[method].cep_samples == training * rounds_of[method], method
    # The proxy's passes are its own network's, which is not the search's.
    mine = bills["proxy"]
    search = next(s for s in pipeline.graph.searches if s.method == "proxy")
    own = [pipeline.values(name) for name in own_stages(search, pipeline.graph)]
    beside = sum(int(values.get("other_flops", 0)) for values in own)
    assert beside > 0
    rounds = [r for r in results.rows if r.method == "proxy" and r.trained]
    samples = sum(r.set_size * r.epochs for r in rounds)
    validated = len(pipeline.context.dataset.validation_ids) * sum(r.epochs for r in rounds)
    expected = network * (3 * samples + mine.cep_samples + validated) + beside
    assert mine.flops == expected


def test_the_report_shows_every_method(results: Results, tmp_path: Path) -> None:
    parts = {row.method for row in results.rows if row.cet_size or row.cep_size}
    assert parts == {"prac", "random-tickets", "cet-only", "cep-only", "no-early-stop"}
    pairs = {(m.method, m.other): m.overlap for m in results.masks if m.round == 2}
    assert len(pairs) == len(METHODS) * (len(METHODS) - 1) / 2
    assert pairs["prac", "random-tickets"] == 1.0
    without_classes = set(METHODS) - {c.method for c in results.classes}
    everything = {"vanilla", "random-pruning", "snip", "grasp", "synflow"}
    assert without_classes == everything | {"random-subset", "rs2"}
    assert {t.method for t in results.thresholds} == {"prac"}
    own = {r.round: r.set_size for r in results.rows if r.method == "prac"}
    assert {t.round: t.set_size for t in results.thresholds if t.threshold == 0} == {
        k: size for k, size in own.items() if k
    }
    text = render(results, {}, [path.name for path in write_csv(results, tmp_path)])
    for label in map(method_label, METHODS):
        assert f">{label}<" in text, label
