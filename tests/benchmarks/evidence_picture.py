"""The picture of whole searches: test accuracy of their tickets over the SGD steps to find them.

python tests/benchmarks/evidence_picture.py --out PNG [--rows searches.json]

Drawn as a report draws it, of the searches that the recipe `cifar10_fast` stands on. A ring is
round the ticket to take where the report's own decision says that choosing the samples paid.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.text import Text

from prac.analysis.results import Results, RoundRow, SearchRow
from prac.config.methods import CONTROL, PRAC, VANILLA, method_label
from prac.config.recipes import get_recipe
from prac.report.figures import AT_STEPS, to_png

HERE = Path(__file__).parent
(NETWORK,) = get_recipe("cifar10_fast").architectures
METHODS = {
    "soft, one cut": PRAC.name,
    "soft, one cut, by chance": CONTROL,
    "vanilla": VANILLA,
    "vanilla, one cut": "vanilla, one cut",
    "soft": "soft set, three masks",
    "gradual-long": "gradual",
}
"""Variants, by the method that they are drawn as."""
FURTHER = ("vanilla, one cut", "soft", "gradual-long")
"""Left out where they have not all of vanilla's seeds."""
LABELS = {
    PRAC.name: "soft set, one cut",
    CONTROL: "random samples in its place",
    VANILLA: "vanilla, three masks",
    "gradual": "no set, pruned on the way",
}
"""What the legend calls them: the report's words would say less."""
ROUND = 1
"""Of all of them: they are as sparse."""


def results_of(rows: Sequence[Mapping[str, Any]]) -> Results:
    """Of the seeds that every variant has."""
    by_variant = {
        name: {row["seed"]: row for row in rows if row["variant"] == name}
        for name in ("dense", *METHODS)
    }
    for name in FURTHER:
        if not by_variant["vanilla"].keys() <= by_variant[name].keys():
            del by_variant[name]
    seeds = tuple(sorted(set.intersection(*map(set, by_variant.values()))))
    if not seeds:
        missing = [name for name, mine in by_variant.items() if not mine]
        sys.exit(f"no seed has all of {', '.join(by_variant)}; without any: {', '.join(missing)}")
    of = {name: [mine[seed] for seed in seeds] for name, mine in by_variant.items()}
    full = sum(row["steps"] for row in of["vanilla"]) / len(seeds)
    drawn, searches = [], []
    for variant in [name for name in METHODS if name in of]:
        method = METHODS[variant]
        mine = of[variant]
        steps = round(sum(row["steps"] for row in mine) / len(mine))
        told: dict[str, Any] = {
            "architecture": NETWORK,
            "method": method,
            "round": ROUND,
            "sparsity": mine[0]["sparsity"],
        }
        drawn.append(
            RoundRow(
                **told,
                trained=True,
                weights_left=0,
                set_size=mine[0]["set_size"],
                cet_size=None,
                cep_size=None,
                overlap=None,
                epochs=0,
                budget_epochs=0,
                steps=0,
                search_steps=steps,
                steps_saved=1 - steps / full,
                validation_accuracy=None,
                best_epoch=None,
                seconds=0.0,
                test_accuracies=tuple(row["test"] for row in mine),
                validation_accuracies=tuple(row["validation"] for row in mine),
                as_found=True,
            )
        )
        searches += [
            SearchRow(
                **told,
                search_seed=row["seed"],
                set_size=row["set_size"],
                search_steps=row["steps"],
                steps_saved=1 - row["steps"] / vanilla["steps"],
                validation_accuracy=row["validation"],
                test_accuracies=(row["test"],),
            )
            for row, vanilla in zip(mine, of["vanilla"], strict=True)
        ]
    return Results(
        title="",
        data="CIFAR-10",
        recipe="cifar10_fast",
        num_training_samples=45_000,
        num_test_samples=10_000,
        num_classes=10,
        tolerance=None,
        seed=seeds[0],
        judging_seeds=seeds,
        searches=tuple(searches),
        settings={},
        roles={"vanilla, one cut": "everything", "soft set, three masks": "own sizes"},
        rows=tuple(drawn),
        dense_test_accuracies={NETWORK: tuple(row["test"] for row in of["dense"])},
        dense_validation_accuracies={NETWORK: tuple(row["validation"] for row in of["dense"])},
    )


def main() -> None:
    """Draw it."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=Path, default=HERE / "evidence" / "searches.json")
    arguments.add_argument("--out", type=Path, required=True)
    options = arguments.parse_args()
    found = results_of(json.loads(options.rows.read_text())["rows"])
    figure = AT_STEPS.draw(found)
    told = {method_label(method): label for method, label in LABELS.items()}
    for text in figure.legends[0].get_texts():
        text.set_text(told.get(text.get_text(), text.get_text()))
        if text.get_text().startswith("± one std"):
            text.set_text(f"bars: ± std, {len(found.judging_seeds)} searches")
    for text in figure.findobj(Text):
        if text.get_text() == NETWORK:
            text.set_text(f"{NETWORK} on CIFAR-10, {100 * found.rows[0].sparsity:.1f} % removed")
    options.out.write_bytes(to_png(figure))


if __name__ == "__main__":
    main()
