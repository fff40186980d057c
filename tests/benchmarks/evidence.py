"""Does choosing samples pay? CIFAR-10 at 32x32 with the recipe `cifar10_speed`: a table a command.

python tests/benchmarks/evidence.py --data parquet:PATH [--table one_training] [--seeds 0 1 2]
    [--minutes 60] [--only prac soft] [--starts rewind] [--threads 1] [--device cuda]
    [--network resnet20s]

one_training: a dense network is trained on everything; then one network more on a set of its
samples, without pruning, and its twin: as many samples, drawn alike, chosen by chance, for as many
SGD steps. It starts from the dense run's rewind weights (`rewind`), or goes on from its best ones
while the schedule starts again (`learning-rate`: Renda et al. 2020, arXiv:2003.02389).
one_round: the same under the dense run's first mask. one_cut: the same under one mask with the
sparsity of the last that searches make. searches: whole searches of a variant, its
twin and vanilla (`evidence_searches`), for --only two at most; `soft, one cut` is the recipe
`cifar10_fast`, `vanilla, one cut` its vanilla, `gradual` a plain method without sets. transfer: one
training of another network on the first one's PrAC set, on its own, by chance, and on everything.

Every epoch leaves a checkpoint in --work and every finished row is written at once: the same
command goes on where it stopped. Rows and a page are in tests/benchmarks/evidence/; those of
--network, another than the recipe's, are a table of their own. --test reads the test split, and is
for fresh seeds alone.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from evidence_page import NETWORK, page
from evidence_searches import CUTS, LONG_GRADUAL, SETTINGS, search_rows
from evidence_trainings import CHOSEN, SEARCHED, TRANSFERRED, Bench, key, rows, transfer_rows
from measuring import parser, write_results

from prac.models.catalogue import ARCHITECTURES

EXPLORING = (0, 1, 2)
"""Seeds that variants are chosen on; a test accuracy is of others."""
TABLES = ("one_training", "one_round", "one_cut", "searches", "transfer")
MOST_SEARCHED = 2
"""Variants that whole searches are run for."""
STARTS = ("rewind", "learning-rate")


def main() -> None:
    """Run what is missing, seed by seed; write rows and page after each."""
    arguments = parser(__doc__)
    arguments.add_argument("--data", required=True, help="parquet:PATH of CIFAR-10, or cifar10")
    arguments.add_argument("--table", choices=TABLES, default=TABLES[0])
    arguments.add_argument("--seeds", type=int, nargs="+", default=list(EXPLORING))
    arguments.add_argument("--only", nargs="+", choices=SEARCHED, default=CHOSEN)
    arguments.add_argument("--starts", nargs="+", choices=STARTS, default=list(STARTS))
    arguments.add_argument("--minutes", type=float, default=60, help="begin nothing after these")
    arguments.add_argument("--work", type=Path, default=Path("benchmarks/evidence-work"))
    arguments.add_argument("--network", default=NETWORK, help="another than the recipe's")
    arguments.add_argument("--threads", type=int, default=1)
    arguments.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    arguments.add_argument("--test", action="store_true", help="read the test split: fresh seeds")
    options = arguments.parse_args()
    _check(options)
    torch.set_num_threads(options.threads)
    started = time.monotonic()
    network = options.network
    name = options.table if network == NETWORK else f"{options.table}_{network}"
    path = options.json or Path(__file__).parent / "evidence" / f"{name}.json"
    done: list[Any] = json.loads(path.read_text())["rows"] if path.exists() else []
    bench = Bench(options.data, options.work, options.quick, network, options.device)
    wanted = list(
        dict.fromkeys(
            (name, start)
            for variant in options.only
            for start in options.starts
            for name in (variant, SEARCHED[variant])
        )
    )
    for seed in options.seeds:
        known = {key(row["variant"], row["start"], row["seed"]) for row in done}
        if options.table == "searches":
            runs = search_rows(bench, seed, options, SEARCHED, known)
        elif options.table == "transfer":
            runs = transfer_rows(bench, seed, known, options)
        else:
            runs = rows(bench, seed, wanted, known, options)
        for run in runs:
            if time.monotonic() - started > 60 * options.minutes:
                return
            made = run()
            done += made if isinstance(made, list) else [made]
            print(json.dumps(made), flush=True)
            twins = TRANSFERRED if options.table == "transfer" else SEARCHED
            told = page(done, twins, options.table, network)
            write_results(path, done, told, recipe="cifar10_speed", network=network)


def _check(options: Any) -> None:
    """End where what is asked for can't be."""
    only, table = options.only, options.table
    if options.network not in ARCHITECTURES:
        sys.exit(f"--network: {options.network!r} is none of {', '.join(ARCHITECTURES)}")
    if table == "transfer" and options.network != NETWORK:
        sys.exit(f"--table transfer hands over the sets of {NETWORK}; it takes no --network")
    if options.test and set(options.seeds) & set(EXPLORING):
        sys.exit(f"--test is for fresh seeds; {EXPLORING} are those that variants are chosen on")
    goes_on = options.starts == ["learning-rate"]
    apart = {LONG_GRADUAL} if table == "one_cut" and goes_on else set()
    cuts = [name for name in only if name in CUTS and name not in apart]
    if table != "searches" and cuts:
        sys.exit(f"{cuts[0]} is of whole searches; --table one_cut has its parts")
    of_trainings = [name for name in only if name not in SETTINGS]
    if table == "searches" and of_trainings:
        sys.exit(
            f"whole searches run vanilla beside each variant; {of_trainings[0]} is of other tables"
        )
    if table == "searches" and len(only) > MOST_SEARCHED:
        sys.exit(f"whole searches are for --only {MOST_SEARCHED} variants at most")


if __name__ == "__main__":
    main()
