"""What a Python object computes with: its source and the values that it holds, as one digest."""

from __future__ import annotations

import copyreg
import functools
import hashlib
import sys
import types
from collections.abc import Iterator, Mapping
from enum import Enum
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from prac.errors import ConfigError
from prac.plugins.code import byte_code, globals_read, imported, normalised_source, submodules
from prac.plugins.source import NOT_TOLD, digest, find, source_of

if TYPE_CHECKING:
    from torch import Tensor

_PLAIN = (type(None), bool, int, float, str, bytes)
_MACHINERY = frozenset({
    "__dict__", "__weakref__", "__doc__", "__module__", "__qualname__", "__firstlineno__",
    "__static_attributes__", "__annotations__", "__annotations_cache__", "__annotate__",
    "__annotate_func__", "__orig_bases__", "__parameters__", "_abc_impl",
})  # fmt: skip
"""Members of a class that don't say what it computes, or say where its text was."""
_WAY_OUT = (
    "allowed: name it package.module:name, or give it an attribute prac_key, a string that "
    "changes when what it computes does"
)


_CACHED = type(functools.cache(lambda: None))


def object_digest(thing: object) -> str:
    """Hash an object by what it is made of.

    A function counts by its normalised source, where a file or a notebook's cell still has the
    text that was compiled, else by its byte code; by its defaults, the values of its closure and of
    the globals that it reads, the modules that it imports, and its attributes. A class of a
    notebook counts by its members, an instance by its class and what pickle would keep of it, an
    array or a tensor by type, shape and bytes, a module or what can be imported by
    `source.source_of`, and anything with a `prac_key` by that.

    Raises ConfigError for what holds something else, such as a lock or an open file.
    """
    try:
        return _Telling(thing).tell(thing, "")
    except RecursionError as error:
        raise ConfigError(
            f"{_label(thing)} is nested too deep for a stage's key; {_WAY_OUT}"
        ) from error


def own_key(thing: object) -> str | None:
    """The attribute `prac_key` of an object. Raises ConfigError where it isn't a string."""
    key = getattr(thing, "prac_key", None)
    if key is not None and not (isinstance(key, str) and key):
        raise ConfigError(
            f"{_label(thing)} has a prac_key {key!r}; allowed: a string that isn't empty"
        )
    return key


def importable_name(thing: object) -> str | None:
    """`package.module:name` of a function or a class that another process can import, or None."""
    module = getattr(thing, "__module__", None)
    name = getattr(thing, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str) or module == "__main__":
        return None
    try:
        found = attrgetter(name)(sys.modules.get(module))
    except AttributeError:
        return None
    same = found is thing or (isinstance(thing, types.MethodType) and found == thing)
    spec = find(module) if same else None
    return f"{module}:{name}" if spec is not None and spec.origin is not None else None


def tensor_content(tensor: Tensor) -> tuple[str, tuple[int, ...], str]:
    """Type, shape and a digest of the values, wherever a tensor is and however it is laid out."""
    import torch  # who has a tensor has imported it; a check of names has not

    plain = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
    content = plain.reshape(-1).view(torch.uint8).numpy().data
    return str(tensor.dtype), tuple(tensor.shape), hashlib.sha256(content).hexdigest()


class _Telling:
    """One walk over an object.

    `open` is what is being told, so that a circle ends; `told` is the rest, with the objects
    themselves, since an id is an object's only as long as it lives.
    """

    def __init__(self, thing: object) -> None:
        self.thing = thing
        self.trail: list[str] = []
        self.open: dict[int, int] = {}
        self.told: dict[int, tuple[object, str]] = {}

    def tell(self, value: object, part: str) -> str:
        if type(value) in _PLAIN:
            return digest(value)
        if id(value) in self.open:
            return digest("again", self.open[id(value)])
        if id(value) not in self.told:
            self.open[id(value)] = len(self.open)
            self.trail.append(part)
            told = digest(*self._describe(value))
            self.trail.pop()
            del self.open[id(value)]
            self.told[id(value)] = (value, told)
        return self.told[id(value)][1]

    def _all(self, parts: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
        return tuple((part, self.tell(value, part)) for part, value in parts.items())

    def _describe(self, value: Any) -> tuple[object, ...]:
        if isinstance(value, types.ModuleType):
            return ("module", value.__name__, *source_of(value.__name__))
        if type(value) in (tuple, list):
            return ("sequence", *(self.tell(item, "item") for item in value))
        if type(value) in (set, frozenset):
            return ("set", *sorted(self.tell(item, "item") for item in value))
        if type(value) in (dict, types.MappingProxyType):
            pairs = value.items()
            return ("mapping", *((self.tell(k, "key"), self.tell(v, f"{k!r}")) for k, v in pairs))
        key = own_key(value)
        if key is not None:
            return ("prac_key", key)
        name = importable_name(value)
        if name is not None:
            return ("named", name, *source_of(name.partition(":")[0]))
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if isinstance(value, type):
            return self._class(value)
        if isinstance(value, Enum):
            return ("enum", type(value).__name__, value.name, self.tell(value.value, "value"))
        return self._array(value) or self._wrapper(value) or self._pickled(value)

    def _function(self, function: types.FunctionType) -> tuple[object, ...]:
        code = function.__code__
        parts: dict[str, object] = {
            "defaults": function.__defaults__,
            "keyword defaults": function.__kwdefaults__,
            "attributes": vars(function),
        }
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            try:
                parts[f"closure {name!r}"] = cell.cell_contents
            except ValueError:
                continue  # empty: not assigned yet
        for name in globals_read(code):
            if name in function.__globals__:
                parts[f"global {name!r}"] = function.__globals__[name]
        modules = {*imported(code, function.__globals__), *submodules(code, parts.values())}
        sources = tuple((name, *source_of(name)) for name in sorted(modules))
        return (
            "function",
            normalised_source(function) or byte_code(code),
            self._all(parts),
            sources,
        )

    def _class(self, cls: type) -> tuple[object, ...]:
        if cls.__module__.partition(".")[0] in {"builtins", *NOT_TOLD}:
            return ("type", cls.__module__, cls.__qualname__)
        members = {n: m for n, m in sorted(vars(cls).items()) if n not in _MACHINERY}
        bases = self._all({"bases": cls.__bases__, "metaclass": type(cls)})
        return ("class", cls.__name__, bases, self._all(members))

    def _array(self, value: Any) -> tuple[object, ...]:
        numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
        if numpy is not None and (type(value) is numpy.ndarray or isinstance(value, numpy.generic)):
            if not value.dtype.hasobject:
                content = hashlib.sha256(numpy.asarray(value).tobytes()).hexdigest()
                return ("array", str(value.dtype), value.shape, content)
        elif torch is not None and isinstance(value, torch.Tensor):
            try:
                return ("tensor", *tensor_content(value))
            except (RuntimeError, TypeError) as error:  # sparse, quantised, without data
                raise self._refusal(value) from error
        return ()

    def _wrapper(self, value: Any) -> tuple[object, ...]:
        """Those that pickle refuses or keeps by a name alone."""
        if isinstance(value, types.MethodType):
            parts = {"function": value.__func__, "object": value.__self__}
        elif isinstance(value, property):
            parts = {"getter": value.fget, "setter": value.fset, "deleter": value.fdel}
        elif isinstance(value, functools.cached_property):
            parts = {"getter": value.func}
        elif isinstance(value, (staticmethod, classmethod)):
            parts = {"function": value.__func__}
        elif isinstance(value, _CACHED):
            parts = {"function": value.__wrapped__}
        elif isinstance(value, (types.MemberDescriptorType, types.GetSetDescriptorType)):
            return ("descriptor", value.__name__)
        else:
            return ()
        return ("wrapper", type(value).__name__, self._all(parts))

    def _pickled(self, value: Any) -> tuple[object, ...]:
        reduce = copyreg.dispatch_table.get(type(value))
        try:
            made = value.__reduce_ex__(4) if reduce is None else reduce(value)
        except Exception as error:
            raise self._refusal(value) from error
        if isinstance(made, str):  # a constant of the package of its type: np.tanh, torch.float32
            home = type(value).__module__.partition(".")[0]
            if getattr(sys.modules.get(home), made, None) is not value:
                raise self._refusal(value)
            return ("constant", home, made)
        parts = (list(part) if isinstance(part, Iterator) else part for part in made)
        return ("made", *(self.tell(part, "state") for part in parts))

    def _refusal(self, value: object) -> ConfigError:
        held = [part for part in self.trail if part not in ("", "state")]
        where = f"its {' > '.join(held)} is of type" if held else "it is of type"
        kind = f"{type(value).__module__}.{type(value).__qualname__}"
        return ConfigError(
            f"{_label(self.thing)} has no identity for a stage's key: {where} {kind}; {_WAY_OUT}"
        )


def _label(thing: object) -> str:
    return str(getattr(thing, "__qualname__", type(thing).__qualname__))
