"""What each kind of stage computes with: the definitions of `prac` that its step reaches.

Names are followed from the step through functions, classes, tables and annotations; nothing is run.
Of each definition counts what can change a result: no comment, docstring, annotation, message, log
or refusal, and not where it stands.
"""

from __future__ import annotations

import ast
import copy
import functools
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import prac
from prac.lottery.kinds import KINDS

Place = tuple[str, str]
"""A module and a name that it defines; `Class.method` of `HANDED`."""

PACKAGES = Path(prac.__file__).parents[1]
HANDED = (
    ("prac.lottery.local", "LocalEnv"),
    ("prac.distributed.env", "RayEnv"),
    ("prac.distributed.context", "Context"),
)
"""What stages are handed, wherever they run: of its methods count those that they call."""
MACHINERY = (
    "prac.config",
    "prac.errors",
    "prac.lottery.env",
    "prac.lottery.graph",
    "prac.lottery.energy",
    "prac.lottery.progress",
    "prac.lottery.room",
    "prac.lottery.store",
    "prac.lottery.folder_store",
    "prac.plugins",
    "prac.storage",
    "prac.scratch",
    "prac.ticket.reading",
    "prac.schema",
    "prac.training.made_by",
    "prac.distributed.progress",
    "prac.distributed.ray_internals",
    "prac.distributed.tasks",
    "prac.distributed.cluster",
)
"""Modules and packages that tell, keep, refuse and hand over: no result is another through them.
What is configured is in the keys."""
NEW_KINDS = (
    "{kinds}: what these kinds of stages compute with is no longer what it was at this version. "
    "If a stage can now make anything else, raise the kind's version in prac/lottery/kinds.py, or "
    "stored results of other code are taken for its own; if all bits stay (words, speed, another "
    "place), keep it. Then: python tests/golden/make_computes.py"
)

_POINTER = re.compile(r"(\w+):(\w+)")
_LOGS = {"_log", "logging", "warnings"}


class Code:
    """The source of `prac`. instead: of modules by name, in place of their files."""

    def __init__(self, instead: Mapping[str, str] | None = None) -> None:
        self._instead = instead or {}
        self._modules: dict[str, _Module] = {}

    def reached(self, kind: str) -> dict[Place, list[ast.stmt]]:
        """What a kind's step computes with."""
        file, _, step = str(KINDS[kind].run).partition(":")
        waiting: list[Place] = [(f"prac.lottery.steps.{file}", step)]
        found: dict[Place, list[ast.stmt]] = {}
        while waiting:
            place = waiting.pop()
            if place in found or place in HANDED or is_machinery(place[0]):
                continue
            statements = self.module(place[0]).defines.get(place[1])
            if statements is None:
                assert "." in place[1], place  # a method of another class that is handed
                continue
            found[place] = statements
            for statement in statements:
                waiting += self._named(statement, place)
        return found

    def digest(self, kind: str) -> str:
        """Of all that a kind's step computes with: 16 hexadecimal digits."""
        statements = (each for found in self.reached(kind).values() for each in found)
        said = sorted({_syntax(statement) for statement in statements})
        return hashlib.sha256("\n".join(said).encode()).hexdigest()[:16]

    def module(self, name: str) -> _Module:
        """A module, parsed once."""
        if name not in self._modules:
            path = PACKAGES / name.replace(".", "/")
            file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
            package = name if path.is_dir() else name.rpartition(".")[0]
            text = self._instead.get(name) or file.read_text()
            self._modules[name] = _Module(name, package, _parsed(text))
        return self._modules[name]

    def _resolved(self, module: _Module, name: str) -> Place | str | None:
        """Where what a module calls by a name is defined, or which module that is."""
        if name in module.defines or name not in module.imports:
            return (module.name, name) if name in module.defines else None
        source, original = module.imports[name]
        if _is_module(f"{source}.{original}"):
            return f"{source}.{original}"
        found = self._resolved(self.module(source), original)
        assert found is not None, f"{module.name}: where does {source} have {original} from?"
        return found

    def _named(self, statement: ast.stmt, place: Place) -> Iterator[Place]:
        module, handed = self.module(place[0]), (place[0], place[1].partition(".")[0]) in HANDED
        for node in ast.walk(statement):
            if isinstance(node, ast.Name):
                found = self._resolved(module, node.id)
                if isinstance(found, tuple):
                    yield found
            elif isinstance(node, ast.Attribute):
                base = getattr(node.value, "id", getattr(node.value, "attr", ""))
                found = self._resolved(module, base)
                if isinstance(found, str):
                    yield found, node.attr
                if base in ("env", "context") or (handed and base == "self"):
                    yield from ((where, f"{name}.{node.attr}") for where, name in HANDED)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                # Tables name what they needn't import.
                named = _POINTER.fullmatch(node.value)
                if named and _is_module(f"{module.package}.{named[1]}"):
                    yield f"{module.package}.{named[1]}", named[2]


class _Module:
    """What a module defines and imports from `prac`, by name."""

    def __init__(self, name: str, package: str, tree: ast.Module) -> None:
        self.name, self.package = name, package
        self.imports: dict[str, tuple[str, str]] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("prac"):
                for alias in node.names:
                    self.imports[alias.asname or alias.name] = (str(node.module), alias.name)
        self.defines: dict[str, list[ast.stmt]] = {}
        for statement in tree.body:
            for bound in _bound(statement):
                self.defines.setdefault(bound, []).append(statement)
            if isinstance(statement, ast.ClassDef) and (name, statement.name) in HANDED:
                for member in statement.body:
                    for bound in _bound(member):
                        self.defines[f"{statement.name}.{bound}"] = [member]


def is_machinery(module: str) -> bool:
    """Whether a module computes nothing."""
    return any(f"{module}.".startswith(f"{name}.") for name in MACHINERY)


def _is_module(name: str) -> bool:
    path = PACKAGES / name.replace(".", "/")
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def _bound(statement: ast.stmt) -> Iterator[str]:
    """The names that a statement of a module or a class binds."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        yield statement.name
        return
    if isinstance(statement, ast.If | ast.Try):
        for inner in ast.iter_child_nodes(statement):
            if isinstance(inner, ast.stmt):
                yield from _bound(inner)
        return
    targets = getattr(statement, "targets", [getattr(statement, "target", None)])
    for target in targets:
        for node in ast.walk(target) if target is not None else ():
            if isinstance(node, ast.Name):
                yield node.id


_parsed = functools.cache(ast.parse)


@functools.cache
def _syntax(statement: ast.stmt) -> str:
    return json.dumps(_plain(_WithoutWords().visit(copy.deepcopy(statement))))


class _WithoutWords(ast.NodeTransformer):
    """Takes out what changes no result."""

    def visit_Raise(self, node: ast.Raise) -> Any:
        return ast.Raise()

    def visit_Assert(self, node: ast.Assert) -> Any:
        return None

    def visit_Pass(self, node: ast.Pass) -> Any:
        return None

    def visit_Import(self, node: ast.Import) -> Any:
        return None

    def visit_ImportFrom(self, node: ast.ImportFrom) -> Any:
        return None

    def visit_Expr(self, node: ast.Expr) -> Any:
        called = getattr(node.value, "func", None)
        logs = isinstance(called, ast.Attribute) and getattr(called.value, "id", "") in _LOGS
        refuses = getattr(called, "id", "") in ("require", "require_choice")
        told = logs or refuses or isinstance(node.value, ast.Constant)
        return None if told else self.generic_visit(node)

    def visit_If(self, node: ast.If) -> Any:
        self.generic_visit(node)
        refuses = all(isinstance(inner, ast.Raise) for inner in node.body) and not node.orelse
        binds = any(isinstance(inner, ast.NamedExpr) for inner in ast.walk(node.test))
        return None if refuses and not binds else node

    def visit_For(self, node: ast.For) -> Any:
        self.generic_visit(node)
        return node if node.body else None

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        node.returns = None
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> Any:
        return ast.arg(arg=node.arg)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        # A field of a dataclass stays, its type doesn't count.
        node.annotation = ast.Constant(None)
        return self.generic_visit(node)


def _plain(node: Any) -> Any:
    """The syntax, alike in all versions of Python that run this."""
    if isinstance(node, list):
        return [_plain(each) for each in node]
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = {
        name: _plain(value)
        for name, value in ast.iter_fields(node)
        if name not in ("ctx", "kind", "type_comment") and value is not None and value != []
    }
    return [type(node).__name__, fields]
