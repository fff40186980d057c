"""The published budget beside the published table: ResNet-20s, CIFAR-10, PrAC's rounds first.

python tests/benchmarks/published.py --data parquet:PATH [--image-size 16] [--rounds 7] [--seed 0]
    [--only prac random-subset] [--judge] [--minutes 60] [--threads 1] [--device cuda]

The recipe `cifar10_resnet20s` (182 epochs, fp32, early-bird stop) searched by PrAC, then with
random samples, PrAC's sizes and epochs; then vanilla with the same stop. Vanilla without it trains
182 epochs a round, which its steps follow from: --only vanilla trains them all the same. --judge
trains the last ticket of each and the dense network alone, for the test accuracy.
--image-size 16 is a quarter of the work; its accuracies don't compare with published ones.

Every epoch leaves a checkpoint in --work, every finished round is a row of
tests/benchmarks/evidence/published_SIZE_seed_SEED.json and of the page beside it: the same command
goes on.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evidence_page import markdown
from evidence_searches import Told
from measuring import parser, write_results

from prac import Method, search
from prac.config.methods import METHODS, VANILLA
from prac.config.recipes import get_recipe
from prac.data.sources import open_source
from prac.lottery.search import Local
from prac.lottery.search_result import SearchResult, SearchRound
from prac.selection.prac_set import PracSet, Reason

RECIPE = "cifar10_resnet20s"
PUBLISHED_SETS = {
    1: (1501, 24159, 24168),
    2: (1481, 21708, 21728),
    3: (3935, 19542, 19838),
    4: (3782, 17674, 18161),
    5: (4723, 16091, 16712),
    6: (5514, 14771, 16026),
    7: (4420, 14357, 15202),
    8: (4602, 13909, 14880),
    10: (5360, 14168, 15376),
    15: (6616, 15369, 16499),
}
"""CEP, CET and PrAC, by the round that made them (arXiv:2106.03225)."""
REPLAYED_STOPS = (96, 65, 50, 29, 23, 19, 19, 19, 21, 21, 25, 25, 27, 28, 27, 30)
"""Epochs of rounds 0 to 15 in an independent replay of the published search at 32x32."""
PUBLISHED_STEPS, PUBLISHED_SAVED = 72_000, 0.8393
"""To 79.03 % sparsity: of PrAC, and against vanilla's 448,448."""
COMPARED_ROUNDS = 7
"""Rounds 0 to 6 find the ticket with 79.03 % sparsity."""

STOPPED = Method(
    name="vanilla, stopped",
    summary="the same rounds on everything, stopped as PrAC's are",
    data="everything",
)
SEARCHES: Mapping[str, str | Method] = {
    "prac": "prac",
    "random-subset": "random-subset",
    "vanilla, stopped": STOPPED,
    VANILLA: METHODS[VANILLA],
}
"""What can be searched by, in the order in which it is."""
JUDGED = ("prac", "random-subset", VANILLA)


def row(method: str, round_: SearchRound, made: PracSet) -> dict[str, Any]:
    """Of a round: what it trained on and for how long, and the set that it made for the next."""
    facts = round_.facts
    assert facts is not None
    cet = Reason.FORGOTTEN | Reason.NEVER_LEARNED
    return {
        "method": method,
        "round": round_.index,
        "sparsity": round_.mask.sparsity,
        "set_size": len(round_.samples),
        "epochs": facts.epochs,
        "budget_epochs": facts.budget_epochs,
        "steps": round_.steps,
        "seconds": round(sum(facts.curves["seconds"]), 1),
        "validation": facts.best_accuracy,
        "cep": len(made.having(Reason.DISAGREED)),
        "cet": len(made.having(cet)),
        "next_size": len(made),
        "test": sum(found) / len(found) if (found := round_.test_accuracies) else None,
        "distances": list(facts.distances),
    }


def rows_of(method: str, found: SearchResult) -> list[dict[str, Any]]:
    """Of every round that was trained."""
    sets = found.sets
    return [row(method, one, sets[one.index + 1]) for one in found.rounds if one.facts is not None]


def page(rows: Sequence[Mapping[str, Any]], size: int, seed: int, epochs: int) -> str:
    """Markdown: each round beside the published one, then the steps of each method."""
    by_method = {name: [r for r in rows if r["method"] == name] for name in SEARCHES}
    parts = [
        f"# The published budget: ResNet-20s on CIFAR-10 at {size}x{size}, seed {seed}\n",
        f"Recipe `cifar10_resnet20s`: {epochs} epochs, fp32, 20 % of the weights a round, "
        "early-bird stop at 0.08, epochs scaled with the set. Sets are those that a round makes "
        "for the next one; published sizes are of arXiv:2106.03225 at 32x32, stop epochs of an "
        "independent replay." + ("" if size == 32 else " Accuracies don't compare at this size."),
    ]
    for name, mine in by_method.items():
        if mine:
            parts += [f"## {name}", _rounds(mine, name)]
    parts += _beside(by_method, "random-subset", "random samples")
    parts += _beside(by_method, "vanilla, stopped", "everything with the same stop")
    return "\n\n".join([*parts, "## Steps to the ticket", _steps(by_method)]) + "\n"


def _beside(
    by_method: Mapping[str, Sequence[Mapping[str, Any]]], other: str, what: str
) -> list[str]:
    """How much better the networks of PrAC's rounds are than those of another method's."""
    theirs = {one["round"]: one for one in by_method[other]}
    mine = [one for one in by_method["prac"] if one["round"] in theirs]
    # Round 0 is the same dense run.
    pairs = [(one, theirs[one["round"]]) for one in mine if one["round"] > 0]
    if not pairs:
        return []
    points = [100 * (ours["validation"] - their["validation"]) for ours, their in pairs]
    ours, their = (sum(one["steps"] for one in rounds) for rounds in zip(*pairs, strict=True))
    return [
        f"## PrAC's networks beside those on {what}",
        f"Validation accuracy of PrAC's minus theirs in points, from round 1 on: "
        f"{', '.join(f'{one:+.2f}' for one in points)}; mean {sum(points) / len(points):+.2f}. "
        f"These rounds took {ours:,} steps, and {their:,} on {what}. Rounds of one search are not "
        "independent of each other, so no interval is given.",
    ]


def _rounds(rows: Sequence[Mapping[str, Any]], name: str) -> str:
    known = name == "prac"
    heads = ["round", "sparsity, %", "trained on", "epochs", "replay", "steps", "validation, %"]
    heads += ["CEP, CET, PrAC made", "published"] if known else []
    lines = []
    for one in rows:
        index = one["round"]
        cells = [index, f"{100 * one['sparsity']:.2f}", f"{one['set_size']:,}", one["epochs"]]
        if known:
            cells.append(REPLAYED_STOPS[index])
        cells += [f"{one['steps']:,}", f"{100 * one['validation']:.2f}"]
        if known:
            cells.append(_sizes((one["cep"], one["cet"], one["next_size"])))
            cells.append(_sizes(PUBLISHED_SETS.get(index, ())))
        lines.append(cells)
    return markdown(heads if known else [h for h in heads if h != "replay"], lines)


def _sizes(sizes: Sequence[int]) -> str:
    return ", ".join(f"{size:,}" for size in sizes)


def _steps(by_method: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    heads = ["method", "rounds", "sparsity found, %", "steps", "of vanilla's", "saved, %"]
    lines: list[list[object]] = []
    for name, mine in by_method.items():
        rounds = mine[:COMPARED_ROUNDS]
        if not rounds:
            continue
        steps, first = sum(one["steps"] for one in rounds), rounds[0]
        # Without a stop every round takes the full budget, which round 0 tells a share of.
        full = first["steps"] * first["budget_epochs"] // first["epochs"] * len(rounds)
        lines.append([
            name, len(rounds), f"{100 * (1 - 0.8 ** len(rounds)):.2f}", f"{steps:,}", f"{full:,}",
            f"{100 * (1 - steps / full):.2f}", f"{sum(one['seconds'] for one in rounds):,.0f}",
            ", ".join(f"{100 * r['test']:.2f}" for r in mine if r["test"] is not None),
        ])  # fmt: skip
    full = 64_064 * COMPARED_ROUNDS
    known = ["published, PrAC", COMPARED_ROUNDS, "79.03", f"{PUBLISHED_STEPS:,}", f"{full:,}"]
    lines.append([*known, f"{100 * PUBLISHED_SAVED:.2f}", "", ""])
    return markdown([*heads, "seconds", "test, %"], lines)


def main() -> None:
    """Search round by round, so that each that is done is kept; write rows and page after each."""
    arguments = parser(__doc__)
    arguments.add_argument("--data", required=True, help="parquet:PATH of CIFAR-10, or cifar10")
    arguments.add_argument("--image-size", type=int, default=32)
    arguments.add_argument("--rounds", type=int, default=COMPARED_ROUNDS)
    arguments.add_argument("--epochs", type=int, default=None, help="the published 182 unless said")
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--only", nargs="+", choices=SEARCHES, default=list(SEARCHES)[:3])
    arguments.add_argument("--judge", action="store_true", help="train and test the last tickets")
    arguments.add_argument("--minutes", type=float, default=60, help="begin nothing after these")
    arguments.add_argument("--work", type=Path, default=Path("benchmarks/published-work"))
    arguments.add_argument("--threads", type=int, default=1)
    arguments.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    options = arguments.parse_args()
    started, size = time.monotonic(), options.image_size
    recipe = get_recipe(RECIPE).set(search={"seed": options.seed})
    if options.epochs is not None:
        recipe = recipe.with_epochs(options.epochs)
    name = f"published_{size}_seed_{options.seed}"
    if options.epochs is not None:
        name += f"_epochs_{options.epochs}"
    path = options.json or Path(__file__).parent / "evidence" / f"{name}.json"
    config = dataclasses.replace(
        recipe.data, source=options.data, image_size=None if size == 32 else size
    )
    data = open_source(config).load()
    kept = json.loads(path.read_text())["rows"] if path.exists() else []
    known = {(one["method"], one["round"]): one for one in kept}
    for name in [name for name in SEARCHES if name in options.only]:
        method = SEARCHES[name]
        for rounds in range(1, options.rounds + 1):
            if time.monotonic() - started > 60 * options.minutes:
                return
            last = options.judge and rounds == options.rounds and name in JUDGED
            result = search(
                recipe.set(search={"rounds": rounds}).replace(
                    compare=() if name == "prac" else (method,)
                ),
                data=data,
                judge=(0, rounds) if last else "none",
                store=options.work,
                how=Local(device=options.device, threads=options.threads, display=Told()),
            )
            for one in rows_of(name, result[method]):
                # A test accuracy is of the call that judged.
                before = known.get((name, one["round"]), one)["test"]
                test = before if one["test"] is None else one["test"]
                known[name, one["round"]] = one | {"test": test}
            rows = [one for method in SEARCHES for one in known.values() if one["method"] == method]
            print({**rows[-1], "distances": "..."}, flush=True)
            told = page(rows, size, options.seed, recipe.train.epochs)
            write_results(path, rows, told, recipe=RECIPE, size=size, seed=options.seed)


if __name__ == "__main__":
    main()
