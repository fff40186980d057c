"""What a function's text and byte code say: its normalised source, and what it reads beside."""

from __future__ import annotations

import ast
import dis
import functools
import inspect
import linecache
import sys
import types
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from prac.plugins.source import absolute, find, normalised, parsed

_KINDS = (
    inspect.CO_VARARGS
    | inspect.CO_VARKEYWORDS
    | inspect.CO_GENERATOR
    | inspect.CO_COROUTINE
    | inspect.CO_ASYNC_GENERATOR
)


def normalised_source(function: types.FunctionType) -> str | None:
    """The normalised source of a function, if there is text that compiles to its very code."""
    code = function.__code__
    linecache.checkcache(code.co_filename)
    text = "".join(linecache.getlines(code.co_filename, function.__globals__))
    try:
        tree, whole = _parsed(text)
    except (SyntaxError, ValueError, RecursionError):
        return None
    place = (code.co_name, code.co_firstlineno)
    same = (c for c in _codes(whole) if (c.co_name, c.co_firstlineno) == place)
    own = byte_code(code)
    if not any(byte_code(other) == own for other in same):
        return None
    node = _lambda(code, tree) if code.co_name == "<lambda>" else _definition(place, tree)
    return None if node is None else normalised(node)


@functools.lru_cache(maxsize=16)
def _parsed(text: str) -> tuple[ast.Module, types.CodeType]:
    tree = parsed(text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return tree, compile(tree, "<source>", "exec", dont_inherit=True)


def _definition(place: tuple[str, int], tree: ast.AST) -> ast.AST | None:
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            first = min(n.lineno for n in (node, *node.decorator_list))
            if (node.name, first) == place:
                return node
    return None


def _lambda(code: types.CodeType, tree: ast.AST) -> ast.AST | None:
    """The lambda whose body is where the instructions come from: the innermost that holds all."""
    spans = [p for p in code.co_positions() if None not in p and p[2:] != (0, 0)]
    if not spans:
        return None  # Python runs without positions
    first = min((line, column) for line, _, column, _ in spans)
    last = max((line, column) for _, line, _, column in spans)
    holding = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Lambda):
            body = node.body
            start, end = (body.lineno, body.col_offset), (body.end_lineno, body.end_col_offset)
            if start <= first and last <= end:
                holding.append((start, node))
    return max(holding, key=lambda found: found[0])[1] if holding else None


def byte_code(code: types.CodeType) -> tuple[object, ...]:
    """What a code object does, without where its text was and without its docstring."""
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount)
    steps = tuple((step.opname, _argument(step.argval)) for step in dis.get_instructions(code))
    arguments = code.co_varnames[: sum(counts[::2])]
    return (code.co_name, counts, arguments, code.co_flags & _KINDS, steps, code.co_exceptiontable)


def _argument(value: object) -> object:
    if isinstance(value, types.CodeType):
        return byte_code(value)
    # A set's order changes from process to process.
    return tuple(sorted(map(repr, value))) if isinstance(value, frozenset) else repr(value)


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def globals_read(code: types.CodeType) -> list[str]:
    """The names that a function, and what is defined in it, looks up in its module; sorted."""
    steps = (step for inner in _codes(code) for step in dis.get_instructions(inner))
    # LOAD_NAME: in the body of a class inside the function.
    return sorted({s.argval for s in steps if "GLOBAL" in s.opname or s.opname == "LOAD_NAME"})


def imported(code: types.CodeType, namespace: Mapping[str, Any]) -> Iterator[str]:
    """The modules that a function's own import statements name, as far as they can be found."""
    package = namespace.get("__package__") or ""
    for inner in _codes(code):
        steps = [s for s in dis.get_instructions(inner) if s.opname != "EXTENDED_ARG"]
        for level, names, step in zip(steps, steps[1:], steps[2:], strict=False):
            if step.opname != "IMPORT_NAME":
                continue
            base = absolute("." * level.argval + step.argval, package)
            for name in (base, *(f"{base}.{name}" for name in names.argval or ())):
                spec = find(name)
                if spec is not None and spec.origin is not None:
                    yield name


def submodules(code: types.CodeType, values: Iterable[object]) -> Iterator[str]:
    """`a.b` where a function holds the module `a` and reads its attribute `b`, a module."""
    attributes = {name for inner in _codes(code) for name in inner.co_names}
    waiting = [value.__name__ for value in values if isinstance(value, types.ModuleType)]
    while waiting:
        parent = waiting.pop()
        for name in attributes:
            if isinstance(sys.modules.get(f"{parent}.{name}"), types.ModuleType):
                waiting.append(f"{parent}.{name}")
                yield f"{parent}.{name}"
