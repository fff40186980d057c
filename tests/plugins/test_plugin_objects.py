import builtins
import functools
import importlib
import linecache
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FunctionType, MethodType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from prac.errors import ConfigError
from prac.plugins import identity, load_custom, name_of


@pytest.fixture
def users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of the user's, its folder."""
    monkeypatch.syspath_prepend(tmp_path)
    loaded = set(sys.modules)
    package = tmp_path / "userpkg"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "nets.py").write_text("from .parts import block\ndef small(n): return block(n)\n")
    (package / "parts.py").write_text("def block(n):\n    from . import lazy; return lazy.x, n\n")
    (package / "lazy.py").write_text("x = 1\n")
    (package / "more.py").write_text("class Net:\n  @classmethod\n  def make(cls): ...\n")
    yield package
    for name in set(sys.modules) - loaded:
        del sys.modules[name]


def identity_of(thing: Any) -> tuple[str, ...]:
    """What of a thing that is handed over goes into keys."""
    return identity(name_of(thing))


def cell(text: str, name: str, **names: Any) -> dict[str, Any]:
    """Run a notebook's cell: text that only linecache has, in `__main__`."""
    text = textwrap.dedent(text)
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    namespace = {"__name__": "__main__", "__builtins__": builtins, **names}
    exec(compile(text, name, "exec", dont_inherit=True), namespace)
    return namespace


def test_what_can_be_imported_is_told_by_its_name(users: Path) -> None:
    small = load_custom("network", "userpkg.nets:small")
    assert identity_of(small) == identity("userpkg.nets:small")
    net = load_custom("network", "userpkg.more:Net")
    assert identity_of(net) == identity("userpkg.more:Net")
    assert identity_of(net.make) == identity("userpkg.more:Net.make")
    assert identity_of(nn.ReLU) == ("torch.nn.modules.activation:ReLU",)


def test_lambdas_of_one_line_are_told_apart() -> None:
    text = "a, b, c, d, e = lambda x: x, lambda x: x+1, lambda x: x + 1, lambda x: (lambda: x), 0"
    names = cell(text, "<cell-lambdas>")
    a, b, c, d = (identity_of(names[n]) for n in "abcd")
    assert (len({a, b, c, d}), b == c) == (3, True)
    inner = identity_of(names["d"](1))
    assert inner not in (a, b, c, d)
    # The same, however they are written and wherever they stand.
    again = cell("if 1:\n  z = [\n  lambda x: (  # plus one\n     x\n + 1) ]\n", "<cell-2>")["z"][0]
    assert identity_of(again) == b


CELL = """
def make(width):
    def net(num_classes, in_channels=1):
        return ("ReLU", width, num_classes)
    return net
"""


def test_closures_over_different_values() -> None:
    make = cell(CELL, "<cell-make>")["make"]
    assert identity_of(make(3)) == identity_of(make(3))
    values = [3, 3.0, "3", True, None, (3,), (3, 4), {3}, {3: 4}, {4: 3}, b"3", float("nan"), 3j]
    values += [np.ones(3), np.ones(3, np.float32), np.zeros(3), np.ones((3, 1)), np.float32(3)]
    values += [torch.ones(3), torch.zeros(3), torch.ones(3).double(), nn.Linear(1, 1)]
    values += [torch.float32, torch.float16, np.tanh, np.sin, math_of("sin"), torch.relu, nn.ReLU]
    values += [make, make(1), functools.partial(make, 1), functools.partial(make, 2), range(3)]
    values += [SimpleNamespace(a=1), SimpleNamespace(a=2), [make(4)], [make(5)], importlib, os]
    assert len({identity_of(make(value)) for value in values}) == len(values)
    parameter = nn.Parameter(torch.ones(3))
    assert identity_of(make(parameter)) == identity_of(make(torch.ones(3)))


def math_of(name: str) -> Callable[..., float]:
    return getattr(importlib.import_module("math"), name)


def test_the_same_function_in_two_cells() -> None:
    one = cell(CELL, "<cell-1>")["make"]
    moved = "\n\n# Another try.\n" + CELL.replace("width):\n", 'width):\n    "Makes."\n', 1)
    other = cell(moved.replace('("ReLU", width,', '(\n "ReLU",\n width,\n'), "<cell-7>")["make"]
    assert identity_of(one) == identity_of(other)
    assert identity_of(one(3)) == identity_of(other(3))
    changed = cell(CELL.replace("ReLU", "GELU"), "<cell-8>")["make"]
    assert identity_of(changed(3)) != identity_of(one(3))


def without_text(text: str, **names: Any) -> dict[str, Any]:
    namespace = {"__name__": "__main__", **names}
    exec(compile(textwrap.dedent(text), "<no such text>", "exec", dont_inherit=True), namespace)
    return namespace


def test_byte_code_where_there_is_no_text() -> None:
    seen = set()
    for text in (CELL, CELL.replace("ReLU", "GELU"), CELL.replace("=1", "=2"), CELL + "#"):
        seen.add(identity_of(without_text(text)["make"](3)))
    assert len(seen) == 3
    documented = CELL.replace("width):\n", 'width):\n    "Makes."\n', 1)
    lower = without_text("\n\n" + documented)["make"]
    assert identity_of(lower) == identity_of(without_text(CELL)["make"])


def test_text_that_changed_after_it_was_compiled_is_not_believed() -> None:
    compiled = cell(CELL, "<cell-stale>")["make"]
    text = CELL.replace("ReLU", "GELU")
    linecache.cache["<cell-stale>"] = (len(text), None, text.splitlines(True), "<cell-stale>")
    newer = cell(text, "<cell-new>")["make"]
    assert identity_of(compiled) != identity_of(newer)
    assert identity_of(compiled) == identity_of(without_text(CELL)["make"])


def test_globals_that_a_function_reads_count() -> None:
    text = """
    def block(width): return width * SCALE
    class Net:
        depth = 3
        def __init__(self, width): super().__init__(); self.width = block(width)
    def net(width): return Net(width), [x.UNREAD for x in ()]
    """
    seen = {identity_of(cell(text, "<a>", SCALE=2, UNREAD=1)["net"])}
    assert identity_of(cell(text, "<b>", SCALE=2, UNREAD=threading.Lock())["net"]) in seen
    seen.add(identity_of(cell(text, "<c>", SCALE=3)["net"]))
    seen.add(identity_of(cell(text.replace("* SC", "+ SC"), "<d>", SCALE=2)["net"]))
    seen.add(identity_of(cell(text.replace("= 3", "= 4"), "<e>", SCALE=2)["net"]))
    seen.add(identity_of(cell(text.replace("block(width)\n", "3\n"), "<f>", SCALE=2)["net"]))
    assert len(seen) == 5


def test_modules_that_a_function_reads_or_imports_count(users: Path) -> None:
    texts = [
        "def f(): return parts.block(1, 2)",
        "def f(): return userpkg.parts.block(1, 2)",
        "def f():\n  from userpkg import parts\n  return parts.block(1, 2)",
        "def f():\n  import userpkg.parts as p\n  return p.block(1, 2)",
    ]
    parts = importlib.import_module("userpkg.parts")
    modules = {"parts": parts, "userpkg": sys.modules["userpkg"], "torch": torch, "np": np}

    def told() -> list[tuple[str, ...]]:
        return [identity_of(cell(t, f"<m{i}>", **modules)["f"]) for i, t in enumerate(texts)]

    before = told()
    assert told() == before
    (users / "lazy.py").write_text("x = 2\n")
    assert not set(told()) & set(before)


def test_defaults_attributes_and_partials_count() -> None:
    text = "def f(a, b={}, *, c={}): return a, b, c"
    made = [cell(text.format(*v), "<x>")["f"] for v in (("1", "2"), ("1", "3"), ("2", "2"))]
    given = {identity_of(f) for f in made}
    N = 1
    made = [cell(text.format("N", "N"), "<x>", N=n)["f"] for n in (N, 2)]
    given |= {identity_of(f) for f in made}
    made[0].scale = 3
    given.add(identity_of(made[0]))
    given |= {identity_of(functools.partial(made[1], **k)) for k in ({}, {"a": 1}, {"a": 2})}
    given |= {identity_of(functools.partial(made[1], n)) for n in (1, 2)}
    assert len(given) == 3 + 2 + 1 + 3 + 2


OBJECTS = """
import dataclasses, functools
@dataclasses.dataclass(frozen=True)
class Settings:
    width: int = 4
    names: tuple = dataclasses.field(default_factory=tuple)
class Maker:
    __slots__ = ("settings", "hidden")
    def __init__(self, settings): self.settings = settings; self.hidden = [self]
    def __call__(self, num_classes): return self.settings.width * num_classes
    def method(self, n): return n
    @staticmethod
    def static(n): return n + 1
    @property
    def width(self): return self.settings.width
@functools.lru_cache
def cached(n): return n * 2
"""


def test_instances_methods_and_wrappers() -> None:
    def all_of(text: str, width: int, name: str) -> list[tuple[str, ...]]:
        names = cell(text, name)
        maker = names["Maker"](names["Settings"](width))
        wrapped = torch.no_grad()(lambda n: maker(n))
        things = [maker, maker.method, names["cached"], names["Maker"], names["Settings"]]
        things += [lambda: names["Settings"](width), wrapped, maker.static, maker.__call__]
        return [identity_of(thing) for thing in things]

    before = all_of(OBJECTS, 4, "<o1>")
    assert all_of(OBJECTS, 4, "<o2>") == before
    assert len(set(before)) == len(before)
    wider = all_of(OBJECTS, 5, "<o3>")
    assert [a == b for a, b in zip(before, wider, strict=True)] == [
        False, False, True, True, True, False, False, True, False,
    ]  # fmt: skip
    for old, new, changed in [("n * 2", "n * 3", 2), ("n + 1", "n + 2", 7), ("= 4", "= 5", 4)]:
        assert all_of(OBJECTS.replace(old, new), 4, "<o4>")[changed] != before[changed]
    assert (
        all_of(OBJECTS.replace("return self.settings.width\n@f", "return 2\n@f"), 4, "<o5>")[3]
        != before[3]
    )


def test_a_method_is_told_by_its_function() -> None:
    one, two = (cell(f"def f(self): return {n}", f"<s{n}>")["f"] for n in (1, 2))
    owner = SimpleNamespace(f=one)
    assert identity_of(MethodType(one, owner)) != identity_of(MethodType(two, owner))


def test_circles_of_objects_end() -> None:
    text = "def even(n): return n == 0 or odd(n - 1)\ndef odd(n): return n != 0 and even(n - {})\n"
    once, again, other = (cell(text.format(n), f"<c{n}>") for n in (1, 1, 2))
    assert identity_of(once["even"]) == identity_of(again["even"])
    assert identity_of(once["even"]) != identity_of(other["even"])
    assert identity_of(once["even"]) != identity_of(once["odd"])
    many: list[Any] = []
    many.append(many)
    assert identity_of(lambda: many) == identity_of(lambda: many)
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(ConfigError, match="nested too deep"):
        identity_of(lambda: deep)


def test_what_has_no_identity_is_refused_in_a_line(tmp_path: Path) -> None:
    lock = threading.Lock()
    cases: list[tuple[Any, str]] = [(lock, "_thread.lock"), ((n for n in ()), "builtins.generator")]
    cases += [(np.frompyfunc(abs, 1, 1), "numpy.ufunc"), (torch.empty(2, device="meta"), "Tensor")]
    with open(tmp_path / "file", "w") as file:
        for held, kind in [*cases, (file, "_io.TextIOWrapper")]:

            def net(held: Any = held) -> Callable[[], Any]:
                return lambda: held

            with pytest.raises(ConfigError) as caught:
                identity_of(functools.partial(net()))
            message = str(caught.value)
            assert "partial has no identity" in message
            assert "closure 'held' is of type" in message
            assert kind in message
            assert "package.module:name" in message
            assert "prac_key" in message
            assert "\n" not in message


def test_a_key_of_the_user_s_own() -> None:
    lock = threading.Lock()

    def net() -> Any:
        return lock

    with pytest.raises(ConfigError):
        identity_of(net)
    net.prac_key = "v1"  # type: ignore[attr-defined]
    assert identity_of(net)[1:] == ("prac_key", "v1")
    over = identity_of(lambda: net())
    net.prac_key = "v2"  # type: ignore[attr-defined]
    assert identity_of(lambda: net()) != over
    net.prac_key = 3  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match=r"net has a prac_key 3; allowed: a string"):
        identity_of(net)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(values, values)
def test_values_are_told_apart_like_their_representation(one: Any, two: Any) -> None:
    def make(value: Any) -> FunctionType:
        return lambda: value

    def told(value: Any) -> str:  # tuples count as lists
        return repr(value).replace("(", "[").replace(")", "]").replace(",]", "]")

    if told(one) != told(two):
        assert identity_of(make(one)) != identity_of(make(two))
    assert identity_of(make(one)) == identity_of(
        make(eval(repr(one), {"nan": float("nan"), "inf": float("inf")}))
    )


def test_another_process_says_the_same(users: Path) -> None:
    text = """
        import dataclasses, numpy as np, userpkg.nets
        from prac.plugins import identity, name_of
        @dataclasses.dataclass
        class Net:
            w: int = 2
            def __call__(self, n): return n in {"a", "b", "c"} and userpkg.nets.small, np.tanh
        def f(n, kinds=frozenset("abc")): return {"x", "y", n}, Net
        print(*(identity(name_of(x)) for x in (Net(3), f, lambda: Net, Net)))
        """
    (users.parent / "script.py").write_text(textwrap.dedent(text))
    path = os.pathsep.join(sys.path)
    outputs = [
        subprocess.run(
            [sys.executable, "script.py"],
            cwd=users.parent,
            env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1]


def test_objects_are_told_without_torch() -> None:
    code = (
        "import sys; from prac.plugins import identity, name_of;"
        "print(identity(name_of(lambda: 3)));"
        "sys.exit({'torch', 'numpy'} & set(sys.modules) or None)"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    made = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True)
    assert made.returncode == 0, made.stderr
