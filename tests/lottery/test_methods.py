"""Every method on the digits, run once: what they share, where they differ, what they cost."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.searches import Searched, Trainer, searched

from prac import Mask
from prac.analysis.bill import make_bill
from prac.analysis.outcome import collect_results
from prac.analysis.results import Bill, Results
from prac.config.methods import METHODS, method_label
from prac.config.recipe import Recipe
from prac.config.sections import (
    AugmentConfig,
    BudgetConfig,
    DataConfig,
    PruneConfig,
    SearchConfig,
    SelectConfig,
    TrainConfig,
)
from prac.config.values import RewindPoint
from prac.data.batches import Batch, DeviceImages
from prac.data.dataset import ImageDataset
from prac.data.sources import as_source
from prac.lottery.bill import own_stages, total
from prac.lottery.compose import build_graph
from prac.lottery.local import LocalEnv, run_local
from prac.lottery.outputs import (
    BEST,
    NEXT_MASK,
    REWIND,
    SET,
    STATISTICS,
    TICKET,
    TRAINED,
    Cost,
    JudgeFacts,
    Made,
    RoundFacts,
    SetFacts,
    TicketFacts,
)
from prac.lottery.rounds import RoundOutcome, RoundTask, run_round
from prac.lottery.search import local_request
from prac.lottery.store import Finished, MemoryStore
from prac.models.catalogue import Format
from prac.models.cost import dense_flops
from prac.models.registry import build_model
from prac.pruning.prunable import prunable_weights
from prac.report.csv_files import write_csv
from prac.report.html import render
from prac.selection.prac_set import Reason
from prac.selection.scores import SCORES
from prac.storage import Folder
from prac.training import loop
from prac.training.observers import Observer
from prac.training.randomness import derived_seed

RECIPE = Recipe(
    name="tiny",
    description="",
    architectures=("resnet8",),
    data=DataConfig(),
    augment=AugmentConfig(crop_padding=1, flip=False),
    train=TrainConfig(
        epochs=5, batch_size=64, learning_rate=0.05, milestones=(4,), precision="fp32", shares=1
    ),
    # It stops the dense run early, and most rounds.
    prune=PruneConfig(tolerance=0.12, patience=2, record_at_once=True, iterations=2),
    select=SelectConfig(options={"window": 3, "proxy": "conv4", "proxy_epochs": 1, "strata": 5}),
    budget=BudgetConfig(min_round_epochs=4),
    search=SearchConfig(rounds=3, rewind=RewindPoint("epoch", 1)),
    compare=tuple(name for name in METHODS if name != "prac"),
)
ROUNDS = 3
# The methods that have the dense run of PrAC, and those that have that of vanilla.
WITH_PRAC_S_STEPS = ("random-subset", "rs2", "entropy", "proxy", "el2n", "margin", "dual",
                     "el2n-balanced", "el2n-ccs", "margin-ccs", "dual-ccs", "dyn-unc", "tdds",
                     "forgets", "forgets-ccs")  # fmt: skip
AS_PRAC = (*WITH_PRAC_S_STEPS, "cet-only", "cep-only")
AS_VANILLA = ("random-pruning", "random-erk", "one-shot", "no-early-stop")
UNTRAINED = ("snip", "grasp", "synflow")


@pytest.fixture(scope="module")
def images(digits_data: ImageDataset) -> DeviceImages:
    return DeviceImages(digits_data, RECIPE.augment)


@pytest.fixture(scope="module")
def found(digits_data: ImageDataset, tmp_path_factory: pytest.TempPathFactory) -> Searched:
    """All searches, with all their tickets. Judgements are made up: they have tests of their own,
    and would take most of the time."""
    source = as_source(digits_data, RECIPE.data)
    request = local_request(RECIPE, source, "cpu", judge="last")
    graph, store = build_graph(request), MemoryStore()
    env = LocalEnv(
        data=request.data,
        load=lambda: digits_data,
        augment=RECIPE.augment,
        storage=Folder(tmp_path_factory.mktemp("work")),
    )
    kinds = {name: stage.kind for name, stage in graph.stages.items()}
    ours = [name for name, kind in kinds.items() if kind not in ("judge", "ticket", "report")]
    run_local(graph, env, store, only=ours)
    for stage in graph.stages.values():
        if stage.kind == "judge":
            read = {
                role: store.read(_known(store.find_one(graph.stages[name])))
                for role, name in stage.inputs.items()
            }
            made = _judgement(stage.config.as_found, **read)
            store.commit(stage, made, data=request.data, started=0.0)
    run_local(graph, env, store)
    # All is there: nothing is trained.
    return searched(RECIPE, digits_data, store=store, judge="last")


def _known(finished: Finished | None) -> Finished:
    assert finished is not None
    return finished


def _judgement(as_found: bool, *, rewind: Made, before: Made | None = None) -> Made:
    start = rewind[BEST if as_found else REWIND]
    weights = {name: tensor.clone() for name, tensor in start.items()}
    for name, alive in ({} if before is None else before[NEXT_MASK]).items():
        weights[name] *= alive
    return Made(
        facts=JudgeFacts(
            epochs=1,
            budget_epochs=1,
            best_epoch=0,
            best_accuracy=0.5,
            curves={},
            test_accuracy=0.25,
        ),
        cost=Cost(steps=0 if as_found else 21),
        files={TRAINED: weights},
    )


def ids(found: Searched, name: str) -> list[list[int]]:
    return [made.sample_ids.tolist() for made in found.result[name].sets]


def same(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


def initial(seed: str = "weights") -> dict[str, torch.Tensor]:
    model = build_model(
        "resnet8", num_classes=10, image_shape=(8, 8, 1), seed=derived_seed(0, seed)
    )
    return model.state_dict()


def steps(found: Searched, name: str) -> int:
    """Of its rounds."""
    return sum(found.made(each).cost.steps for each in found.stages(name).all_rounds)


def bought(found: Searched, name: str) -> Cost:
    """What it pays beside its rounds, summed."""
    search, graph = found.stages(name), found.graph
    beside = [n for n in own_stages(search, graph) if graph.stages[n].kind in
              ("proxy", "score", "prune")]  # fmt: skip
    return total(found.made(n).cost for n in beside)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_ends_at_the_same_sparsities(found: Searched, name: str) -> None:
    masks = found.result[name].masks
    size = masks[0].size
    assert [m.num_alive for m in masks] == [m.num_alive for m in found.result.masks]
    assert masks[1].num_alive == size - round(0.2 * size)
    assert len(found.stages(name).rounds) == len(masks) - 1 == ROUNDS
    for before, after in pairwise(masks):
        # Each ticket of `gradual` is a training of its own.
        assert after.is_subset_of(before) or name == "gradual"
    for mask, made in zip(masks, found.rounds(name), strict=False):
        if made is not None:
            for weight, alive in mask.items():
                assert int((made[BEST][weight][~alive] != 0).sum()) == 0


def test_no_two_methods_come_to_the_same(found: Searched) -> None:
    """By the last mask, the sets, the steps and the start."""
    stories: dict[tuple[object, ...], str] = {}
    for name in METHODS:
        story = (
            tuple(t.numpy().tobytes() for t in found.result[name].masks[-1].values()),
            str(ids(found, name)),
            steps(found, name),
            tuple(t.numpy().tobytes() for t in found.start(name).values()),
        )
        other = stories.setdefault(story, name)
        assert other == name, f"{name} did what {other} does"


def test_the_recipe_stops_early_and_selects_both_parts(found: Searched) -> None:
    """Else the comparisons below would show nothing."""
    assert any(made.known(RoundFacts).stopped_early for made in found.trained())
    assert any(made.known(RoundFacts).stopped_early for made in found.trained()[1:])
    sets = found.result.sets[1:]
    assert all(len(made.training_ids) for made in sets)
    assert any(len(np.setdiff1d(made.pruning_ids, made.training_ids)) for made in sets)


@pytest.mark.parametrize("name", AS_PRAC)
def test_round_0_is_prac_s(found: Searched, name: str) -> None:
    assert found.stages(name).rounds[0] == found.stages().rounds[0]
    assert found.result[name].masks[1] == found.result.masks[1]
    assert same(found.start(name), found.start())


@pytest.mark.parametrize("name", AS_VANILLA)
def test_round_0_is_vanilla_s(found: Searched, name: str) -> None:
    made = found.rounds(name)[0]
    assert made is not None
    assert made is found.rounds("vanilla")[0]
    assert made.known(RoundFacts).epochs == RECIPE.train.epochs


def test_two_dense_runs_serve_all(found: Searched) -> None:
    dense = [name for name, stage in found.graph.stages.items() if stage.kind == "dense"]
    assert dense == ["dense:resnet8:prac", "dense:resnet8:vanilla"]


@pytest.mark.parametrize("name", WITH_PRAC_S_STEPS)
def test_sets_have_prac_s_sizes(found: Searched, name: str) -> None:
    sizes = [made.known(SetFacts).set_size for made in map(found.made, found.stages(name).samples)]
    assert sizes == [len(s) for s in found.result.sets[1:]]


def test_random_pruning_trains_the_dense_network_alone(found: Searched) -> None:
    vanilla, random = found.result["vanilla"], found.result["random-pruning"]
    assert [made is not None for made in found.rounds("random-pruning")] == [True, False, False]
    assert steps(found, "random-pruning") == found.trained("vanilla")[0].cost.steps
    assert same(found.start("random-pruning"), found.start("vanilla"))
    assert random.masks[1].distance(vanilla.masks[1]) > 0.2
    # Every layer loses alike, which magnitudes do not.
    shares = [float(alive.float().mean()) for alive in random.masks[-1].values()]
    assert max(shares) - min(shares) < 0.1


def test_random_erk_prunes_by_the_sides_of_layers(found: Searched) -> None:
    """Of layers that are not full, what is alive goes by the sum of their sides."""
    assert [made is not None for made in found.rounds("random-erk")] == [True, False, False]
    assert steps(found, "random-erk") == found.trained("vanilla")[0].cost.steps
    counts = zip(*(found.result[m].masks for m in ("random-erk", "vanilla")), strict=True)
    assert all(one.num_alive == other.num_alive for one, other in counts)
    last = [alive for alive in found.result["random-erk"].masks[-1].values() if not alive.all()]
    assert len(last) > 2
    shares = [int(alive.sum()) / sum(alive.shape) for alive in last]
    assert max(shares) - min(shares) < 1 / min(sum(alive.shape) for alive in last) + 1e-9


def test_one_shot_cuts_the_dense_network_at_once(found: Searched) -> None:
    """Each mask is of the largest magnitudes that the dense run's best weights have."""
    dense, *none = found.rounds("one-shot")
    assert dense is not None
    assert none == [None, None]
    assert steps(found, "one-shot") == found.trained("vanilla")[0].cost.steps
    assert same(found.start("one-shot"), found.start("vanilla"))
    best = dense[BEST]
    masks = found.result["one-shot"].masks
    for mask, theirs in zip(masks, found.result["vanilla"].masks, strict=True):
        assert mask.num_alive == theirs.num_alive
        sizes = np.concatenate([best[name].abs().numpy().ravel() for name in mask])
        alive = np.concatenate([mask[name].numpy().ravel() for name in mask])
        kept = np.sort(sizes)[len(sizes) - mask.num_alive :]
        assert np.array_equal(np.sort(sizes[alive]), kept)


def test_random_tickets_are_prac_s_on_other_weights(found: Searched) -> None:
    assert found.result["random-tickets"].masks == found.result.masks
    assert found.stages("random-tickets").rounds == found.stages().rounds
    random = found.start("random-tickets")
    assert not same(random, found.start())
    assert same(random, initial("redrawn weights"))
    assert not same(random, initial())


def test_one_part_alone(found: Searched) -> None:
    cet, cep = found.result["cet-only"].sets, found.result["cep-only"].sets
    critical = Reason.FORGOTTEN | Reason.NEVER_LEARNED
    assert cet[1] == found.result.sets[1]  # round 0 has no pruned model
    assert all(len(made.having(critical)) == len(made) for made in cet[1:])
    # CEP starts to select after round 1.
    assert cep[1].sample_ids.tolist() == cep[0].sample_ids.tolist()
    assert all(set(made.reasons.tolist()) == {int(Reason.DISAGREED)} for made in cep[2:])


def test_no_early_stop_is_prac_to_the_end(found: Searched) -> None:
    for made in found.trained("no-early-stop"):
        facts = made.known(RoundFacts)
        assert facts.epochs == facts.budget_epochs
        assert not facts.stopped_early
    # Statistics of round 0 are counted beside it, by each method that selects by them.
    assert all(STATISTICS in made.files for made in found.trained("no-early-stop")[1:])
    assert STATISTICS in found.made("reduce:resnet8:no-early-stop").files
    assert steps(found, "no-early-stop") > steps(found, "prac")
    assert all(len(made.training_ids) for made in found.result["no-early-stop"].sets[1:])


@pytest.mark.parametrize("name", WITH_PRAC_S_STEPS)
def test_prac_s_steps_are_taken_round_by_round(found: Searched, name: str) -> None:
    for mine, theirs in zip(found.trained(name), found.trained(), strict=True):
        assert mine.cost.steps == theirs.cost.steps
        facts = [made.known(RoundFacts) for made in (mine, theirs)]
        assert facts[0].epochs == facts[1].epochs
        assert facts[0].budget_epochs == facts[1].budget_epochs
        assert facts[0].set_size == facts[1].set_size


def test_a_method_of_ones_own_borrows_steps_or_sizes_alone(
    found: Searched, digits_data: ImageDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "users_borrowers.py").write_text(
        "from prac.config.methods import Method\n"
        "steps = Method(name='', summary='', selects='random', borrows='steps')\n"
        "sizes = Method(name='', summary='', selects='random', borrows='sizes')\n"
        "fresh = Method(name='', summary='', data='fresh', borrows='sizes')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    names = [f"users_borrowers:{name}" for name in ("steps", "sizes", "fresh")]
    tasks: dict[str, RoundTask] = {}

    def kept(task: RoundTask, *given: Any, **named: Any) -> RoundOutcome:
        tasks[task.run] = task
        return run_round(task, *given, **named)

    monkeypatch.setattr("prac.lottery.rounds.run_round", kept)
    done = searched(RECIPE.replace(compare=tuple(names)), digits_data, store=found.store)
    for name in names:
        keys = [done.graph.stages[n].key for n in done.stages(name).rounds]
        # PrAC's dense run serves them all, and is there already.
        assert keys[0] == found.graph.stages["dense:resnet8:prac"].key
        if name.endswith("steps"):
            # That is random-subset by another name, whose rounds are there already, too.
            known = [found.graph.stages[n].key for n in found.stages("random-subset").rounds]
            assert keys == known
            assert not set(keys) & tasks.keys()
            continue
        # Without PrAC's epochs a round has a stop of its own.
        later = [tasks[key] for key in keys[1:]]
        assert [task.max_epochs for task in later] == [None] * 2
        assert {t.config.prune.tolerance for t in later} == {RECIPE.prune.tolerance}
    for name in names:
        sizes = [done.made(n).known(SetFacts).set_size for n in done.stages(name).samples]
        assert sizes == [len(s) for s in found.result.sets[1:]]


class _Watch(Observer):
    name = "watch"

    def __init__(self) -> None:
        self.epochs: list[list[int]] = [[]]
        self.batches: list[int] = []

    def on_predictions(self, batch: Batch, logits: torch.Tensor) -> None:
        self.epochs[-1] += batch.sample_ids.tolist()
        self.batches.append(len(batch.sample_ids))

    def on_epoch(self, end: object) -> bool:
        self.epochs.append([])
        return False


def test_rs2_draws_a_fresh_subset_every_epoch(
    found: Searched,
    digits_data: ImageDataset,
    images: DeviceImages,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trainer = Trainer(images, tmp_path)
    # PrAC's stages are there; RS2's are made once more, to see its tasks.
    recipe = RECIPE.replace(compare=("rs2",), search=dataclasses.replace(RECIPE.search, rounds=2))
    store = MemoryStore()
    for name in ("dense:resnet8:prac", "reduce:resnet8:prac", "select:resnet8:prac:1",
                 "round:resnet8:prac:1"):  # fmt: skip
        store.commit(found.graph.stages[name], found.made(name), data="", started=0.0)
    searched(recipe, digits_data, trainer=trainer, store=store)
    task = next(t for t in trainer.tasks if t.fresh is not None)
    watch, plain = _Watch(), loop.train

    def watched(*args: object, observers: list[Observer], **more: object) -> object:
        return plain(*args, observers=[*observers, watch], **more)  # type: ignore[arg-type]

    monkeypatch.setattr("prac.lottery.rounds.train", watched)
    outcome = run_round(task, images, Folder(tmp_path / "again"))
    epochs = watch.epochs[:-1]
    size = len(found.result.sets[1])
    assert len(epochs) == len(outcome.epochs) > 1
    for epoch in epochs:
        assert len(epoch) == len(set(epoch)) == size
        assert set(epoch) <= set(images.training_ids.tolist())
    assert len({tuple(sorted(epoch)) for epoch in epochs}) == len(epochs)
    assert len(set().union(*epochs)) > size
    # Every presentation is a sample's own: none is padded, no batch is larger than asked for.
    assert sum(watch.batches) == size * len(epochs)
    assert max(watch.batches) <= RECIPE.train.batch_size
    assert outcome.statistics is None


def test_sets_by_round_0_are_the_ends_of_one_ranking(found: Searched) -> None:
    """By the events of round 0 alone: the sets of all rounds are nested, by their sizes."""
    for name in ("el2n", "margin", "dual", "dyn-unc", "tdds", "forgets", "proxy"):
        made = sorted(found.result[name].sets[1:], key=len)
        for smaller, larger in pairwise(made):
            assert set(smaller.sample_ids.tolist()) <= set(larger.sample_ids.tolist())
    entropy = sorted(found.result["entropy"].sets[1:], key=len)
    assert not set(entropy[0].sample_ids.tolist()) <= set(entropy[1].sample_ids.tolist())


def test_forgets_by_hand_from_the_statistics_of_round_0(found: Searched) -> None:
    statistics = found.made("reduce:resnet8:prac")[STATISTICS].to_pylist()
    most = max(row["forgotten"] for row in statistics)
    scored = [
        (-(most + 1 if row["first_learned"] is None else row["forgotten"]), row["sample_id"])
        for row in statistics
    ]
    for own, made in zip(found.result.sets[1:], found.result["forgets"].sets[1:], strict=True):
        expected = sorted(sample for _, sample in sorted(scored)[: len(own)])
        assert made.sample_ids.tolist() == expected
    # Strata of the counts leave room for samples that were never forgotten.
    strata = set(found.result["forgets-ccs"].sets[1].sample_ids.tolist())
    assert {count for count, sample in scored if sample in strata} == {c for c, _ in scored}


def test_el2n_by_hand_from_the_statistics_of_round_0(found: Searched) -> None:
    statistics = found.made("reduce:resnet8:prac")[STATISTICS]
    mean = statistics["mean_el2n"].to_numpy()
    order = np.argsort(-mean, kind="stable")
    size = len(found.result.sets[1])
    expected = set(statistics["sample_id"].to_numpy()[order[:size]].tolist())
    got = set(found.result["el2n"].sets[1].sample_ids.tolist())
    # Float sums in another order may swap neighbours at the edge.
    assert len(got & expected) >= size - 2


def test_a_name_s_sampler_decides_which_samples_of_a_score(
    found: Searched, images: DeviceImages
) -> None:
    """From the statistics of round 0, by rules written anew."""
    statistics = found.made("reduce:resnet8:prac")[STATISTICS]
    rows = statistics["sample_id"].to_numpy().tolist()
    error = dict(zip(rows, statistics["mean_el2n"].to_numpy().tolist(), strict=True))
    size = len(found.result.sets[1])

    def first(name: str) -> list[int]:
        return found.result[name].sets[1].sample_ids.tolist()

    def mean_error(name: str) -> float:
        return float(np.mean([error[i] for i in first(name)]))

    # As many of each class, where the top has more of those that are hard.
    counts = {
        name: np.bincount(images.labels(np.array(first(name), np.int32)).numpy(), minlength=10)
        for name in ("el2n", "el2n-balanced")
    }
    assert np.ptp(counts["el2n-balanced"]) <= 1 < np.ptp(counts["el2n"])
    # Strata have some of all errors: the easiest half of the samples too.
    easy = {i for i, value in error.items() if value < np.median(list(error.values()))}
    taken = set(first("el2n-ccs"))
    assert len(taken) == size
    assert len(taken & easy) > 0.25 * size
    assert mean_error("el2n-ccs") < mean_error("el2n-balanced") < mean_error("el2n")


def test_entropy_by_hand_from_the_round_s_model(found: Searched, images: DeviceImages) -> None:
    model = build_model("resnet8", num_classes=10, image_shape=(8, 8, 1), seed=0)
    model.load_state_dict(dict(found.trained("entropy")[1][BEST]))
    model.eval()
    with torch.no_grad():
        chances = model(images.clean(images.training_ids)).double().softmax(1)
    entropy = -(chances * chances.log()).sum(1)
    size = len(found.result.sets[2])
    expected = set(images.training_ids[entropy.argsort(descending=True)[:size].numpy()].tolist())
    got = set(found.result["entropy"].sets[2].sample_ids.tolist())
    assert len(got & expected) >= size - 2


@pytest.mark.parametrize("name", UNTRAINED)
def test_before_training(found: Searched, name: str) -> None:
    assert found.rounds(name) == [None] * 3
    assert found.result[name].bill.steps == 0
    assert same(found.start(name), initial())
    cost = bought(found, name)
    # Ten samples a class in two iterations for each of three masks; SynFlow has no data.
    assert cost.score_gradient_samples == (0 if name == "synflow" else 600)
    assert cost.score_passes == {"snip": 1800, "grasp": 7200, "synflow": 18}[name]


def test_what_scoring_cost(found: Searched, images: DeviceImages) -> None:
    count, held_out = len(images.training_ids), len(images.validation_ids)
    assert bought(found, "entropy").score_samples == 3 * count
    proxy = bought(found, "proxy")
    assert (proxy.steps, proxy.samples) == (-(-count // 64), count)
    assert (proxy.score_samples, proxy.evaluation_samples) == (count, held_out)
    for name in ("prac", "vanilla", "el2n", "el2n-ccs", "margin", "dual", "rs2"):
        cost = bought(found, name)
        assert (cost.steps, cost.score_samples) == (0, 0), name


def test_a_fraction_by_a_score_for_prac_s_own_search(
    digits_data: ImageDataset, images: DeviceImages
) -> None:
    recipe = RECIPE.replace(
        select=SelectConfig(score="el2n", sampler="balanced", fraction=0.25),
        search=dataclasses.replace(RECIPE.search, rounds=2),
        compare=(),
    )
    done = searched(recipe, digits_data)
    count = len(images.training_ids)
    sets = done.result.sets
    assert [len(made) for made in sets] == [count, *[round(0.25 * count)] * 2]
    labels = images.labels(sets[1].sample_ids).numpy()
    assert np.ptp(np.bincount(labels)) <= 1
    # Round 0 records events; later rounds have none to record for.
    assert [STATISTICS in made.files for made in done.trained()] == [False, False]
    configs = [done.graph.stages[name].config for name in done.stages().rounds]
    assert [config.records_events for config in configs] == [True, False]


def test_a_criterion_of_ones_own_makes_the_tentative_masks(
    digits_data: ImageDataset, images: DeviceImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "users_criteria.py").write_text(
        "from prac.pruning.criteria import criterion\n"
        "from prac.pruning.prunable import prunable_weights\n"
        "@criterion(reads='trained')\n"
        "def largest_go(pruning):\n"
        "    weights = prunable_weights(pruning.model)\n"
        "    return {name: -weight.abs() for name, weight in weights.items()}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    recipe = RECIPE.replace(
        search=dataclasses.replace(RECIPE.search, rounds=1),
        prune=dataclasses.replace(RECIPE.prune, criterion="users_criteria:largest_go"),
        compare=(),
    )
    last: dict[str, torch.Tensor] = {}

    def keep(end: object) -> None:
        weights = prunable_weights(end.model)  # type: ignore[attr-defined]
        last.update({n: w.detach().abs().clone() for n, w in weights.items()})

    class Keeping(Trainer):
        def __call__(self, task: RoundTask) -> RoundOutcome:
            return run_round(task, self.images, Folder(self.work(task)), on_epoch=keep)

    done = searched(recipe, digits_data, trainer=Keeping(images, tmp_path))
    mask = done.result.masks[1]
    assert mask.num_alive == mask.size - round(0.2 * mask.size)
    kept = max(float(last[name][mask[name]].max()) for name in mask)
    gone = min(float(last[name][~mask[name]].min()) for name in mask)
    assert kept <= gone


def test_all_scores_have_a_method() -> None:
    assert {m.selects for m in METHODS.values()} - {None, "critical"} == set(SCORES)


# --- tickets -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", METHODS)
def test_tickets_start_where_the_method_starts(found: Searched, name: str) -> None:
    search = found.stages(name)
    made = found.made(search.tickets[ROUNDS])
    ticket = made[TICKET]
    ticket.verify()
    last = found.result[name].masks[-1]
    assert ticket.mask == last
    for weight, tensor in found.start(name).items():
        alive = last[weight] if weight in last else torch.ones_like(tensor, dtype=torch.bool)
        assert torch.equal(ticket.weights[weight], torch.where(alive, tensor, 0).to(tensor.dtype))
    lineage = ticket.lineage
    facts = made.known(TicketFacts)
    assert lineage["method"] == facts.method == name
    paid = steps(found, name)
    if name == "gradual":
        # Its own training and the dense run, without those of the tickets before.
        paid -= found.made(search.rounds[1]).cost.steps * (ROUNDS - 1)
    assert facts.search_steps == paid + bought(found, name).steps
    assert facts.search_steps == found.result[name].steps_to_find(ROUNDS)
    sizes = [found.made(n).known(SetFacts).set_size for n in search.samples]
    assert facts.set_size == (sizes[-1] if sizes else facts.num_training)
    chosen = METHODS[name].data == "selected"
    assert (SET in made.files) == chosen
    assert bool(facts.set_digest) == chosen
    untrained = name in UNTRAINED
    assert (lineage["rewind"] == "init") == (untrained or name == "random-tickets")
    assert (lineage["steps_saved"] == 1) == untrained
    full = 5 * -(-facts.num_training // 64)
    assert facts.steps_saved == 1 - facts.search_steps / (full * ROUNDS)
    assert (facts.test_accuracy, facts.validation_accuracy) == (0.25, 0.5)
    assert facts.dense_test_accuracy == 0.25
    # It carries the network of its judgement, which began there, under its mask.
    (judgement,) = search.judgements[ROUNDS]
    assert ticket.trained is not None
    assert same(ticket.trained, found.made(judgement)[TRAINED])
    stage = found.graph.stages[judgement]
    assert stage.inputs["before"] == search.masks[-1]
    assert found.made(stage.inputs["before"])[NEXT_MASK] == last
    assert same(found.made(stage.inputs["rewind"])[REWIND], found.start(name))


def test_all_methods_are_judged_alike(found: Searched) -> None:
    judges = [s for s in found.graph.stages.values() if s.kind == "judge"]
    assert len({s.config for s in judges if not s.config.as_found}) == 1
    # What was trained with its mask is tested as it is, beside.
    assert {s.method for s in judges if s.config.as_found} == {"gradual"}


def test_a_judgement_begins_with_the_ticket_s_weights_under_its_mask(
    found: Searched, digits_data: ImageDataset, images: DeviceImages
) -> None:
    """As they are made by the step; the others here are made up."""
    recipe = RECIPE.replace(
        train=dataclasses.replace(RECIPE.train, epochs=1, milestones=()),
        search=SearchConfig(rounds=1, rewind=RewindPoint("epoch", 1)),
        compare=("snip", "random-tickets"),
    )
    done = searched(recipe, digits_data, judge="last", seeds=2)
    for name in ("prac", "snip", "random-tickets"):
        judged = done.stages(name).judgements[1]
        assert len(judged) == 2
        made = [done.made(n) for n in judged]
        assert not same(made[0][TRAINED], made[1][TRAINED])
        mask = done.result[name].masks[1]
        for one in made:
            assert one.cost.steps == -(-len(images.training_ids) // 64)
            assert one.cost.samples == len(images.training_ids)
            tested = len(images.validation_ids) + len(digits_data.test_labels)
            assert one.cost.evaluation_samples == tested
            alive = {n: w != 0 for n, w in one[TRAINED].items() if n in mask}
            assert Mask(alive).is_subset_of(mask)
        told = done.result[name].rounds[1].test_accuracies
        assert told == tuple(m.known(JudgeFacts).test_accuracy for m in made)
        ticket = done.made(done.stages(name).tickets[1])
        assert ticket.known(TicketFacts).test_accuracy == told[0]


# --- bills and the report ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def results(found: Searched, digits_data: ImageDataset) -> Results:
    stages = {n: s for n, s in found.graph.stages.items() if s.kind != "report"}
    return collect_results(
        found.request,
        found.graph,
        {name: found.made(name) for name in stages},
        set(stages),
        dataset=digits_data,
        link=None,
        locations={},
    )


def test_every_method_has_its_bill(
    results: Results, found: Searched, digits_data: ImageDataset
) -> None:
    bills: dict[str, Bill] = {bill.method: bill for bill in results.bills}
    assert list(bills) == list(METHODS)
    proxy = next(s for s in found.graph.stages.values() if s.kind == "proxy")
    beside = {"proxy": found.made(proxy.name).cost.steps}
    for method, bill in bills.items():
        assert bill.steps == steps(found, method) + beside.get(method, 0), method
        assert bill.steps == found.result[method].bill.steps, method
        assert bill.flops, method
        assert bill.judging_steps == 21 * (2 if method == "prac" else 1), method
        assert bill.joules is None or bill.joules > 0
        assert bill.energy_source
        made = map(found.made, found.stages(method).all_rounds)
        trained = [each for each in made if isinstance(each.facts, RoundFacts)]
        samples = sum(m.known(RoundFacts).epochs * m.known(RoundFacts).set_size for m in trained)
        assert bill.samples == samples + bought(found, method).samples, method
    for method in METHODS:
        # A proxy is trained before the first set: m_1 does without, m_2 and m_3 cost it.
        _, first, *later = [row for row in results.rows if row.method == method]
        rounds = [0 if made is None else made.cost.steps for made in found.rounds(method)]
        if method == "gradual":
            # The dense run and one training of its own, each.
            assert {row.search_steps for row in (first, *later)} == {sum(rounds[:2])}
            assert {row.found_steps for row in (first, *later)} == {rounds[1]}
            continue
        assert first.search_steps == rounds[0], method
        for index, row in enumerate(later, 2):
            assert row.search_steps == sum(rounds[:index]) + beside.get(method, 0), method
    assert bills["random-tickets"].steps == bills["prac"].steps
    assert bills["random-subset"].borrowed_steps > 0 == bills["prac"].borrowed_steps
    # Nothing is trained: the images that a criterion looked at go forward and backward.
    network = results.forward_flops["resnet8"]
    shape = digits_data.image_shape
    assert network == dense_flops("resnet8", Format(10, shape))
    assert (bills["snip"].steps, bills["snip"].samples) == (0, 0)
    assert bills["snip"].flops == 3 * bills["snip"].score_samples * network > 0
    assert bills["grasp"].flops == 12 * bills["grasp"].score_samples * network > 0
    # SynFlow looks at none, but at one of ones, in two iterations of three rounds.
    assert bills["synflow"].score_samples == 0
    assert bills["synflow"].flops == 3 * 6 * network
    # Who makes no set of predictions predicts the training split once, in the dense round.
    training = len(digits_data.training_ids)
    for method in ("vanilla", "cet-only", "rs2", "random-subset", "el2n"):
        assert bills[method].cep_samples in (0, training), method
    for method in ("prac", "cep-only", "no-early-stop"):
        own = [n for n in own_stages(found.stages(method), found.graph)
               if found.graph.stages[n].kind in ("dense", "round")]  # fmt: skip
        assert bills[method].cep_samples == training * len(own), method
    # The proxy's passes are its own network's, which is not the search's.
    mine = bills["proxy"]
    other = sum(
        found.made(name).cost.other_flops or 0
        for name in own_stages(found.stages("proxy"), found.graph)
    )
    assert other > 0
    rounds = [made.known(RoundFacts) for made in found.trained("proxy")]
    samples = sum(facts.set_size * facts.epochs for facts in rounds)
    validated = len(digits_data.validation_ids) * sum(facts.epochs for facts in rounds)
    assert mine.flops == network * (3 * samples + mine.cep_samples + validated) + other
    made = {n: found.made(n) for n, s in found.graph.stages.items() if s.kind != "report"}
    for search in found.graph.searches:
        assert make_bill(search, found.graph, made, network) == bills[search.method]


def test_the_report_shows_every_method(results: Results, tmp_path: Path) -> None:
    parts = {row.method for row in results.rows if row.cet_size or row.cep_size}
    assert parts == {"prac", "random-tickets", "cet-only", "cep-only", "no-early-stop"}
    pairs = {(m.method, m.other): m.overlap for m in results.masks if m.round == ROUNDS}
    assert len(pairs) == len(METHODS) * (len(METHODS) - 1) / 2
    assert pairs["prac", "random-tickets"] == 1.0
    without_classes = set(METHODS) - {c.method for c in results.classes}
    everything = {"vanilla", "random-pruning", "random-erk", "one-shot", "gradual"}
    everything |= {"snip", "grasp", "synflow"}
    assert without_classes == everything | {"random-subset", "rs2"}
    assert {t.method for t in results.thresholds} == {"prac"}
    own = {r.round: r.set_size for r in results.rows if r.method == "prac"}
    assert {t.round: t.set_size for t in results.thresholds if t.threshold == 0} == {
        k: size for k, size in own.items() if k
    }
    text = render(results, {}, [path.name for path in write_csv(results, tmp_path)])
    for label in map(method_label, METHODS):
        assert f">{label}<" in text, label
