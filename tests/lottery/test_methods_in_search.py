"""Every method by name on the digits, in one process: what it must share and where it differs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from prac.lottery.judge import JudgeConfig, judge

from prac.config.methods import METHODS
from prac.config.sections import (
    AugmentConfig,
    BudgetConfig,
    DataConfig,
    PruneConfig,
    Recipe,
    RewindPoint,
    SearchConfig,
    SelectConfig,
    TrainConfig,
)
from prac.data.batches import Batch, DeviceImages
from prac.data.dataset import ImageDataset
from prac.errors import ConfigError
from prac.lottery.rounds import RoundOutcome, RoundTask, run_round
from prac.lottery.search import SearchResult, search
from prac.models import build_model
from prac.pruning import Mask
from prac.pruning.mask import prunable_weights
from prac.selection import Reason
from prac.selection.scores import SCORES
from prac.storage import Folder
from prac.training.observers import Observer
from prac.training.randomness import derived_seed

RECIPE = Recipe(
    name="tiny",
    description="",
    architectures=("resnet8",),
    data=DataConfig(),
    augment=AugmentConfig(crop_padding=1, flip=False),
    train=TrainConfig(
        epochs=5, batch_size=64, learning_rate=0.05, milestones=(4,), precision="fp32"
    ),
    # It stops the dense run early, and most rounds.
    prune=PruneConfig(tolerance=0.12, patience=1, record_at_once=True),
    select=SelectConfig(window=2, proxy="resnet8", proxy_epochs=1),
    budget=BudgetConfig(min_round_epochs=4),
    search=SearchConfig(rounds=3, rewind=RewindPoint("epoch", 1)),
)
# The methods that have the dense run of PrAC, and those that have that of vanilla.
AS_PRAC = ("random-subset", "cet-only", "cep-only", "rs2", "entropy", "proxy", "el2n", "margin",
           "dual", "el2n-balanced", "el2n-ccs", "margin-ccs", "dual-ccs")  # fmt: skip
WITH_PRAC_S_STEPS = ("random-subset", "rs2", "entropy", "proxy", "el2n", "margin", "dual",
                     "el2n-balanced", "el2n-ccs", "margin-ccs", "dual-ccs")  # fmt: skip
AS_VANILLA = ("random-pruning", "no-early-stop")
UNTRAINED = ("snip", "grasp", "synflow")


class Trainer:
    def __init__(self, images: DeviceImages, folder: Path) -> None:
        self.images, self.folder = images, folder
        self.tasks: list[RoundTask] = []

    def __call__(self, task: RoundTask) -> RoundOutcome:
        self.tasks.append(task)
        return run_round(task, self.images, Folder(self.folder / task.run))


@pytest.fixture(scope="module")
def images(digits_data: ImageDataset) -> DeviceImages:
    return DeviceImages(digits_data, RECIPE.augment)


Find = Callable[..., SearchResult]


@pytest.fixture(scope="module")
def find(images: DeviceImages, tmp_path_factory: pytest.TempPathFactory) -> Find:
    """Searches by a method, once each, beside PrAC's own."""
    found: dict[str, SearchResult] = {}
    folder = tmp_path_factory.mktemp("methods")

    def by(name: str) -> SearchResult:
        if name not in found:
            beside = None if name == "prac" else by("prac")
            trainer = Trainer(images, folder)
            found[name] = search(RECIPE, "resnet8", images, trainer, method=name, beside=beside)
        return found[name]

    return by


def ids(result: SearchResult) -> list[list[int]]:
    return [made.sample_ids.tolist() for made in result.sets]


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def initial(seed: str = "weights") -> dict[str, torch.Tensor]:
    model = build_model(
        "resnet8", num_classes=10, image_shape=(8, 8, 1), seed=derived_seed(0, seed)
    )
    return model.state_dict()


@pytest.mark.parametrize("name", METHODS)
def test_every_method_ends_at_the_same_sparsities(find: Find, name: str) -> None:
    result = find(name)
    size = result.masks[0].size
    assert [m.num_alive for m in result.masks] == [m.num_alive for m in find("prac").masks]
    assert result.masks[1].num_alive == size - round(0.2 * size)
    assert len(result.rounds) == 3
    for before, after in pairwise(result.masks):
        assert after.is_subset_of(before)
    for finished in result.rounds:
        if finished.outcome is not None:
            for weight, alive in finished.mask.items():
                assert int((finished.outcome.best_weights[weight][~alive] != 0).sum()) == 0


def story(result: SearchResult) -> tuple[object, ...]:
    """What a search comes to: its last mask, its sets, its steps and its start."""
    return (
        tuple(t.numpy().tobytes() for t in result.last_mask.values()),
        str(ids(result)),
        result.steps,
        tuple(t.numpy().tobytes() for t in result.rewind_weights.values()),
    )


def test_no_two_methods_come_to_the_same(find: Find) -> None:
    stories: dict[tuple[object, ...], str] = {}
    for name in METHODS:
        other = stories.setdefault(story(find(name)), name)
        assert other == name, f"{name} did what {other} does"


def test_the_recipe_stops_early_and_selects_both_parts(find: Find) -> None:
    """Else the comparisons below would show nothing."""
    prac = find("prac")
    assert any(r.outcome.stopped_early for r in prac.rounds)
    assert all(len(made.training_ids) for made in prac.sets[1:])
    assert any(len(np.setdiff1d(made.pruning_ids, made.training_ids)) for made in prac.sets[1:])


@pytest.mark.parametrize("name", AS_PRAC)
def test_round_0_is_prac_s(find: Find, name: str) -> None:
    assert same(find("prac").rewind_weights, find(name).rewind_weights)
    dense, other = find("prac").rounds[0].outcome, find(name).rounds[0].outcome
    assert dense is not None
    assert other is not None
    assert same(dense.best_weights, other.best_weights)
    assert find(name).masks[1] == find("prac").masks[1]


@pytest.mark.parametrize("name", AS_VANILLA)
def test_round_0_is_vanilla_s(find: Find, name: str) -> None:
    vanilla, other = find("vanilla").rounds[0].outcome, find(name).rounds[0].outcome
    assert same(vanilla.best_weights, other.best_weights)
    assert len(other.epochs) == RECIPE.train.epochs


@pytest.mark.parametrize("name", WITH_PRAC_S_STEPS)
def test_sets_have_prac_s_sizes(find: Find, name: str) -> None:
    assert [len(s) for s in find(name).sets] == [len(s) for s in find("prac").sets]


def test_random_pruning_trains_the_dense_network_alone(find: Find) -> None:
    vanilla, random = find("vanilla"), find("random-pruning")
    assert [r.outcome is not None for r in random.rounds] == [True, False, False]
    assert random.steps == vanilla.rounds[0].outcome.steps
    assert same(random.rewind_weights, vanilla.rewind_weights)
    assert [mask.num_alive for mask in random.masks] == [m.num_alive for m in vanilla.masks]
    assert random.masks[1].distance(vanilla.masks[1]) > 0.2
    # Every layer loses alike, which magnitudes do not.
    shares = [float(alive.float().mean()) for alive in random.last_mask.values()]
    assert max(shares) - min(shares) < 0.1


def test_random_tickets_are_prac_s_on_other_weights(find: Find) -> None:
    prac, random = find("prac"), find("random-tickets")
    assert random.masks == prac.masks
    assert random.rounds is prac.rounds
    assert not same(random.rewind_weights, prac.rewind_weights)
    assert same(random.rewind_weights, initial("redrawn weights"))
    assert not same(random.rewind_weights, initial())


def test_one_part_alone(find: Find) -> None:
    cet, cep = find("cet-only"), find("cep-only")
    critical = Reason.FORGOTTEN | Reason.NEVER_LEARNED
    assert cet.sets[1] == find("prac").sets[1]  # round 0 has no pruned model
    assert all(len(made.having(critical)) == len(made) for made in cet.sets[1:])
    # CEP starts to select after round 1.
    assert ids(cep)[1] == ids(cep)[0]
    assert all(set(made.reasons.tolist()) == {int(Reason.DISAGREED)} for made in cep.sets[2:])


def test_no_early_stop_is_prac_to_the_end(find: Find) -> None:
    result = find("no-early-stop")
    for finished in result.rounds:
        assert finished.outcome is not None
        assert len(finished.outcome.epochs) == finished.outcome.budget.epochs
        assert finished.outcome.statistics is not None
    assert result.steps > find("prac").steps
    assert all(len(made.training_ids) for made in result.sets[1:])


@pytest.mark.parametrize("name", WITH_PRAC_S_STEPS)
def test_prac_s_steps_are_taken_round_by_round(find: Find, name: str) -> None:
    prac, other = find("prac"), find(name)
    # Else a method that ran to its budget would pass.
    assert any(r.outcome.stopped_early for r in prac.rounds[1:])
    for mine, theirs in zip(other.rounds, prac.rounds, strict=True):
        assert mine.outcome is not None
        assert theirs.outcome is not None
        assert mine.outcome.steps == theirs.outcome.steps
        assert len(mine.outcome.epochs) == len(theirs.outcome.epochs)
        assert mine.outcome.budget == theirs.outcome.budget


def test_a_method_of_ones_own_borrows_steps_or_sizes_alone(
    find: Find, images: DeviceImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "users_borrowers.py").write_text(
        "from prac.config.methods import Method\n"
        "steps = Method(name='', summary='', selects='random', borrows='steps')\n"
        "sizes = Method(name='', summary='', selects='random', borrows='sizes')\n"
        "fresh = Method(name='', summary='', data='fresh', borrows='sizes')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    prac = find("prac")
    for name in ("steps", "sizes", "fresh"):
        trainer = Trainer(images, tmp_path)
        method = f"users_borrowers:{name}"
        # Sizes alone need no search to stand beside.
        given = {"sets": prac.sets} if name == "sizes" else {"beside": prac}
        result = search(RECIPE, "resnet8", images, trainer, method=method, **given)
        assert [len(made) for made in result.sets] == [len(made) for made in prac.sets]
        later = trainer.tasks[1:]
        # Without PrAC's epochs a round has a stop of its own.
        assert [t.max_epochs for t in later] == (
            [len(r.outcome.epochs) for r in prac.rounds[1:]] if name == "steps" else [None] * 2
        )
        tolerances = {t.config.prune.tolerance for t in later}
        assert tolerances == {None if name == "steps" else RECIPE.prune.tolerance}
        assert trainer.tasks[0].max_epochs is None


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
    find: Find, images: DeviceImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prac import rounds

    watch, plain = _Watch(), rounds.train

    def watched(*args: object, observers: list[Observer], **more: object) -> object:
        return plain(*args, observers=[*observers, watch], **more)  # type: ignore[arg-type]

    trainer = Trainer(images, tmp_path)
    search(RECIPE, "resnet8", images, trainer, method="rs2", beside=find("prac"))
    task = trainer.tasks[1]
    monkeypatch.setattr(rounds, "train", watched)
    outcome = run_round(task, images, Folder(tmp_path / "again"))
    epochs = watch.epochs[:-1]
    size = len(find("prac").sets[1])
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


def test_sets_by_round_0_are_the_ends_of_one_ranking(find: Find) -> None:
    """By the events of round 0 alone: the sets of all rounds are nested, by their sizes."""
    for name in ("el2n", "margin", "dual", "proxy"):
        made = sorted(find(name).sets[1:], key=len)
        for smaller, larger in pairwise(made):
            assert set(smaller.sample_ids.tolist()) <= set(larger.sample_ids.tolist())
    entropy = sorted(find("entropy").sets[1:], key=len)
    assert not set(entropy[0].sample_ids.tolist()) <= set(entropy[1].sample_ids.tolist())


def test_el2n_by_hand_from_the_statistics_of_round_0(find: Find) -> None:
    dense = find("prac").rounds[0].outcome
    assert dense is not None
    assert dense.statistics is not None
    mean = dense.statistics["mean_el2n"].to_numpy()
    order = np.argsort(-mean, kind="stable")
    size = len(find("prac").sets[1])
    expected = set(dense.statistics["sample_id"].to_numpy()[order[:size]].tolist())
    got = set(find("el2n").sets[1].sample_ids.tolist())
    # Float sums in another order may swap neighbours at the edge.
    assert len(got & expected) >= size - 2


def test_a_name_s_sampler_decides_which_samples_of_a_score(
    find: Find, images: DeviceImages
) -> None:
    """From the statistics of round 0, by rules written anew."""
    dense = find("prac").rounds[0].outcome
    assert dense is not None
    assert dense.statistics is not None
    ids = dense.statistics["sample_id"].to_numpy()
    error = dict(zip(ids.tolist(), dense.statistics["mean_el2n"].to_numpy().tolist(), strict=True))
    size = len(find("prac").sets[1])

    def mean_error(name: str) -> float:
        return float(np.mean([error[i] for i in find(name).sets[1].sample_ids.tolist()]))

    # As many of each class, where the top has more of those that are hard.
    counts = {
        name: np.bincount(images.labels(find(name).sets[1].sample_ids).numpy(), minlength=10)
        for name in ("el2n", "el2n-balanced")
    }
    assert np.ptp(counts["el2n-balanced"]) <= 1 < np.ptp(counts["el2n"])
    # Strata have some of all errors: the easiest half of the samples too.
    easy = {i for i, value in error.items() if value < np.median(list(error.values()))}
    taken = set(find("el2n-ccs").sets[1].sample_ids.tolist())
    assert len(taken) == size
    assert len(taken & easy) > 0.25 * size
    assert mean_error("el2n-ccs") < mean_error("el2n-balanced") < mean_error("el2n")


def test_entropy_by_hand_from_the_round_s_model(find: Find, images: DeviceImages) -> None:
    result = find("entropy")
    outcome = result.rounds[1].outcome
    assert outcome is not None
    model = build_model("resnet8", num_classes=10, image_shape=(8, 8, 1), seed=0)
    model.load_state_dict(dict(outcome.best_weights))
    model.eval()
    with torch.no_grad():
        shares = model(images.clean(images.training_ids)).double().softmax(1)
    entropy = -(shares * shares.log()).sum(1)
    size = len(find("prac").sets[2])
    expected = set(images.training_ids[entropy.argsort(descending=True)[:size].numpy()].tolist())
    got = set(result.sets[2].sample_ids.tolist())
    assert len(got & expected) >= size - 2


@pytest.mark.parametrize("name", UNTRAINED)
def test_before_training(find: Find, name: str) -> None:
    result = find(name)
    assert [finished.outcome for finished in result.rounds] == [None] * 3
    assert result.steps == 0
    assert same(result.rewind_weights, initial())
    # Ten samples a class for each of three masks; SynFlow has no data.
    assert result.scoring.score_gradient_samples == (0 if name == "synflow" else 300)
    assert result.scoring.score_passes == {"snip": 900, "grasp": 3600, "synflow": 9}[name]


def test_the_bill_has_what_scoring_cost(find: Find, images: DeviceImages) -> None:
    count, held_out = len(images.training_ids), len(images.validation_ids)
    assert find("entropy").scoring.score_samples == 3 * count
    proxy = find("proxy").scoring
    assert (proxy.steps, proxy.samples) == (-(-count // 64), count)
    assert (proxy.score_samples, proxy.evaluation_samples) == (count, held_out)
    for name in ("prac", "vanilla", "el2n", "el2n-ccs", "margin", "dual", "rs2"):
        scoring = find(name).scoring
        assert (scoring.steps, scoring.score_samples) == (0, 0), name


def test_a_fraction_by_a_score_for_prac_s_own_search(images: DeviceImages, tmp_path: Path) -> None:
    recipe = RECIPE.replace(
        select=SelectConfig(score="el2n", sampler="balanced", fraction=0.25),
        search=dataclasses.replace(RECIPE.search, rounds=2),
    )
    trainer = Trainer(images, tmp_path)
    result = search(recipe, "resnet8", images, trainer)
    count = len(images.training_ids)
    assert [len(made) for made in result.sets] == [count, *[round(0.25 * count)] * 2]
    labels = images.labels(result.sets[1].sample_ids).numpy()
    assert np.ptp(np.bincount(labels)) <= 1
    assert [task.config.records_events for task in trainer.tasks] == [True, False]


def test_what_a_method_lacks_is_said_before_anything_trains(
    images: DeviceImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(task: RoundTask) -> RoundOutcome:
        raise AssertionError("trained")

    for name in ("rs2", "el2n", "random-tickets"):
        with pytest.raises(ConfigError, match=f"{name} needs PrAC's search"):
            search(RECIPE, "resnet8", images, never, method=name)
    (tmp_path / "users_sizes.py").write_text(
        "from prac.config.methods import Method\n"
        "mine = Method(name='', summary='', selects='el2n', borrows='sizes')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match="users_sizes:mine needs the sizes of the PrAC sets"):
        search(RECIPE, "resnet8", images, never, method="users_sizes:mine")
    recipe = RECIPE.replace(select=SelectConfig(score="dual"))
    with pytest.raises(ConfigError, match=r"select.score dual needs select.fraction"):
        search(recipe, "resnet8", images, never)
    with pytest.raises(ConfigError, match="method 'nope' is not known"):
        search(RECIPE, "resnet8", images, never, method="nope")


def test_a_criterion_of_ones_own_makes_the_tentative_masks(
    images: DeviceImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "users_criteria.py").write_text(
        "from prac.pruning.criteria import criterion\n"
        "from prac.pruning.mask import prunable_weights\n"
        "@criterion(reads='trained')\n"
        "def largest_go(pruning):\n"
        "    weights = prunable_weights(pruning.model)\n"
        "    return {name: -weight.abs() for name, weight in weights.items()}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    recipe = RECIPE.replace(search=dataclasses.replace(RECIPE.search, rounds=1))
    last: dict[str, torch.Tensor] = {}

    def keep(end: object) -> None:
        weights = prunable_weights(end.model)  # type: ignore[attr-defined]
        last.update({n: w.detach().abs().clone() for n, w in weights.items()})

    def trainer(task: RoundTask) -> RoundOutcome:
        return run_round(task, images, Folder(tmp_path / task.run), on_epoch=keep)

    result = search(recipe, "resnet8", images, trainer, method="users_criteria:largest_go")
    mask = result.last_mask
    assert mask.num_alive == mask.size - round(0.2 * mask.size)
    kept = max(float(last[name][mask[name]].max()) for name in mask)
    gone = min(float(last[name][~mask[name]].min()) for name in mask)
    assert kept <= gone


def test_tickets_are_judged_alike_from_where_they_start(find: Find, images: DeviceImages) -> None:
    config = JudgeConfig(
        architecture="resnet8",
        train=dataclasses.replace(RECIPE.train, epochs=1, milestones=()),
        augment=RECIPE.augment,
        seed=0,
    )
    for name in ("snip", "random-tickets"):
        result = find(name)
        judged = judge(config, result.last_mask, result.rewind_weights, images, run=name)
        assert judged.trained.steps == -(-len(images.training_ids) // 64)
        alive = {n: (w != 0) for n, w in judged.trained.best_weights.items() if n in
                 result.last_mask}  # fmt: skip
        assert Mask(alive).is_subset_of(result.last_mask)


def test_all_scores_have_a_method() -> None:
    assert {m.selects for m in METHODS.values()} - {None, "critical"} == set(SCORES)
