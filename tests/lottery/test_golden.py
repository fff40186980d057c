"""Keys that are frozen, and a store of an earlier day: what was made once is found again."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest
from support.golden import KEYS, RECIPE, STORE, frozen_graph, images, kept_graph

import prac
from prac.config.methods import METHODS
from prac.lottery.folder_store import FolderStore
from prac.lottery.graph import Stage
from prac.lottery.kinds import KINDS
from prac.lottery.outputs import (
    BEST,
    NEXT_MASK,
    PREDICTIONS,
    REWIND,
    SCORES,
    SET,
    STATISTICS,
    TICKET,
    TRAINED,
    File,
    MaskFacts,
    SetFacts,
)
from prac.lottery.progress import Display, EpochNews
from prac.lottery.search import Local

WHAT_TO_DO = """{count} keys changed, e.g. {names}; kinds: {kinds}.

Results that anybody has stored under the old keys are no longer found. Where a step now makes
something else, that is right: raise the kind's version in prac/lottery/kinds.py. Where a
configuration gained a field or another default, know that it is meant. Then write the keys and the
store anew (python tests/golden/make_keys.py; python tests/golden/make_store.py) and say why in the
commit. In all other cases (a class, a field or a role of an input was renamed) take it back:
WIRE and `metadata={{"wire": ...}}` keep old names in keys."""


def test_frozen_keys() -> None:
    frozen: Mapping[str, str] = json.loads(KEYS.read_text())
    graph = frozen_graph()
    keys = {name: stage.key for name, stage in graph.stages.items()}
    changed = [name for name in {**frozen, **keys} if frozen.get(name) != keys.get(name)]
    kinds = Counter(name.partition(":")[0] for name in changed)
    assert not changed, WHAT_TO_DO.format(
        count=len(changed), names=", ".join(changed[:3]), kinds=dict(kinds)
    )


def test_every_kind_and_every_method_is_among_them() -> None:
    graph = frozen_graph()
    # A sweep's key is made of those of its trials' stages.
    assert {stage.kind for stage in graph.stages.values()} == set(KINDS) - {"sweep"}
    assert {stage.method for stage in graph.stages.values()} >= set(METHODS)


def _files(stage: Stage, method: str) -> set[File[object]]:
    """What a stage of the kept search leaves."""
    files = {
        "dense": {NEXT_MASK, BEST, REWIND, PREDICTIONS},
        "round": {NEXT_MASK, BEST} | ({PREDICTIONS, STATISTICS} if method == "prac" else set()),
        "reduce": {STATISTICS},
        "select": {SET},
        "subset": {SET},
        "proxy": {BEST},
        "score": {SCORES},
        "prune": {NEXT_MASK},
        "start": {REWIND},
        "judge": {TRAINED},
        "ticket": {TICKET} | (set() if method == "snip" else {SET}),
    }
    return files[stage.kind]  # type: ignore[return-value]


def test_a_store_of_an_earlier_day_is_found_by_key_and_read_whole() -> None:
    graph, store = kept_graph(), FolderStore(STORE)
    stages = [stage for stage in graph.stages.values() if stage.kind != "report"]
    found = store.find(images().fingerprint, [stage.key for stage in stages])
    missing = [stage.name for stage in stages if stage.key not in found]
    assert not missing, WHAT_TO_DO.format(
        count=len(missing), names=missing[:3], kinds={graph.stages[n].kind for n in missing}
    )
    assert {stage.kind for stage in stages} == {k for k, kind in KINDS.items() if kind.run}
    for stage in stages:
        made = store.read(found[stage.key])
        assert found[stage.key].name == stage.name
        assert type(made.facts) is KINDS[stage.kind].facts, stage.name
        every = (BEST, NEXT_MASK, PREDICTIONS, REWIND, SCORES, SET, STATISTICS, TICKET, TRAINED)
        assert {file for file in every if file in made.files} == _files(stage, stage.method)
        for file in _files(stage, stage.method):
            value = made[file]
            assert value is not None
            if file is SET and isinstance(made.facts, SetFacts):
                assert len(value) == made.facts.set_size
                assert value.digest == made.facts.digest
            if file is NEXT_MASK:
                facts = made.known(MaskFacts)
                assert value.num_alive == facts.next_weights_alive
                assert value.sparsity == facts.next_sparsity
            if file is TICKET:
                value.verify()
                assert value.lineage["stage_key"] == stage.key
                assert value.lineage["sparsity"] == value.mask.sparsity


class Refusing(Display):
    """Nothing may start."""

    def started(self, stage: Stage) -> None:
        raise AssertionError(f"{stage.name} is made again")

    def news(self, news: EpochNews) -> None:
        raise AssertionError(news)

    def say(self, line: str) -> None:
        raise AssertionError(line)


def test_a_search_goes_on_from_it(tmp_path: Path) -> None:
    shutil.copytree(STORE, tmp_path / "stages")
    how = Local(device="cpu", display=Refusing())  # type: ignore[abstract]
    result = prac.search(RECIPE, data=images(), store=tmp_path, how=how)
    assert [len(chosen) for chosen in result.sets] == [40, 32, 32]
    assert [mask.num_alive for mask in result.masks] == [180, 144, 115]
    assert result.ticket.mask == result.masks[2]
    assert result.steps_to_find(2) == result.bill.steps == 32
    assert {name: result[name].steps_to_find(2) for name in RECIPE.compare} == {
        "proxy": 37,
        "snip": 0,
    }
    assert result.rounds[2].test_accuracies == pytest.approx(
        [result.ticket.lineage["test_accuracy"]]
    )


def test_it_is_small() -> None:
    sizes = [file.stat().st_size for file in STORE.rglob("*") if file.is_file()]
    assert sum(sizes) < 300_000
