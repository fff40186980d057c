"""`prac stops`: finished rounds put into a store by hand, replayed by the command."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path

import pytest
from support.stored import left

from prac.app.options import Options
from prac.app.places import open_place
from prac.app.planned import plan_pipeline
from prac.config.recipe import Recipe
from prac.config.recipes import digits
from prac.lottery.outputs import Made, RoundFacts

SMALL = ("--architectures", "resnet8", "--rounds", "2", "--workers", "1")
# 21 steps an epoch on 1,294 images in batches of 64; the recipe rewinds to epoch 1.
WHOLE = [0.3, 0.2, 0.07, 0.06, 0.05, 0.04, *[0.01] * 9]
CUT = [0.3, 0.2, 0.07, 0.06, 0.05]


def _fill(home: Path, recipe: Recipe, rounds: dict[str, list[float]]) -> None:
    """Put rounds with these distances into the store, as a pipeline would have left them."""
    recipe = recipe.replace(
        architectures=("resnet8",),
        compare=("vanilla",),
        search=type(recipe.search)(rounds=2, rewind=recipe.search.rewind),
    )
    planned = plan_pipeline(recipe, Options(home=str(home), workers=1))
    place = open_place(planned)
    for name, distances in rounds.items():
        facts = RoundFacts(
            epochs=len(distances) + 1,
            budget_epochs=16,
            best_epoch=1,
            best_accuracy=0.5,
            next_sparsity=0.2,
            next_weights_alive=80,
            weights=100,
            set_size=1294,
            stopped_early=False,
            distances=tuple(distances),
        )
        stage = planned.graph.stages[name]
        made = Made(facts=facts, files=left(stage.kind))
        place.store.commit(stage, made, data=planned.request.data, started=time.time())


@pytest.fixture
def filled(home: Path) -> Path:
    """PrAC's round 0, cut at epoch 6, and both rounds of vanilla."""
    rounds = {
        "dense:resnet8:prac": CUT,
        "dense:resnet8:vanilla": WHOLE,
        "round:resnet8:vanilla:1": [*WHOLE[1:], 0.01],
    }
    _fill(home, digits(), rounds)
    return home


def test_every_finished_round_is_replayed(filled: Path, command) -> None:
    words = ("stops", *SMALL, "--compare", "vanilla", "--home", str(filled), "--patience", "2")
    status, out, err = command(*words, "--tolerances", "0.1,0.055,0.02,none", "--json")
    assert (status, err) == (0, "")
    prac, vanilla = json.loads(out)["searches"]
    assert (prac["method"], prac["tolerance"]) == ("prac", 0.08)
    assert (vanilla["method"], vanilla["tolerance"]) == ("vanilla", None)
    # The distance after epoch e is the (e - 1)th: 0.07 and 0.06 come after epochs 4 and 5.
    by_tolerance = {row["tolerance"]: row for row in vanilla["replayed"]}
    assert [r["epochs"] for r in by_tolerance[0.1]["rounds"]] == [5, 4]
    assert [r["epochs"] for r in by_tolerance[0.055]["rounds"]] == [7, 6]
    assert [r["epochs"] for r in by_tolerance[0.02]["rounds"]] == [9, 8]
    assert by_tolerance[0.1]["steps"] == (5 + 4) * 21
    assert by_tolerance[None]["steps"] == 2 * 16 * 21
    (first,) = prac["replayed"][0]["rounds"]
    assert (first["epochs"], first["stopped"], first["at_least"]) == (5, True, False)
    (last,) = prac["replayed"][2]["rounds"]
    assert (last["epochs"], last["stopped"], last["at_least"]) == (6, False, True)

    status, out, _ = command(*words, "--tolerances", "0.1,0.02")
    assert status == 0
    assert "5: 105" in out
    assert "6+: 126" in out
    assert "as run (0.08)" in out


def test_a_stop_leaves_the_warm_up_out(home: Path, command) -> None:
    recipe = digits()
    recipe = recipe.replace(train=dataclasses.replace(recipe.train, warmup_epochs=5))
    _fill(home, recipe, {"dense:resnet8:vanilla": WHOLE})
    words = ("stops", *SMALL, "--compare", "vanilla", "--home", str(home), "--patience", "2")
    status, out, err = command(
        *words, "--set", "train.warmup_epochs=5", "--tolerances", "0.1", "--json"
    )
    assert (status, err) == (0, "")
    (vanilla,) = json.loads(out)["searches"]
    # Epochs counted from 0: 6 and 7 are the first two above 5, so eight are done.
    assert [r["epochs"] for r in vanilla["replayed"][0]["rounds"]] == [8]


def test_what_cannot_be_replayed_is_one_line(home: Path, command) -> None:
    words = ("stops", *SMALL, "--compare", "--home", str(home))
    status, _, err = command(*words)
    assert status == 2
    assert "no round of resnet8 is in the store" in err
    assert "python pipelines/full.py --architectures resnet8" in err
    for more, said in (
        (("--tolerances", "2"), "tolerance '2' is not allowed"),
        (("--patience", "0"), "--patience 0 is not allowed"),
    ):
        status, _, err = command(*words, *more)
        assert (status, said in err, err.count("\n")) == (2, True, 1)
