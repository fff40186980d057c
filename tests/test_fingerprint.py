"""Keys: equal values have equal ones, all else differs, and they are the same in ten years."""

import contextlib
import dataclasses
import enum
import hashlib
import importlib
import itertools
import pkgutil
import struct
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path
from typing import ClassVar, get_args, get_type_hints

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import prac
from prac.config import sections
from prac.config.recipe import Recipe
from prac.config.sections import SearchConfig, SelectConfig
from prac.config.values import RewindPoint
from prac.fingerprint import fingerprint, stage_key


class Colour(enum.Enum):
    RED = 1


@dataclasses.dataclass(frozen=True)
class Point:
    WIRE: ClassVar[str] = "point"
    x: int = 0
    y: int = 0


@dataclasses.dataclass(frozen=True)
class Place:
    WIRE: ClassVar[str] = "place"
    x: int = 0
    y: int = 0


@dataclasses.dataclass(frozen=True)
class Nameless:
    x: int = 0


# No two of these have the same meaning.
DIFFERENT = [
    None, False, True, 0, 1, 0.0, -0.0, 1.0, "", "1", "True", "None", b"", b"1", "none", b"none",
    [], [[]], [None], ["ab", "c"], ["a", "bc"], ["abc"], [["ab"], "c"], [1, 2], [2, 1], ["1", "2"],
    {}, {"a": 1}, {"a": "1"}, {"a": 1, "b": 2}, {"a": 2, "b": 1}, {1: "a"}, {"1": "a"},
    [["a", 1]], set(), {"a"}, {"a", "b"}, frozenset({1}), {("a", 1)},
    "RED", Point(), Place(), Point(1, 0), Point(0, 1),
    {"x": 0, "y": 0}, float("inf"), -float("inf"), float("nan"), 2**70, -1,
    np.zeros(2), np.zeros(2, np.float32), np.zeros(2, np.int32), np.zeros(2, ">i4"),
    np.zeros((2, 1)), np.zeros((1, 2)), np.zeros(0), np.zeros((0, 3)), np.array(0.0),
    np.array([0, 1.0]), np.array([1.0, 0]), b"\x00" * 16,
]  # fmt: skip


def test_values_that_differ_have_keys_that_differ() -> None:
    for a, b in itertools.combinations(DIFFERENT, 2):
        assert fingerprint(a) != fingerprint(b), (a, b)


@pytest.mark.parametrize(
    ("one", "same"),
    [
        (1, np.int64(1)),
        (1, np.uint8(1)),
        (0.5, np.float32(0.5)),
        (True, np.bool_(True)),
        ("a", np.str_("a")),
        ([1, 2], (1, 2)),
        ({"a": 1, "b": [2]}, {"b": (2,), "a": 1}),
        ({"a": 1}, OrderedDict(a=1)),
        ({1, 2, 3}, frozenset([3, 2, 1])),
        (np.arange(6).reshape(2, 3), np.asfortranarray(np.arange(6).reshape(2, 3))),
        (np.arange(3), np.arange(6)[::2] // 2),
        (Point(1, 2), Point(y=2, x=1)),
    ],
)
def test_values_that_mean_the_same_have_one_key(one, same) -> None:
    assert fingerprint(one) == fingerprint(same)
    assert fingerprint([one]) == fingerprint([same])


NESTED = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


@given(NESTED, NESTED)
@settings(max_examples=100)
def test_keys_are_equal_where_the_tagged_values_are(one, other) -> None:
    assert (fingerprint(one) == fingerprint(other)) == (tagged(one) == tagged(other))


def tagged(value: object) -> object:
    """Python's own equality, made to tell 1 from True and 1.0 and 0.0 from -0.0."""
    if isinstance(value, list):
        return ["list", *map(tagged, value)]
    if isinstance(value, dict):
        return {key: tagged(inner) for key, inner in value.items()}
    return type(value).__name__, repr(value)


@given(st.dictionaries(st.text(max_size=4), st.integers()), st.randoms())
@settings(max_examples=50)
def test_the_order_of_a_mapping_does_not_count(values, rng) -> None:
    items = list(values.items())
    rng.shuffle(items)
    assert fingerprint(dict(items)) == fingerprint(values)


def other_values(value: object) -> list[object]:
    """Other values of a field's kind, of which most fields allow one."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1]
    if isinstance(value, float):
        return [value * 0.9 if value else 0.05]
    if value is None:
        return [5, 3, 0.5, "label"]
    if isinstance(value, tuple):
        return [(*value, "vanilla"), (*value, 170), (*value, ("strata", 7))]
    assert isinstance(value, str)
    words = ("steps", "pruned", "bf16", "step", "cosine", "snip", "el2n", "ccs", "a.b:c")
    return [other for other in (*words, value + "x") if other != value]


def changed_in_one_place(made) -> dict[str, list[object]]:
    """For every field, however deep, copies in which it alone has another value."""
    copies: dict[str, list[object]] = {}
    for field in dataclasses.fields(made):
        value = getattr(made, field.name)
        if dataclasses.is_dataclass(value):
            others = {f"{field.name}.{k}": v for k, v in changed_in_one_place(value).items()}
        else:
            others = {field.name: other_values(value)}
        for name, candidates in others.items():
            copies[name] = []
            for candidate in candidates:
                with contextlib.suppress(ValueError, TypeError):  # not allowed for this field
                    copies[name].append(dataclasses.replace(made, **{field.name: candidate}))
    return copies


def test_every_field_of_a_configuration_counts() -> None:
    # Critical sets take no other sampler, scores no easy samples, and rounds that rewind prune
    # nothing as they go: no one recipe has all fields.
    plain = Recipe(name="r", description="", architectures=("resnet8",))
    recipes = [
        plain.replace(select=SelectConfig(score="el2n", fraction=0.5)),
        plain.set(search={"rewind": RewindPoint("learning-rate")}),
        plain,
    ]
    copies = [changed_in_one_place(recipe) for recipe in recipes]
    del copies[1]["search.rewind.at"]  # of no weights
    for made in copies:
        made["model.weights"].append(sections.ModelConfig(weights=("a.safetensors",)))
    assert not [name for name in copies[0] if not any(made[name] for made in copies)]
    assert len(copies[0]) > 35
    for recipe, made in zip(recipes, copies, strict=True):
        keys = [fingerprint(recipe), *(fingerprint(c) for tried in made.values() for c in tried)]
        assert len(set(keys)) == len(keys)


def hashed_classes() -> list[type]:
    """Every dataclass of the package that has a name for keys, from all its modules."""
    found = []
    for module in pkgutil.walk_packages(prac.__path__, "prac."):
        if module.name.rpartition(".")[-1] == "__main__":
            continue
        home = importlib.import_module(module.name)
        for thing in vars(home).values():
            own = isinstance(thing, type) and thing.__module__ == home.__name__
            if own and dataclasses.is_dataclass(thing) and "WIRE" in vars(thing):
                found.append(thing)
    return found


def test_names_in_keys_are_written_down_and_distinct() -> None:
    classes = hashed_classes()
    assert len(classes) >= 23
    names = [made.WIRE for made in classes]
    assert len(set(names)) == len(names)
    # What a stage reads is made of them and of plain values alone.
    configs = [c for c in classes if c.__module__ == "prac.lottery.stage_config"]
    assert len(configs) == 11
    for made in [*configs, Recipe]:
        for hint in get_type_hints(made).values():
            for part in (hint, *get_args(hint)):
                if dataclasses.is_dataclass(part):
                    assert part in classes, (made, part)


def test_a_dataclass_without_a_name_is_refused() -> None:
    with pytest.raises(TypeError, match="a Nameless has no WIRE name"):
        fingerprint({"a": [Nameless()]})


@pytest.mark.parametrize("made", [Recipe, SearchConfig, SelectConfig, RewindPoint, Point])
def test_a_class_of_another_name_in_another_module_has_the_same_keys(made: type) -> None:
    moved = type("Renamed", (made,), {"__module__": "somewhere.else"})
    values = {"name": "r", "description": "", "architectures": ("resnet8",)}
    arguments = values if made is Recipe else {}
    if made is RewindPoint:
        arguments = {"unit": "step", "at": 9}
    one, other = made(**arguments), moved(**arguments)
    assert type(one).__name__ != type(other).__name__
    assert fingerprint(one) == fingerprint(other)
    assert fingerprint({"deep": [one]}) == fingerprint({"deep": [other]})


def test_a_field_that_is_renamed_may_keep_its_name_in_keys() -> None:
    @dataclasses.dataclass(frozen=True)
    class Renamed:
        WIRE: ClassVar[str] = "point"
        across: int = dataclasses.field(default=0, metadata={"wire": "x"})
        up: int = dataclasses.field(default=0, metadata={"wire": "y"})

    assert fingerprint(Renamed(across=1, up=2)) == fingerprint(Point(1, 2))


def digest_of(*pieces: bytes) -> str:
    packed = b"".join(struct.pack("<q", len(piece)) + piece for piece in pieces)
    return hashlib.sha256(packed).hexdigest()[:32]


def test_keys_by_hand() -> None:
    assert fingerprint(None) == digest_of(b"none")
    assert fingerprint(-12) == digest_of(b"int", b"-12")
    assert fingerprint(0.1) == digest_of(b"float", b"0x1.999999999999ap-4")
    assert fingerprint([True, "é"]) == digest_of(
        b"sequence", b"2", b"bool", b"1", b"str", "é".encode()
    )
    assert fingerprint(np.array([[1, 2]], np.int16)) == digest_of(
        b"array", b"<i2", b"(1, 2)", b"\x01\x00\x02\x00"
    )


@dataclasses.dataclass(frozen=True)
class Early:
    WIRE: ClassVar[str] = "grown"
    size: int = 1


@dataclasses.dataclass(frozen=True)
class Grown:
    WIRE: ClassVar[str] = "grown"
    size: int = 1
    added: float = dataclasses.field(default=0.0, metadata={"later": True})


def test_a_field_that_came_later_is_in_no_key_at_its_default() -> None:
    assert fingerprint(Grown(size=3)) == fingerprint(Early(size=3))
    assert fingerprint([Grown(), Grown(added=0.5)]) != fingerprint([Grown(), Grown()])
    assert fingerprint(Grown(added=0.5)) != fingerprint(Grown(added=0.25))


def test_golden_keys() -> None:
    # A change here makes every stage that anybody has stored a stranger. Do it knowingly.
    assert fingerprint(1) == "54d1ac5ba7e8ba25a5e037fdb111bdfd"
    assert (
        fingerprint({"b": [1, 2.5, None], "a": {"x": True}}) == "13cf03fb6c71768f0d145214cc0d9618"
    )
    assert fingerprint(np.arange(4, dtype=np.int32)) == "84a6506829d3b70e2b7c6347c2afe73e"
    assert (
        fingerprint(SearchConfig(rounds=4, rewind=RewindPoint("step", 9), seed=2))
        == "e7db3d46e46f9f949c78894d0fb7eed8"
    )
    assert stage_key("round", 1, {"seed": 0}, {"mask": "aa"}) == "1854c6c7d946e603a32a1a4f92416533"


def test_a_stage_key_reads_all_four() -> None:
    keys = {
        stage_key("round", 1, {"seed": 0}, {"mask": "a"}),
        stage_key("judge", 1, {"seed": 0}, {"mask": "a"}),
        stage_key("round", 2, {"seed": 0}, {"mask": "a"}),
        stage_key("round", 1, {"seed": 1}, {"mask": "a"}),
        stage_key("round", 1, {"seed": 0}, {"mask": "b"}),
        stage_key("round", 1, {"seed": 0}, {"weights": "a"}),
        stage_key("round", 1, {"seed": 0, "mask": "a"}, {}),
    }
    assert len(keys) == 7
    assert all(len(key) == 32 and int(key, 16) >= 0 for key in keys)


@pytest.mark.parametrize(
    "value",
    [
        object(), Path("/tmp"), Colour.RED, 1j, torch.zeros(2), range(3), bytearray(b"a"),
        Point, len,
        np.array([object()]), np.array(["a", None]), (i for i in "ab"), np.datetime64("2020-01-01"),
    ],
)  # fmt: skip
def test_what_has_no_canonical_form_is_refused(value) -> None:
    for nested in (value, [value], {"a": value}):
        with pytest.raises(TypeError, match="has no canonical form"):
            fingerprint(nested)


def test_a_key_does_not_depend_on_the_process() -> None:
    value = "{'b', 'a', 'c', 'd'}, {'x': frozenset({1, 2})}"
    code = f"from prac.fingerprint import fingerprint; print(fingerprint(({value})))"
    keys = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert keys == {fingerprint(({"a", "b", "c", "d"}, {"x": frozenset({2, 1})}))}
