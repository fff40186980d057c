"""Trainings for `evidence.py`: dense ones, then one more on each set and on its twin."""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from evidence_searches import CUTS, HARDEST_CUT, LONG_GRADUAL, NO_TWIN, ROUNDS, SHARE, SOFT
from numpy.typing import NDArray

from prac.config.costs import TRAINING_FLOPS
from prac.config.recipes import get_recipe
from prac.config.values import RewindPoint, Share
from prac.data.batches import DeviceImages
from prac.data.sources import open_source
from prac.fingerprint import fingerprint
from prac.lottery.method_config import sampler_settings, score_settings
from prac.lottery.rounds import RoundOutcome, RoundTask, run_round
from prac.lottery.stage_config import round_config
from prac.lottery.starts import initial_model
from prac.models.cost import dense_flops
from prac.models.layout import placed
from prac.pruning.magnitude import global_magnitude
from prac.pruning.mask import Mask
from prac.selection.critical import critical_for_pruning, critical_for_training
from prac.selection.scores import Evidence
from prac.selection.soft import SoftSet
from prac.selection.subsets import score_samples, take_by_score
from prac.storage import Folder
from prac.training.evaluation import predict, test_accuracy
from prac.training.hardest import part_size
from prac.training.precision import pick_device, resolve_precision

TARGETS = ("vgg8s", "resnet20s")
"""What the sets of the recipe's own network are transferred to."""
QUICK_ROWS = 600

Ids = NDArray[np.int32]


class Dense:
    """The dense run of one seed and what sets are made of."""

    def __init__(self, bench: Bench, seed: int) -> None:
        self.bench, self.seed = bench, seed
        self.outcome = bench.train(f"{bench.architecture}, dense, seed {seed}", seed, index=0)
        assert self.outcome.statistics is not None
        self.statistics: pa.Table = self.outcome.statistics

    def cet(self) -> Ids:
        """Forgotten at least once, or never learned."""
        return critical_for_training(self.statistics)

    def prac(self) -> Ids:
        """CET, and what the dense network sees otherwise once m_1 prunes it."""
        images, dense = self.bench.images, self.outcome
        assert dense.predictions is not None
        model = initial_model(self.bench.config(self.seed, 0), images)
        model.load_state_dict(dict(dense.best_weights))
        placed(model, images.device)
        dense.next_mask.apply_(model)
        pruned = predict(model, images, images.training_ids, self.bench.precision)
        cep = critical_for_pruning(dense.predictions, pruned, images.training_ids)
        return np.union1d(self.cet(), cep)

    def ccs(self, size: int) -> Ids:
        """Strata of the forget counts, as the search takes them."""
        images, select = self.bench.images, HARDEST_CUT
        ids = images.training_ids
        labels = images.labels(ids).cpu().numpy()
        evidence = Evidence(
            sample_ids=ids,
            labels=labels,
            num_classes=images.num_classes,
            seed=(self.seed, 0),
            events=self.outcome.events,
        )
        scores = score_samples(score_settings(select), evidence)
        return take_by_score(
            sampler_settings(select), scores, ids, labels, size, seed=self.seed, round_index=1
        ).sample_ids

    def cut(self) -> Mask:
        """By magnitude of the best weights, at once as many as whole searches prune in rounds."""
        model = initial_model(self.bench.config(self.seed, 0), self.bench.images)
        model.load_state_dict(dict(self.outcome.best_weights))
        alive = 1 - self.bench.recipe.prune.fraction
        whole = Mask.dense(model)
        return global_magnitude(whole.weights(model), whole, 1 - alive**ROUNDS)

    def chance(self, size: int) -> Ids:
        """As many by chance."""
        generator = np.random.Generator(np.random.PCG64([self.seed, size, 0x7717]))
        return np.sort(generator.choice(self.bench.images.training_ids, size, replace=False))


def hard(dense: Dense, name: str) -> Ids:
    """The samples that a variant always trains on; of a twin, as many by chance."""
    chosen = name.partition(", ")[0]
    ids = dense.cet() if chosen == "cet" else dense.prac()
    if name.endswith(", by chance"):
        return dense.chance(len(ids))
    return dense.ccs(len(ids)) if chosen == "ccs" else ids


def task_of(dense: Dense, variant: str) -> dict[str, Any]:
    """What a variant or a twin trains on in each epoch: the fields of its `RoundTask`."""
    everything, chance = dense.bench.images.training_ids, variant.endswith(", by chance")
    if variant == "everything":
        return {"sample_ids": everything}
    ids = hard(dense, variant)
    if variant.startswith("soft"):
        return {
            "sample_ids": everything,
            "soft": SoftSet(critical=ids, sample_ids=everything, share=SOFT),
        }
    if variant.startswith("filter-all"):
        return {"sample_ids": everything, "fresh": len(ids), "hardest": not chance}
    if variant.startswith("filter"):
        return {"sample_ids": ids, "fresh": part_size(len(ids), SHARE), "hardest": not chance}
    return {"sample_ids": ids}


VARIANTS: dict[str, str] = {
    "prac": "prac, by chance",
    "soft": "soft, by chance",
    "filter": "filter, by chance",
    "filter-all": "filter-all, by chance",
    # CCS has the size of the PrAC set, so that their twin is one.
    "ccs": "prac, by chance",
    "cet": "cet, by chance",
    "soft-long": "soft-long, by chance",
    LONG_GRADUAL: f"{LONG_GRADUAL}, by chance",
    # For the full budget: what the others are cheaper than.
    "everything": "everything",
}
"""Each with its twin, in the order in which they run."""
CHOSEN = [
    name for name, twin in VARIANTS.items() if twin != name and not name.startswith("soft-long")
]
SEARCHED = {**VARIANTS, **{cut: cut if cut in NO_TWIN else f"{cut}, by chance" for cut in CUTS}}
TRANSFERRED = {
    f"{target}, {way}": f"{target}, {other}"
    for target in TARGETS
    for way, other in (("transferred", "by chance"), ("own", "transferred"))
}
"""What a transferred set is held against, and what is held against it."""


class Bench:
    """What all seeds share: images, recipe, folder of checkpoints."""

    def __init__(
        self, data: str, work: Path, quick: bool, network: str, device: str = "cpu"
    ) -> None:
        recipe = get_recipe("cifar10_speed").replace(architectures=(network,))
        dataset = open_source(dataclasses.replace(recipe.data, source=data)).load()
        if quick:
            recipe = recipe.with_epochs(2)
            few = {n: getattr(dataset, n)[:QUICK_ROWS] for n in ("training_ids", "validation_ids")}
            dataset = dataclasses.replace(dataset, fingerprint="quick", **few)
        # A training's end is told by its steps alone, or steps would not be equal.
        self.recipe = recipe.set(prune={"tolerance": None}, budget={"scaling": "steps"})
        self.dataset, self.images = (
            dataset,
            DeviceImages(dataset, recipe.augment, pick_device(device)),
        )
        self.precision = resolve_precision(recipe.train.precision, self.images.device)
        self.work = work
        self._work = Folder(work)
        self.architecture = network
        self.flops = dense_flops(network, dataset)

    def of(self, architecture: str) -> Bench:
        """The same with another network."""
        other = copy.copy(self)
        other.architecture = architecture
        other.flops = dense_flops(architecture, self.dataset)
        return other

    def longer(self) -> Bench:
        """The same where trainings on a set take the full budget's steps."""
        other = copy.copy(self)
        other.recipe = self.recipe.set(budget={"min_round_steps": Share(1.0)})
        return other

    def pruning(self) -> Bench:
        """The same where a training on a set prunes as it goes, to the sparsity of the one cut."""
        other = copy.copy(self)
        fraction = 1 - (1 - self.recipe.prune.fraction) ** ROUNDS
        on = self.recipe.set(search={"rewind": RewindPoint("learning-rate")})
        other.recipe = on.set(prune={"fraction": fraction, "gradual": 0.5})
        return other

    def pruned_on_the_way(self, name: str, seed: int, budgets: int, *, test: bool) -> Any:
        """The row of one training on everything from the initial weights, which is all that method
        `gradual` does for its ticket; of so many full budgets."""
        own = copy.copy(self.pruning())
        own.recipe = own.recipe.with_epochs(budgets * self.recipe.train.epochs)
        told = {"variant": name, "start": "learning-rate", "seed": seed}
        outcome = own.train(f"{name}, seed {seed}", seed, index=1)
        row = own.row(told, outcome, {"sample_ids": self.images.training_ids}, test)
        evaluated = len(outcome.epochs) * len(self.dataset.validation_ids)
        return {**row, "flops": row["flops"] + evaluated * self.flops}

    def config(self, seed: int, index: int) -> Any:
        """Of the dense run (0) or a training on a set (1)."""
        return round_config(
            self.recipe.set(search={"seed": seed}),
            self.architecture,
            index,
            precision=self.precision,
            records_events=index == 0,
            predicts=False,
        )

    def train(self, name: str, seed: int, *, index: int, **task: Any) -> RoundOutcome:
        """Train it, go on from its last epoch, or take what it left."""
        config = self.config(seed, index)
        ids = task.pop("sample_ids", self.images.training_ids)
        soft, weights = task.get("soft"), task.get("weights")
        start = None if weights is None else {n: t.numpy() for n, t in weights.items()}
        drawn = None if soft is None else (soft.critical, soft.share)
        read = [config, self.images.fingerprint, ids, drawn, start]
        mask, part = task.get("mask"), (task.get("fresh"), task.get("hardest"))
        if mask is not None:
            read.append({n: alive.numpy() for n, alive in mask.items()})
        if part != (None, None):
            read.append(part)
        run = fingerprint(tuple(read))

        def told(end: Any) -> None:
            record = end.record
            print(
                f"{name}: epoch {record.epoch + 1} of {end.budget.epochs}, "
                f"validation {record.validation_accuracy:.4f}, {record.seconds:.0f} s",
                flush=True,
            )

        task = {"run": run, "config": config, "sample_ids": ids, **task}
        return run_round(RoundTask(**task), self.images, self._work.child(run), on_epoch=told)

    def row(
        self, told: Mapping[str, Any], outcome: RoundOutcome, task: Mapping[str, Any], test: bool
    ) -> Any:
        """One line of the results. samples: passed through the network, in training or before it to
        find the hardest."""
        asked = RoundTask(run="", config=self.config(told["seed"], 1), **task)
        size, epochs = asked.epoch_size, len(outcome.epochs)
        scored = asked.presented * epochs if asked.hardest else 0
        accuracy = None
        if test:
            model = initial_model(self.config(told["seed"], 0), self.images)
            model.load_state_dict(dict(outcome.best_weights))
            placed(model, self.images.device)
            accuracy = test_accuracy(model, self.images, self.precision)
        return {
            **told,
            "sparsity": _sparsity(asked, outcome),
            "set_size": size,
            "steps": outcome.steps,
            "samples": size * epochs + scored,
            "flops": (size * epochs * TRAINING_FLOPS + scored) * self.flops,
            "seconds": round(sum(record.seconds for record in outcome.epochs), 1),
            "validation": outcome.best_accuracy,
            "test": accuracy,
        }


def _sparsity(asked: RoundTask, outcome: RoundOutcome) -> float:
    """The sparsity of what a training ended under."""
    mask = outcome.next_mask if asked.config.prune.gradual else asked.mask
    return 0.0 if mask is None else mask.sparsity


def rows(
    bench: Bench, seed: int, wanted: list[tuple[str, str]], known: set[str], options: Any
) -> Iterator[Callable[[], Any]]:
    """What is to be run for one seed, row by row."""
    test = options.test
    dense: list[Dense] = []

    def first() -> Dense:
        if not dense:
            dense.append(Dense(bench, seed))
        return dense[0]

    def dense_row() -> Any:
        told = {"variant": "dense", "start": "", "seed": seed}
        return bench.row(told, first().outcome, {"sample_ids": bench.images.training_ids}, test)

    def one(variant: str, start: str) -> Any:
        found = first()
        task, begun = task_of(found, variant), found.outcome
        if options.table == "one_round":
            task["mask"] = begun.next_mask
        gradual = variant.startswith(LONG_GRADUAL)
        if options.table == "one_cut" and not gradual:
            task["mask"] = found.cut()
        weights = begun.rewind_weights if start == "rewind" else begun.best_weights
        name = f"{variant}, {start}, seed {seed}"
        own = bench.longer() if variant.startswith("soft-long") else bench
        own = own.pruning() if gradual else own
        outcome = own.train(name, seed, index=1, weights=weights, **task)
        return own.row({"variant": variant, "start": start, "seed": seed}, outcome, task, test)

    if key("dense", "", seed) not in known:
        yield dense_row
    for variant, start in wanted:
        if key(variant, start, seed) not in known:
            yield lambda variant=variant, start=start: one(variant, start)  # type: ignore[misc]


def transfer_rows(
    bench: Bench, seed: int, known: set[str], options: Any
) -> Iterator[Callable[[], Any]]:
    """Of other networks, whose weights go on: on the sets of the bench's own and on others."""

    @functools.cache
    def dense(architecture: str) -> Dense:
        return Dense(bench.of(architecture), seed)

    def one(target: str, way: str) -> Any:
        found, own = dense(target), found_ids(target, way)
        told = {"variant": f"{target}, {way}", "start": "learning-rate", "seed": seed}
        if way == "dense":
            outcome = found.outcome
        else:
            name = f"{told['variant']}, seed {seed}"
            outcome = found.bench.train(
                name, seed, index=1, weights=found.outcome.best_weights, sample_ids=own
            )
        return found.bench.row(told, outcome, {"sample_ids": own}, options.test)

    def found_ids(target: str, way: str) -> Ids:
        if way in ("dense", "everything"):
            return bench.images.training_ids
        if way == "own":
            return dense(target).prac()
        transferred = dense(bench.architecture).prac()
        return transferred if way == "transferred" else dense(target).chance(len(transferred))

    for target in TARGETS:
        for way in ("dense", "own", "transferred", "by chance", "everything"):
            if key(f"{target}, {way}", "learning-rate", seed) not in known:
                yield functools.partial(one, target, way)


def key(variant: str, start: str, seed: int) -> str:
    """Of a row."""
    return f"{variant}/{start}/{seed}"
