"""Short budgets on part of CIFAR-10: named variants of PrAC against vanilla and random subsets.

python tests/benchmarks/fast_recipes.py --data parquet:PATH [--seeds 0 1] [--minutes 60] [--quick]

One process, one thread. Every variant is a search and the judgement of its last ticket, trained
alone on all rows for the full budget; the baselines of a schedule have that schedule too. Each
finished (variant, seed) is written at once: the same command goes on where it stopped.
"""

import dataclasses
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from measuring import machine, parser

from prac.config import (
    BudgetConfig,
    DataConfig,
    Precision,
    PruneConfig,
    Recipe,
    RewindPoint,
    SearchConfig,
    TrainConfig,
)
from prac.data.batches import DeviceImages, num_batches
from prac.data.dataset import ImageDataset
from prac.data.sources import open_source
from prac.data.splits import channel_statistics, stratified_split
from prac.fingerprint import fingerprint
from prac.judge import JudgeConfig, judge
from prac.rounds import RoundOutcome, RoundTask, run_round
from prac.search import SearchResult, search
from prac.selection import PracSet
from prac.storage import Folder
from prac.training.precision import resolve_precision

ROWS, QUICK_ROWS = 10_000, 600
"""Rows of the training split that take part, a tenth of them for validation."""

MULTISTEP = TrainConfig(epochs=8, batch_size=64, learning_rate=0.1, milestones=(4, 6))
ONECYCLE = TrainConfig(
    epochs=8,
    batch_size=64,
    learning_rate=0.2,
    milestones=(),
    schedule="onecycle",
    label_smoothing=0.1,
    nesterov=True,
)
PRUNE = PruneConfig(fraction=0.4)
# Three rounds that remove 40 % each end where seven of 20 % do: at 78.4 % sparsity.
BASE = Recipe(
    name="fast",
    description="a short budget",
    architectures=("resnet8",),
    train=ONECYCLE,
    prune=PRUNE,
    budget=BudgetConfig(scaling="steps"),
    search=SearchConfig(rounds=3, rewind=RewindPoint("epoch", 1)),
)
LARGE_BATCH = dataclasses.replace(ONECYCLE, batch_size=128)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One search. sizes_of: the variant whose set sizes a random subset takes."""

    method: str
    recipe: Recipe
    sizes_of: str | None = None


def _prac(**changes: Any) -> Variant:
    return Variant(method="prac", recipe=BASE.replace(**changes))


def _at_least(share: float) -> BudgetConfig:
    steps = ONECYCLE.epochs * num_batches(ROWS - ROWS // 10, ONECYCLE.batch_size)
    return BudgetConfig(scaling="epochs", min_round_steps=round(share * steps))


_EPOCHS = BudgetConfig(scaling="epochs")
VARIANTS: dict[str, Variant] = {
    "onecycle/vanilla": Variant(method="vanilla", recipe=BASE),
    "onecycle/prac, steps": _prac(),
    "onecycle/random, steps": Variant(
        method="random-subset", recipe=BASE, sizes_of="onecycle/prac, steps"
    ),
    "onecycle/prac, epochs": _prac(budget=_EPOCHS),
    "onecycle/prac, epochs, 6 at least": _prac(
        budget=dataclasses.replace(_EPOCHS, min_round_epochs=6)
    ),
    # A small set is seen more often: its rounds take so many of the steps of those on all rows.
    "onecycle/prac, 3/4 of the steps": _prac(budget=_at_least(0.75)),
    "onecycle/prac, as many steps": _prac(budget=_at_least(1)),
    "onecycle/random, as many steps": Variant(
        method="random-subset",
        recipe=BASE.replace(budget=_at_least(1)),
        sizes_of="onecycle/prac, as many steps",
    ),
    "multistep/vanilla": Variant(method="vanilla", recipe=BASE.replace(train=MULTISTEP)),
    "multistep/prac, epochs": _prac(train=MULTISTEP, budget=_EPOCHS),
    "multistep/random, epochs": Variant(
        method="random-subset",
        recipe=BASE.replace(train=MULTISTEP, budget=_EPOCHS),
        sizes_of="multistep/prac, epochs",
    ),
    "multistep/prac, steps": _prac(train=MULTISTEP),
    "onecycle/prac, steps, patience 2": _prac(prune=dataclasses.replace(PRUNE, patience=2)),
    "onecycle/prac, steps, tolerance 0.15, patience 2": _prac(
        prune=dataclasses.replace(PRUNE, tolerance=0.15, patience=2)
    ),
    "onecycle/prac, steps, no stop": _prac(prune=dataclasses.replace(PRUNE, tolerance=None)),
    "onecycle/prac, steps, rewind init": _prac(
        search=dataclasses.replace(BASE.search, rewind=RewindPoint("init"))
    ),
    "onecycle 128/vanilla": Variant(method="vanilla", recipe=BASE.replace(train=LARGE_BATCH)),
    "onecycle 128/prac, steps": _prac(train=LARGE_BATCH),
}


def part_of(dataset: ImageDataset, rows: int) -> ImageDataset:
    """The data set with `rows` stratified rows of its training split, a tenth for validation."""
    labels = dataset.train_labels
    _, taken = stratified_split(labels, rows / len(labels), seed=0)
    training, validation = stratified_split(labels[taken], 0.1, seed=0)
    mean, std = channel_statistics(dataset.train_images, taken[training])
    return dataclasses.replace(
        dataset,
        fingerprint=fingerprint((dataset.fingerprint, rows)),
        training_ids=taken[training],
        validation_ids=taken[validation],
        mean=mean,
        std=std,
    )


class Trainer:
    """Trains the rounds; round 0 once for all variants that share it."""

    def __init__(self, images: DeviceImages) -> None:
        self._images = images
        self._first: dict[str, RoundOutcome] = {}

    def __call__(self, task: RoundTask) -> RoundOutcome:
        """One round; round 0 always with events, which change nothing in it."""
        config = task.config
        if config.round_index > 0:
            return self._train(task)
        task = dataclasses.replace(task, config=dataclasses.replace(config, records_events=True))
        # Round 0 trains on everything for the full budget: how others are scaled is not read.
        key = fingerprint(dataclasses.replace(task.config, budget=BudgetConfig()))
        if key not in self._first:
            self._first[key] = self._train(task)
        return self._first[key]

    def _train(self, task: RoundTask) -> RoundOutcome:
        with tempfile.TemporaryDirectory(prefix="prac-fast-") as work:
            return run_round(task, self._images, Folder(work), checkpoint=False)


def measure(
    variant: Variant,
    seed: int,
    images: DeviceImages,
    trainer: Trainer,
    precision: Precision,
    sizes: tuple[int, ...] | None,
) -> dict[str, Any]:
    """One search and the judgement of its last ticket, as JSON values."""
    started = time.monotonic()
    recipe = variant.recipe.replace(
        search=dataclasses.replace(variant.recipe.search, seed=seed),
    )
    sets = None
    if sizes is not None:
        # Only how many they are is read: the samples are drawn anew.
        sets = tuple(PracSet.everything(images.training_ids[:size]) for size in sizes)
    (architecture,) = recipe.architectures
    found = search(
        recipe,
        architecture,
        images,
        trainer,
        method=variant.method,
        precision=precision,
        sets=sets,
    )
    judged = judge(
        JudgeConfig(
            architecture=architecture,
            train=dataclasses.replace(recipe.train, precision=precision),
            augment=recipe.augment,
            seed=seed,
        ),
        found.last_mask,
        found.rewind_weights,
        images,
        run="judge",
    )
    return {
        "test_accuracy": judged.test_accuracy,
        "sparsity": found.last_mask.sparsity,
        "steps": sum(r.outcome.steps for r in found.rounds),
        **_rounds(found),
        "seconds": round(time.monotonic() - started, 1),
    }


def _rounds(found: SearchResult) -> dict[str, Any]:
    return {
        "set_sizes": [len(samples) for samples in found.sets],
        "epochs": [len(r.outcome.epochs) for r in found.rounds],
        "round_steps": [r.outcome.steps for r in found.rounds],
        "validation_accuracies": [round(r.outcome.best_accuracy, 4) for r in found.rounds],
        "distances": [[round(d, 4) for d in r.outcome.distances] for r in found.rounds],
    }


def table(done: Mapping[str, Any]) -> str:
    """Markdown: every variant measured, with its gap to the vanilla search of its schedule."""
    names = list(dict.fromkeys(key.rpartition("#")[0] for key in done))
    lines = [
        "| schedule | search | seeds | SGD steps | saved | test accuracy | gap to vanilla |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in [name for name in VARIANTS if name in names]:
        schedule, _, what = name.partition("/")
        seeds = [key.rpartition("#")[2] for key in done if key.rpartition("#")[0] == name]
        mine = [done[f"{name}#{seed}"] for seed in seeds]
        accuracies = [100 * one["test_accuracy"] for one in mine]
        steps = statistics.mean(one["steps"] for one in mine)
        spread = f" ± {statistics.stdev(accuracies):.2f}" if len(mine) > 1 else ""
        pairs = [
            (one, done[f"{schedule}/vanilla#{seed}"])
            for seed, one in zip(seeds, mine, strict=True)
            if f"{schedule}/vanilla#{seed}" in done
        ]
        saved = statistics.mean(1 - a["steps"] / b["steps"] for a, b in pairs) if pairs else None
        gaps = [100 * (a["test_accuracy"] - b["test_accuracy"]) for a, b in pairs]
        gap = ""
        if gaps:
            gap = f"{statistics.mean(gaps):+.2f} ({', '.join(f'{g:+.2f}' for g in gaps)})"
        lines.append(
            f"| {schedule} | {what} | {len(mine)} | {steps:,.0f} "
            f"| {'' if saved is None else f'{saved:.1%}'} "
            f"| {statistics.mean(accuracies):.2f}{spread} | {gap} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure what is missing, in the order of VARIANTS, seed by seed; print the table."""
    arguments = parser(__doc__)
    arguments.add_argument("--data", required=True, help="parquet:PATH of CIFAR-10, or cifar10")
    arguments.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    arguments.add_argument(
        "--only", nargs="+", choices=VARIANTS, default=list(VARIANTS), metavar="NAME"
    )
    arguments.add_argument("--minutes", type=float, default=60, help="begin nothing after these")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    started, path = time.monotonic(), options.json or Path("benchmarks/fast_recipes.json")
    rows = QUICK_ROWS if options.quick else ROWS
    dataset = part_of(open_source(DataConfig(source=options.data)).load(), rows)
    images = DeviceImages(dataset, BASE.augment)
    precision = resolve_precision("auto", images.device)
    known = json.loads(path.read_text()) if path.exists() else {"results": {}}
    if known.get("rows", rows) != rows:
        sys.exit(f"{path} holds results of {known['rows']} rows; give another --json")
    done = known["results"]
    for seed in options.seeds:
        trainer = Trainer(images)
        for name in [name for name in options.only if f"{name}#{seed}" not in done]:
            if time.monotonic() - started > 60 * options.minutes:
                break
            variant, sizes = VARIANTS[name], None
            if variant.sizes_of is not None:
                beside = done.get(f"{variant.sizes_of}#{seed}")
                if beside is None:
                    continue
                sizes = tuple(beside["set_sizes"])
            done[f"{name}#{seed}"] = measure(variant, seed, images, trainer, precision, sizes)
            path.parent.mkdir(parents=True, exist_ok=True)
            whole = {"rows": rows, "precision": precision, "machine": machine(), "results": done}
            path.with_suffix(".tmp").write_text(json.dumps(whole, indent=1))
            path.with_suffix(".tmp").replace(path)
            print(name, seed, json.dumps(done[f"{name}#{seed}"]), flush=True)
    print(table(done))


if __name__ == "__main__":
    main()
