"""Short budgets on CIFAR-10: named variants of PrAC against vanilla and random subsets.

python tests/benchmarks/fast_recipes.py --data parquet:PATH [--experiment part|small]
    [--seeds 0 1] [--minutes 60] [--quick]

`part` takes 10,000 rows as they are, 8 epochs; `small` all rows at 16x16 pixels, where an epoch is
a quarter of the work, 8 and 20 epochs. One process, one thread. Every variant is a search and the
judgement of its last tickets, trained alone on all rows for the full budget; the baselines of a
schedule have that schedule too. Each finished (variant, seed) is written at once: the same command
goes on where it stopped.
"""

import dataclasses
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from fast_variants import EXPERIMENTS, Variant
from measuring import machine, parser

from prac.config.sections import BudgetConfig, DataConfig, Precision
from prac.data.batches import DeviceImages
from prac.data.dataset import ImageDataset
from prac.data.sources import open_source
from prac.data.splits import channel_statistics, stratified_split
from prac.fingerprint import fingerprint
from prac.lottery.compose import build_graph
from prac.lottery.folder_store import FolderStore
from prac.lottery.local import LocalEnv, run_local
from prac.lottery.outputs import JudgeFacts, Made, RoundFacts, SetFacts
from prac.lottery.request import Request
from prac.lottery.rounds import RoundOutcome, RoundTask, run_round
from prac.storage import Folder
from prac.training.precision import resolve_precision

QUICK_ROWS = 600
"""Of any experiment with --quick."""


def part_of(dataset: ImageDataset, rows: int | None) -> ImageDataset:
    """The data set with `rows` stratified rows of its training split, a tenth for validation."""
    if rows is None:
        return dataset
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
            return run_round(task, self._images, Folder(work))


class Bench:
    """One seed's searches: what one of them needs of another is trained once.

    folder: of finished stages and work, as long as the program runs.
    """

    def __init__(
        self, dataset: ImageDataset, images: DeviceImages, precision: Precision, folder: Path
    ) -> None:
        self._dataset, self._images, self._precision = dataset, images, precision
        self._trainer, self._folder = Trainer(images), folder
        self._store = FolderStore(folder / "stages")

    def measure(self, variant: Variant, seed: int, judged: tuple[int, ...]) -> dict[str, Any]:
        """One search and the judgements of its last tickets, as JSON values.

        The search that a random subset borrows from is run where it has not been in this process,
        and is not counted.
        """
        started, dataset = time.monotonic(), self._dataset
        recipe = variant.recipe.replace(
            search=dataclasses.replace(variant.recipe.search, seed=seed),
            compare=() if variant.method == "prac" else (variant.method,),
        )
        rounds = recipe.search.rounds
        last = [rounds + 1 + place for place in judged]
        request = Request(
            recipe=recipe,
            data=dataset.fingerprint,
            data_name=dataset.name,
            num_training=len(dataset.training_ids),
            precision=self._precision,
            judge=tuple(last),
        )
        graph = build_graph(request)
        found = next(s for s in graph.searches if s.method == variant.method)
        judgements = [found.judgements[index][0] for index in last]
        env = LocalEnv(
            data=dataset.fingerprint,
            load=lambda: dataset,
            augment=recipe.augment,
            storage=Folder(self._folder / "work"),
            train_round=self._trainer,
        )
        # The judgements, and the last set for its size.
        wanted = [*judgements, *found.samples[-1:]]
        ran = run_local(graph, env, self._store, only=wanted)

        def made(name: str) -> Made:
            return self._store.read(ran.finished[name])

        trained = [made(name) for name in found.rounds]
        facts = [one.known(RoundFacts) for one in trained]
        accuracies = {
            f"{facts[index - 1].next_sparsity:.4f}": made(name).known(JudgeFacts).test_accuracy
            for index, name in zip(last, judgements, strict=True)
        }
        size = len(dataset.training_ids)
        if found.samples:
            size = made(found.samples[-1]).known(SetFacts).set_size
        return {
            "test_accuracy": list(accuracies.values())[-1],
            "test_accuracies": accuracies,
            "sparsity": facts[-1].next_sparsity,
            "steps": sum(one.cost.steps for one in trained),
            "set_sizes": [*(one.set_size for one in facts), size],
            "epochs": [one.epochs for one in facts],
            "round_steps": [one.cost.steps for one in trained],
            "validation_accuracies": [round(one.best_accuracy, 4) for one in facts],
            "distances": [[round(d, 4) for d in one.distances] for one in facts],
            "seconds": round(time.monotonic() - started, 1),
        }


def table(done: Mapping[str, Any], variants: Mapping[str, Variant]) -> str:
    """Markdown: every variant measured, with its gap to the vanilla search of its schedule."""
    names = list(dict.fromkeys(key.rpartition("#")[0] for key in done))
    lines = [
        "| schedule | search | seeds | SGD steps | saved | test accuracy | gap to vanilla |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in [name for name in variants if name in names]:
        schedule, _, what = name.partition("/")
        seeds = [key.rpartition("#")[2] for key in done if key.rpartition("#")[0] == name]
        mine = [done[f"{name}#{seed}"] for seed in seeds]
        pairs = [
            (one, done[f"{schedule}/vanilla#{seed}"])
            for seed, one in zip(seeds, mine, strict=True)
            if f"{schedule}/vanilla#{seed}" in done
        ]
        steps = statistics.mean(one["steps"] for one in mine)
        saved = statistics.mean(1 - a["steps"] / b["steps"] for a, b in pairs) if pairs else None
        accuracies, gaps = [], []
        for at in range(len(_accuracies(mine[0]))):
            values = [_accuracies(one)[at] for one in mine]
            spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
            accuracies.append(f"{statistics.mean(values):.2f}{spread}")
            apart = [_accuracies(a)[at] - _accuracies(b)[at] for a, b in pairs]
            if apart:
                each = ", ".join(f"{gap:+.2f}" for gap in apart)
                gaps.append(f"{statistics.mean(apart):+.2f} ({each})")
        lines.append(
            f"| {schedule} | {what} | {len(mine)} | {steps:,.0f} "
            f"| {'' if saved is None else f'{saved:.1%}'} "
            f"| {'; '.join(accuracies)} | {'; '.join(gaps)} |"
        )
    return "\n".join(lines)


def _accuracies(one: Mapping[str, Any]) -> list[float]:
    """Percent, by rising sparsity."""
    return [100 * accuracy for accuracy in one["test_accuracies"].values()]


def main() -> None:
    """Measure what is missing, in the order of the variants, seed by seed; print the table."""
    arguments = parser(__doc__)
    arguments.add_argument("--data", required=True, help="parquet:PATH of CIFAR-10, or cifar10")
    arguments.add_argument("--experiment", choices=EXPERIMENTS, default="part")
    arguments.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    arguments.add_argument("--only", nargs="+", metavar="NAME", help="these variants alone")
    arguments.add_argument("--minutes", type=float, default=60, help="begin nothing after these")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    started, path = time.monotonic(), options.json or Path("benchmarks/fast_recipes.json")
    experiment = EXPERIMENTS[options.experiment]
    variants = experiment.variants
    wanted = options.only or list(variants)
    if not set(wanted) <= set(variants):
        sys.exit(f"--only knows of {options.experiment}: {'; '.join(variants)}")
    rows = QUICK_ROWS if options.quick else experiment.rows
    source = DataConfig(source=options.data, image_size=experiment.image_size)
    dataset = part_of(open_source(source).load(), rows)
    images = DeviceImages(dataset, experiment.augment)
    precision = resolve_precision("auto", images.device)
    told = {"experiment": options.experiment, "rows": rows}
    known = json.loads(path.read_text()) if path.exists() else {"results": {}, **told}
    if any(known.get(name) != value for name, value in told.items()):
        sys.exit(f"{path} holds results of another experiment; give another --json")
    done = known["results"]
    for seed in options.seeds:
        with tempfile.TemporaryDirectory(prefix="prac-fast-") as folder:
            bench = Bench(dataset, images, precision, Path(folder))
            for name in [name for name in wanted if f"{name}#{seed}" not in done]:
                if time.monotonic() - started > 60 * options.minutes:
                    break
                one = bench.measure(variants[name], seed, experiment.judged)
                done[f"{name}#{seed}"] = one
                path.parent.mkdir(parents=True, exist_ok=True)
                whole = {**told, "precision": precision, "machine": machine(), "results": done}
                path.with_suffix(".tmp").write_text(json.dumps(whole, indent=1))
                path.with_suffix(".tmp").replace(path)
                print(name, seed, json.dumps(one), flush=True)
    print(table(done, variants))


if __name__ == "__main__":
    main()
