"""What a module is made of: the user's source, and which distributions are installed beside it.

Everything is read from files; nothing is imported. Followed are `import` and `from ... import`
(relative, in functions, under conditions) and `import_module("a literal name")`, and the
`__init__` of every package on the way, because Python runs it. Not seen are modules whose names
are computed, data files, and what a compiled module imports.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import sys
import sysconfig
import time
import warnings
from collections.abc import Iterator
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from prac.errors import ConfigError

NOT_TOLD = frozenset({"torch", "torchvision", "numpy", "prac"})
"""Top-level packages that no source follows: who makes a key tells their versions itself."""

_STANDARD = tuple(
    {os.path.join(sysconfig.get_path(name), "") for name in ("stdlib", "platstdlib")}
    | {os.path.join(os.path.dirname(os.__file__), "")}
)
_SETTLED_NS = 2_000_000_000  # the coarsest clock of a file system that is in use

_Stamps = dict[str, tuple[int, int]]
_imported: dict[str, tuple[ModuleSpec, str]] = {}
"""Modules as they were when they were first read in this process after they had been imported."""
_kept: dict[tuple[str, ...], tuple[_Stamps, tuple[str, ...]]] = {}


def digest(*parts: object) -> str:
    """Hash None, bools, numbers, strings, bytes and tuples of them: 64 hexadecimal digits.

    `prac.fingerprint` isn't used here: it imports numpy, which a check of names does without.
    """
    return hashlib.sha256(repr(parts).encode("utf-8", "surrogatepass")).hexdigest()


def parsed(text: str | bytes) -> ast.Module:
    """The syntax tree of a module; what Python warns of there is said when it is imported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(text)


def normalised(tree: ast.AST) -> str:
    """The syntax alone: no comments, docstrings, `pass`, formatting or line numbers.

    Strips `tree` in place. Minor versions of Python differ in it.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant):
            node.kind = None  # u"" is ""
        for block in ("body", "orelse", "finalbody"):
            statements = getattr(node, block, None)
            if isinstance(statements, list):
                statements[:] = [s for s in statements if not _does_nothing(s)]
    return ast.dump(tree)


def _does_nothing(statement: ast.stmt) -> bool:
    constant = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return constant or isinstance(statement, ast.Pass)


def source_of(module: str) -> tuple[str, ...]:
    """A digest of the user's source that a module is made of, then `NAME==VERSION`, sorted, of
    each installed distribution that this source imports.

    The user's are the files outside of site-packages and the standard library, editable installs
    included. A module of an installed distribution has only that one's version, and one of the
    standard library or of `NOT_TOLD` has nothing. A module without readable source counts by its
    file's bytes. Raises ConfigError where there is no such module.
    """
    key = (module, *sys.path)
    kept = _kept.get(key)
    if kept is not None and all(_stamp(file) == stamp for file, stamp in kept[0].items()):
        return kept[1]
    stamps: _Stamps = {}
    told = _walk(module, stamps)
    # A file that was written just now can change again without another time or size.
    newest = max((changed for changed, _ in stamps.values()), default=0)
    if newest < time.time_ns() - _SETTLED_NS:
        _kept[key] = (stamps, told)
    return told


def _walk(start: str, stamps: _Stamps) -> tuple[str, ...]:
    digests: dict[str, str] = {}
    installed: set[str] = set()
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        top, parent = name.partition(".")[0], name.rpartition(".")[0]
        if name in seen or top in NOT_TOLD or top in installed:
            continue
        seen.add(name)
        spec = find(name)
        if name == start and (spec is None or spec.origin is None):
            raise ConfigError(
                f"module {name!r} has no file that can be found; is it installed, in the working "
                "folder or on PYTHONPATH?"
            )
        if spec is None:
            continue  # not a module but a name in one, or what `try` imports where there is one
        if parent:
            waiting.append(parent)
        if not spec.has_location or spec.origin is None:
            continue  # built in, frozen, or a namespace
        file = Path(spec.origin)
        if {"site-packages", "dist-packages"} & set(file.parts):
            if top in _distributions():
                installed.add(top)
                continue
        elif spec.origin.startswith(_STANDARD):
            continue
        # Of a module in a zip file: the archive.
        file = next((f for f in (file, *file.parents) if f.is_file()), file)
        stamps[str(file)] = _stamp(str(file))
        digests[name], imported = _read(file, spec)
        _refuse_stale(name, digests[name])
        waiting += imported
    versions = {_version(d) for top in installed for d in _distributions()[top]}
    own = (digest(tuple(sorted(digests.items()))),) if digests else ()
    return (*own, *sorted(versions))


def _refuse_stale(name: str, found: str) -> None:
    """What is imported may be another code than its file holds by now: its results would be kept
    under the key of that one. Reloading a module gives it another spec."""
    loaded = sys.modules.get(name)
    spec = getattr(loaded, "__spec__", None)
    if spec is None:
        return
    known = _imported.setdefault(name, (spec, found))
    if known[0] is not spec:
        _imported[name] = spec, found
    elif known[1] != found:
        raise ConfigError(
            f"module {name!r} is another on disk than this process has imported; allowed: "
            f"importlib.reload, or to start anew"
        )


def find(name: str) -> ModuleSpec | None:
    """The spec of a module, by its full name; None where there is none.

    `importlib.util.find_spec` imports the parents of a dotted name; this imports nothing.
    """
    loaded = sys.modules.get(name)
    if loaded is not None:
        spec = getattr(loaded, "__spec__", None)
        file = getattr(loaded, "__file__", None)
        if spec is None and file is not None:  # a script that runs as `__main__`
            spec = importlib.util.spec_from_file_location(name, file)
        return spec
    parent, _, tail = name.rpartition(".")
    path: list[str] | None = None
    if parent:
        package = find(parent)
        if package is None or package.submodule_search_locations is None:
            return None
        path = list(package.submodule_search_locations)
    for finder in sys.meta_path:
        # By its full name, PathFinder looks up a namespace's parent among the imported modules.
        asked = tail if finder is PathFinder else name
        try:
            spec = finder.find_spec(asked, path)
        except Exception:
            continue  # finders of others, for names that they don't know
        if spec is not None:
            spec.name = name
            return spec
    return None


def _read(file: Path, spec: ModuleSpec) -> tuple[str, list[str]]:
    """The digest of a module's file, and what the module may import."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ConfigError(f"module {spec.name!r} can't be read: {error}") from error
    if file.suffix == ".py":
        try:
            tree = parsed(content)
            imported = list(_imports(tree, spec.parent or ""))
            return digest(normalised(tree)), imported
        except (SyntaxError, ValueError, RecursionError):
            pass  # not Python as we read it: told byte for byte
    return hashlib.sha256(content).hexdigest(), []


def _imports(tree: ast.AST, package: str) -> Iterator[str]:
    """Full names; of `from a import b` both `a` and `a.b`, which may be a module or not."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = absolute("." * node.level + (node.module or ""), package)
            if base:
                yield base
                yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = getattr(node.func, "attr", getattr(node.func, "id", None))
            name = node.args[0].value
            if called in ("import_module", "__import__") and isinstance(name, str):
                yield absolute(name, package)


def absolute(name: str, package: str) -> str:
    """The full name of a module that may be named relatively (`..a`) inside a package, or ""."""
    try:
        return importlib.util.resolve_name(name, package)
    except ImportError:
        return ""  # beyond the top-level package: Python refuses it as well


def _stamp(file: str) -> tuple[int, int]:
    try:
        status = os.stat(file)
    except OSError:
        return (0, 0)
    return (status.st_mtime_ns, status.st_size)


@functools.cache
def _distributions() -> dict[str, list[str]]:
    return {top: list(d) for top, d in importlib.metadata.packages_distributions().items()}


@functools.cache
def _version(name: str) -> str:
    """`NAME==VERSION`; with a digest for one whose code changes while its version stays: what pip
    installed from a folder or a repository."""
    distribution = importlib.metadata.distribution(name)
    told = f"{name}=={distribution.version}"
    origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    if not {"dir_info", "vcs_info"} & set(origin):
        return told
    code = [file for file in distribution.files or () if file.suffix in (".py", ".so", ".pyd")]
    hashes = sorted((str(file), file.hash.value) for file in code if file.hash is not None)
    return f"{told}+{digest(*hashes)[:16]}"
