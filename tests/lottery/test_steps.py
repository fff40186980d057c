"""The table of kinds: its steps are there, are called, and what they tell survives JSON."""

from __future__ import annotations

import dataclasses
import inspect
import json
import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import prac.lottery.kinds
from prac.data.dataset import ImageDataset
from prac.lottery import stage_config
from prac.lottery.compose import build_graph
from prac.lottery.env import Work
from prac.lottery.kinds import KINDS, StageKind
from prac.lottery.local import LocalEnv, run_local
from prac.lottery.outputs import (
    Cost,
    Facts,
    JudgeFacts,
    Made,
    MaskFacts,
    RoundFacts,
    SetFacts,
    TrainedFacts,
    as_json,
)
from prac.lottery.store import Manifest, MemoryStore
from prac.schema import SchemaError, formed, read
from prac.storage import Folder

STEPS = [kind for kind in KINDS.values() if kind.run is not None]


@pytest.mark.parametrize("kind", STEPS, ids=lambda kind: kind.name)
def test_every_step_is_there_and_takes_what_stages_give_it(
    kind: StageKind, request_for: Callable[..., Any]
) -> None:
    step = kind.step()
    assert step.__module__.startswith("prac.lottery.steps.")
    names = list(inspect.signature(step).parameters.values())
    assert [p.name for p in names[:2]] == ["config", "work"]
    config = get_type_hints(step)["config"]
    assert config.__module__ == stage_config.__name__
    assert get_type_hints(step)["return"] is Made
    # Each graph's inputs are arguments, and what has no default is always there.
    allowed = {p.name for p in names[2:] if p.kind is inspect.Parameter.KEYWORD_ONLY}
    needed = {p.name for p in names[2:] if p.default is inspect.Parameter.empty} & allowed
    more = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in names)
    from prac.config.methods import METHODS

    others = tuple(name for name in METHODS if name != "prac")
    stages = [
        stage
        for graph in (
            build_graph(request_for(compare=others, judge="all")),
            build_graph(request_for(compare=others, transfer_from="conv4")),
        )
        for stage in graph.stages.values()
        if stage.kind == kind.name
    ]
    assert stages
    for stage in stages:
        assert isinstance(stage.config, config), stage.name
        assert needed <= stage.inputs.keys(), stage.name
        assert more or stage.inputs.keys() <= allowed, stage.name


def test_kinds_without_a_step_say_so() -> None:
    assert {kind.name for kind in KINDS.values() if kind.run is None} == {"report", "sweep"}
    with pytest.raises(TypeError, match="no step makes a report"):
        KINDS["report"].step()


def test_the_table_is_one_of_values() -> None:
    assert all(name == kind.name for name, kind in KINDS.items())
    assert all(kind.version >= 1 for kind in KINDS.values())
    with pytest.raises(TypeError):
        KINDS["dense"] = KINDS["round"]  # type: ignore[index]
    assert all(not kind.works or kind.run for kind in KINDS.values())
    assert all(kind.works or kind.keeps == "nothing" for kind in KINDS.values())


# --- what they tell ------------------------------------------------------------------------------

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
SIMPLE: Mapping[Any, st.SearchStrategy[Any]] = {
    int: st.integers(-(2**53), 2**53),
    float: NUMBERS,
    bool: st.booleans(),
    str: st.text(max_size=5),
    type(None): st.none(),
}


def _values(hint: Any) -> st.SearchStrategy[Any]:
    if hint in SIMPLE:
        return SIMPLE[hint]
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated and inner[0] is int:
        return st.integers(inner[1].ge, 2**53)
    if origin is Annotated:
        return st.floats(inner[1].ge, getattr(inner[1], "le", None), allow_infinity=False)
    if origin is tuple:
        return st.lists(_values(inner[0]), max_size=3).map(tuple)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return st.dictionaries(st.text(max_size=4), _values(inner[1]), max_size=3)
    return st.one_of(*map(_values, inner))


def _some(made: type) -> st.SearchStrategy[Any]:
    hints = get_type_hints(made, include_extras=True)
    return st.builds(made, **{f.name: _values(hints[f.name]) for f in dataclasses.fields(made)})


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
@given(st.data())
@settings(max_examples=40, deadline=None)
def test_facts_and_costs_survive_json(kind: StageKind, data: st.DataObject) -> None:
    facts, cost = data.draw(_some(kind.facts)), data.draw(_some(Cost))
    text = json.dumps(as_json(facts))
    again = read(kind.facts, text)
    assert again == facts
    assert type(again) is kind.facts
    for field in dataclasses.fields(facts):
        one, other = getattr(facts, field.name), getattr(again, field.name)
        assert type(one) is type(other), field.name
    manifest = Manifest(
        key="k", kind=kind.name, name="n", facts=facts, cost=cost, sha256={"a": "b" * 64}
    )
    assert Manifest.from_bytes(manifest.to_bytes()) == manifest
    assert manifest.to_bytes() == Manifest.from_bytes(manifest.to_bytes()).to_bytes()


def test_facts_with_fields_of_another_day_are_refused() -> None:
    values = as_json(SetFacts(set_size=1, cet_size=1, cep_size=0, overlap=0, digest="x"))
    with pytest.raises(SchemaError, match="colour"):
        formed(SetFacts, {**values, "colour": "red"})
    with pytest.raises(SchemaError, match="digest"):
        formed(SetFacts, {n: v for n, v in values.items() if n != "digest"})


def test_made_knows_what_it_is() -> None:
    facts = RoundFacts(
        epochs=1,
        budget_epochs=1,
        best_epoch=0,
        best_accuracy=0.5,
        next_sparsity=0.2,
        next_weights_alive=4,
        weights=5,
        set_size=3,
        stopped_early=False,
        distances=(),
    )
    made = Made(facts=facts)
    for kind in (RoundFacts, MaskFacts, TrainedFacts, Facts):
        assert made.known(kind) is facts
    for kind in (SetFacts, JudgeFacts):
        with pytest.raises(TypeError, match=f"facts are RoundFacts, not {kind.__name__}"):
            made.known(kind)
    assert math.isclose(made.cost.seconds, 0)


# --- who calls them ------------------------------------------------------------------------------


def test_what_runs_here_are_the_steps_of_the_table(
    request_for: Callable[..., Any],
    digits_data: ImageDataset,
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each stage once, by the step that its kind names, with what its inputs left."""
    graph = build_graph(
        request_for(data=digits_data.fingerprint, architectures=("resnet8",), compare=("snip",))
    )
    calls: list[tuple[str, Any, Work, dict[str, Made]]] = []

    def step(kind: StageKind) -> Callable[..., Made]:
        def spy(config: Any, work: Work, **inputs: Made) -> Made:
            calls.append((kind.name, config, work, inputs))
            values = {f.name: {} for f in dataclasses.fields(kind.facts)}
            return Made(facts=kind.facts(**values), cost=Cost(steps=len(calls)))

        return spy

    monkeypatch.setattr(prac.lottery.kinds.StageKind, "step", step)
    store = MemoryStore()
    env = LocalEnv(
        data=digits_data.fingerprint,
        load=lambda: digits_data,
        augment=request_for().recipe.augment,
        storage=Folder(tmp_path),
    )
    ran = run_local(graph, env, store)
    stages = {n: s for n, s in graph.stages.items() if s.kind != "report"}
    assert ran.ran == stages.keys() == ran.finished.keys()
    assert sorted(work.stage.name for _, _, work, _ in calls) == sorted(stages)
    for kind, config, work, inputs in calls:
        stage = work.stage
        assert (kind, config, work.run) == (stage.kind, stage.config, stage.key)
        assert work.env is env
        assert inputs.keys() == stage.inputs.keys()
        for role, name in stage.inputs.items():
            assert inputs[role] is store.read(ran.finished[name])
            assert work.input_keys[role] == graph.stages[name].key
    # Once more: nothing is called.
    del calls[:]
    assert run_local(graph, env, store).ran == frozenset()
    assert calls == []
    # A part of it: what that needs, and no more.
    part = run_local(graph, env, MemoryStore(), only=["select:resnet8:prac:1"])
    assert part.ran == {"dense:resnet8:prac", "reduce:resnet8:prac", "select:resnet8:prac:1"}
