"""Whole searches for `evidence.py`: a variant as values of the search, its twin, vanilla, dense."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from prac.config.costs import TRAINING_FLOPS
from prac.config.methods import CONTROL, VANILLA
from prac.config.recipe import Recipe
from prac.config.sections import SelectConfig
from prac.config.values import RewindPoint, Share
from prac.lottery.bill import flops
from prac.lottery.graph import Stage
from prac.lottery.outputs import Facts
from prac.lottery.progress import Display, EpochNews
from prac.lottery.search import Local, search
from prac.lottery.search_result import SearchResult

SOFT = 0.25
"""The share of the samples outside a soft set that an epoch draws."""
SHARE = 0.5
"""The share of a PrAC set that is trained on where its batches are filtered."""
SHARE_OF_ALL = 0.46
"""The same of everything: what the first PrAC set was of the training split."""
HARDEST_CUT = SelectConfig(
    score="forgets", sampler="ccs", fraction=0.5, options={"hardest_cut": 0.1}
)
"""Coverage-centric selection: strata of the forget counts, the hardest tenth out."""
ROUNDS = 3
"""Masks of 40 % each: the last has 78.4 % sparsity."""

ONE_CUT = "soft, one cut"
"""Soft sets, and as sparse after one mask as the others after three."""
LONG_CUT = "soft-long, one cut"
"""The same, trained on its set for the full budget's steps."""
LONG_GRADUAL = "soft-long, gradual"
"""The same, pruned little by little in the first half of that training."""
GRADUAL = "gradual"
"""Plain: one training on everything, pruned on the way; no dense run, no set, so no twin."""
GRADUAL_LONG = "gradual-long"
"""The same for twice the epochs, which are half of vanilla's steps."""
PLAIN = {GRADUAL: 1, GRADUAL_LONG: 2}
"""By how many full budgets."""
VANILLA_CUT = "vanilla, one cut"
"""Its one round on everything, under a mask as sparse as its third."""
NO_TWIN = (VANILLA_CUT, *PLAIN)
"""They choose no samples."""
CUTS = (ONE_CUT, LONG_CUT, LONG_GRADUAL, *NO_TWIN)

SETTINGS: dict[str, tuple[dict[str, Any], str]] = {
    "prac": ({}, "prac"),
    "soft": ({"soft": SOFT}, "prac"),
    "filter": ({"filter": SHARE}, "prac"),
    "filter-all": ({"filter": SHARE_OF_ALL, "score": "random", "fraction": 1.0}, "prac"),
    "ccs": ({"options": dict(HARDEST_CUT.options)}, "forgets-ccs"),
    "cet": ({"cep": False}, "prac"),
    ONE_CUT: ({"soft": SOFT}, "prac"),
    LONG_CUT: ({"soft": SOFT}, "prac"),
    LONG_GRADUAL: ({"soft": SOFT}, "prac"),
    VANILLA_CUT: ({}, VANILLA),
    **{name: ({}, "gradual") for name in PLAIN},
}
"""By variant: how the search selects, and by which of its methods."""


class Told(Display):
    """A line an epoch."""

    def started(self, stage: Stage) -> None:
        print(f"{stage.name} starts", flush=True)

    def news(self, news: EpochNews) -> None:
        print(
            f"{news.stage}: epoch {news.epoch}, validation {news.validation_accuracy:.4f}",
            flush=True,
        )

    def finished(self, stage: Stage, facts: Facts) -> None:
        print(f"{stage.name} is done", flush=True)

    def close(self) -> None:
        """Nothing is open."""

    def say(self, line: str) -> None:
        print(line, flush=True)


def search_rows(
    bench: Any, seed: int, options: Any, twins: Mapping[str, str], known: set[str]
) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """What is to be run for one seed, a row of a search and what it borrows from at a time."""

    def one(variant: str, told: str, method: str, start: str) -> list[dict[str, Any]]:
        if told in PLAIN:
            return [bench.pruned_on_the_way(told, seed, PLAIN[told], test=options.test)]
        rounds = 1 if told.startswith(CUTS) else ROUNDS
        found = _searched(bench, seed, variant, method, start, rounds, test=options.test)
        made = [_row(bench, found[method], told, start, seed, rounds, test=options.test)]
        if f"dense//{seed}" not in known:
            # As found it is each method's own; judged, it is PrAC's.
            first = found[method] if start == "learning-rate" else found
            made.insert(0, _dense_row(bench, first, seed))
        known.update(f"{row['variant']}/{row['start']}/{seed}" for row in made)
        return made

    for variant in options.only:
        ways = {variant: SETTINGS[variant][1], VANILLA: VANILLA}
        if twins[variant] != variant:
            ways = {variant: ways[variant], twins[variant]: CONTROL, **ways}
        for start in options.starts:
            for told, method in ways.items():
                if f"{told}/{start}/{seed}" not in known:
                    yield partial(one, variant, told, method, start)


def searched_recipe(
    recipe: Recipe, variant: str, seed: int, start: RewindPoint, rounds: int
) -> Recipe:
    """The recipe of one search: as a variant selects, as sparse as after `ROUNDS`."""
    fraction = 1 - (1 - recipe.prune.fraction) ** (ROUNDS / rounds)
    made = recipe.set(
        select=SETTINGS[variant][0],
        prune={"fraction": fraction},
        budget={"min_round_steps": Share(1.0)} if variant in (LONG_CUT, LONG_GRADUAL) else {},
        search={"seed": seed, "rounds": rounds, "rewind": start},
    )
    return made.set(prune={"gradual": 0.5}) if variant == LONG_GRADUAL else made


def _searched(
    bench: Any, seed: int, variant: str, method: str, start: str, rounds: int, *, test: bool
) -> SearchResult:
    goes_on = start == "learning-rate"
    rewind = RewindPoint("learning-rate") if goes_on else bench.recipe.search.rewind
    recipe = searched_recipe(bench.recipe, variant, seed, rewind, rounds)
    # Networks as found are tested; where none is, the dense one and the last ticket are judged.
    judged = () if goes_on else (*((0,) if test else ()), rounds)
    judge: Any = "none" if goes_on and not test else judged
    return search(
        recipe.replace(compare=() if method == "prac" else (method,)),
        data=bench.dataset,
        judge=judge,
        only=(method,) if goes_on else (),
        store=bench.work / "searches",
        how=Local(device="cpu", display=Told()),
    )


def _dense_row(bench: Any, found: SearchResult, seed: int) -> dict[str, Any]:
    """Test accuracy is of the dense network as tickets have theirs: as found, or judged."""
    first = found.rounds[0]
    assert first.facts is not None
    samples = first.facts.epochs * len(first.samples)
    return {
        "variant": "dense",
        "start": "",
        "seed": seed,
        "sparsity": 0.0,
        "set_size": len(first.samples),
        "steps": first.steps,
        "samples": samples,
        "flops": TRAINING_FLOPS * samples * bench.flops,
        "seconds": round(sum(first.facts.curves["seconds"]), 1),
        "validation": first.facts.best_accuracy,
        "test": first.test_accuracies[0] if first.test_accuracies else first.found_test_accuracy,
    }


def _row(
    bench: Any, found: SearchResult, variant: str, start: str, seed: int, rounds: int, *, test: bool
) -> dict[str, Any]:
    """Of the network with the last mask: as the search's own round left it, or judged."""
    last, bill = found.rounds[rounds], found.bill
    if last.facts is None:
        lineage = found.tickets[rounds].lineage
        validation, tested = lineage["validation_accuracy"], lineage["test_accuracy"]
    else:
        validation, tested = last.facts.best_accuracy, last.found_test_accuracy
    return {
        "variant": variant,
        "start": start,
        "seed": seed,
        "sparsity": last.mask.sparsity,
        "set_size": len(last.samples),
        "steps": bill.steps,
        "samples": bill.samples + bill.score_samples + bill.cep_samples,
        "flops": flops([bill], bench.flops),
        "seconds": round(bill.seconds, 1),
        "validation": validation,
        "test": tested if test else None,
    }
