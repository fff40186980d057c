"""Methods by name: what each differs in, and how a user's own is found."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import pytest

from prac.config.methods import METHODS, PRAC, Borrows, Data, Method, find_method
from prac.config.sections import CRITERIA, SCORES, PruneConfig
from prac.errors import ConfigError
from prac.lottery.method_config import prune_for
from prac.plugins import identity, is_custom, load_custom

USERS_FILE = """
from prac.config.methods import Method
from prac.pruning.criteria import criterion
from prac.selection.scores import scorer

@scorer(reads="nothing")
def last(evidence, select):
    return evidence.sample_ids

@criterion(reads="initial")
def first(pruning):
    return {}

halves = Method(name="", summary="mine", selects="users_strategies:last", borrows="sizes")
number = 3
"""


@pytest.fixture
def users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "users_strategies.py"
    file.write_text(USERS_FILE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "users_strategies", raising=False)
    return file


def test_no_two_methods_are_the_same() -> None:
    told = {"name": "", "summary": "", "label": "", "colour": "", "marker": ""}
    values = [dataclasses.replace(method, **told) for method in METHODS.values()]
    assert len(set(values)) == len(values) == 28
    assert all(name == method.name and method.summary for name, method in METHODS.items())
    assert next(iter(METHODS.values())) is PRAC
    assert dataclasses.replace(PRAC, **told) == Method(name="", summary="")


def test_methods_name_scores_and_criteria_that_there_are() -> None:
    assert {m.selects for m in METHODS.values()} - {None} == set(SCORES)
    assert {m.prunes for m in METHODS.values()} - {None} == set(CRITERIA)


def test_a_name_stands_for_a_score_and_a_sampler() -> None:
    named = {n: (m.selects, m.samples) for n, m in METHODS.items() if m.samples is not None}
    assert named == {
        "random-subset": ("random", "top"),
        "entropy": ("entropy", "top"),
        "proxy": ("proxy", "top"),
        "el2n": ("el2n", "top"),
        "el2n-balanced": ("el2n", "balanced"),
        "el2n-ccs": ("el2n", "ccs"),
        "margin": ("margin", "top"),
        "margin-ccs": ("margin", "ccs"),
        "dual": ("dual", "top"),
        "dual-ccs": ("dual", "ccs"),
        "dyn-unc": ("dyn-unc", "top"),
        "tdds": ("tdds", "top"),
        "forgets": ("forgets", "top"),
        "forgets-ccs": ("forgets", "ccs"),
    }


def test_a_name_that_is_not_known() -> None:
    with pytest.raises(ConfigError, match=r"known: cep-only, cet-only, .*vanilla"):
        find_method("nope")


def test_methods_of_the_user(users: Path) -> None:
    halves = find_method("users_strategies:halves")
    assert (halves.name, halves.selects) == ("users_strategies:halves", "users_strategies:last")
    last = find_method("users_strategies:last")
    assert (last.selects, last.borrows, last.trains) == ("users_strategies:last", "steps", "rounds")
    first = find_method("users_strategies:first")
    assert (first.prunes, first.trains, first.starts) == (
        "users_strategies:first",
        "nothing",
        "initial",
    )
    with pytest.raises(ConfigError, match=r"is of type int; allowed: a prac.Method"):
        find_method("users_strategies:number")
    with pytest.raises(ConfigError, match="has no 'nope'"):
        find_method("users_strategies:nope")


def test_the_source_is_part_of_a_strategy_s_identity(users: Path) -> None:
    assert identity("el2n") == ("el2n",)
    before = identity("users_strategies:last")
    assert before[0] == "users_strategies:last"
    assert len(before) == 2
    assert identity("users_strategies:first")[1] == before[1]
    users.write_text(USERS_FILE + "\n# a comment\n")
    assert identity("users_strategies:last") == before
    users.write_text(USERS_FILE + "\nhelper = 4\n")
    assert identity("users_strategies:last") != before
    # The standard library has a name only.
    assert identity("sys:exit") == ("sys:exit",)


@pytest.mark.parametrize(
    ("data", "borrows", "said"),
    [
        ("everything", "steps", "no sets to give PrAC's steps; allowed: data='selected'"),
        ("everything", "sizes", "no sets to give PrAC's sizes"),
        ("fresh", "nothing", "has no sizes; allowed: borrows='sizes' or borrows='steps'"),
    ],
)
def test_what_a_method_can_t_borrow(data: Data, borrows: Borrows, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Method(name="mine", summary="mine", data=data, borrows=borrows)


@pytest.mark.parametrize(
    ("name", "custom"),
    [("a:b", True), ("a.b.c:D.e", True), ("a", False), ("a:", False), (":b", False),
     ("a:b c", False), ("a:b:c", False), ("1a:b", False), ("a-b:c", False)],
)  # fmt: skip
def test_the_form_of_a_user_s_name(name: str, custom: bool) -> None:
    assert is_custom(name) == custom


def test_an_import_that_fails_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_strategies.py").write_text("raise RuntimeError('two\\nlines')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match="RuntimeError: two lines; is it") as caught:
        load_custom("select.score", "broken_strategies:x")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "allowed"),
    [
        ({"trains": False}, "allowed: rounds, dense, tickets, nothing"),
        ({"trains": "dense"}, "allowed: data='everything'"),
        ({"trains": "nothing", "data": "everything"}, "allowed: starts='initial'"),
        (
            {"trains": "tickets", "data": "everything", "starts": "redrawn"},
            "allowed: starts='rewind' and borrows='nothing'",
        ),
        ({"trains": "tickets", "borrows": "rounds"}, "allowed: data='everything'"),
    ],
)
def test_what_a_method_can_not_train(values: dict[str, Any], allowed: str) -> None:
    with pytest.raises(ConfigError, match=allowed):
        Method(name="mine", summary="", **values)


def test_a_criterion_of_trained_weights_needs_a_training() -> None:
    dense = Method(name="mine", summary="", data="everything", trains="dense", prunes="magnitude")
    assert prune_for(dense, PruneConfig()).criterion == "magnitude"
    nothing = dataclasses.replace(dense, trains="nothing", starts="initial")
    with pytest.raises(ConfigError, match=r"prune\.criterion magnitude .* mine trains nothing; a"):
        prune_for(nothing, PruneConfig())
