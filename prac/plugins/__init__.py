"""What a user adds and names as `package.module:name`, or hands over as a Python object."""

from __future__ import annotations

import difflib
import importlib
import os
import re
from operator import attrgetter
from typing import Any

from prac.errors import ConfigError
from prac.plugins.handed import MODULE, handed, handed_identity, is_of_this_process, name_of
from prac.plugins.objects import object_digest, own_key
from prac.plugins.source import source_of

__all__ = [
    "identity",
    "is_custom",
    "is_of_this_process",
    "is_trusted",
    "load_custom",
    "name_of",
    "object_digest",
    "own_key",
]

TRUSTED = "PRAC_TRUSTED_PACKAGES"
"""Environment variable: packages, with commas, whose code files may name."""

_asked_for: set[str] = set()
"""What this process imported because somebody named it, not a file."""

_SPECIFICATION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


def is_custom(name: str) -> bool:
    """Whether a name has the form `package.module:name`; nothing is imported."""
    return _SPECIFICATION.fullmatch(name) is not None


def is_trusted(name: str) -> bool:
    """Whether the code of `package.module:name` may run without being asked for: it was handed over
    or asked for in this process, or is of a package listed in PRAC_TRUSTED_PACKAGES."""
    module = name.partition(":")[0]
    listed = {each.strip() for each in os.environ.get(TRUSTED, "").split(",")}
    return module == MODULE or name in _asked_for or module.partition(".")[0] in listed


def load_custom(kind: str, name: str) -> Any:
    """Import what `package.module:name` stands for. Raises ConfigError in one line."""
    module_name, _, attribute = name.partition(":")
    if module_name == MODULE:
        found = handed(name)
        if found is None:
            raise ConfigError(
                f"{kind} {name!r} was handed over in another process, whose Python object this one "
                "doesn't have; hand it over again, or put it in a module: package.module:name"
            )
        return found
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # SystemExit: a script that runs when it is imported
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise ConfigError(
            f"{kind} {name!r}: module {module_name!r} can't be imported: {reason}; "
            "is it installed, in the working folder or on PYTHONPATH?"
        ) from error
    _asked_for.add(name)
    try:
        return attrgetter(attribute)(module)
    except AttributeError as error:
        close = difflib.get_close_matches(attribute, dir(module), n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ConfigError(
            f"{kind} {name!r}: module {module_name!r} has no {attribute!r}{hint}"
        ) from error


def identity(name: str) -> tuple[str, ...]:
    """What of a plug-in goes into a stage's key, by its name.

    For one of ours its name. For `package.module:name` also what `source.source_of` tells
    of the module: a digest of the user's source that it is made of, whose comments, docstrings and
    formatting don't count, and the installed distributions that this source imports; torch,
    torchvision, numpy and prac are told elsewhere. The plug-in isn't imported, and is read as it
    is on disk. What a module's names are set to while it runs is not seen.

    Raises ConfigError where there is no such module, and where one that was imported has changed
    on disk since it was first told.
    """
    if not is_custom(name):
        return (name,)
    told = handed_identity(name)
    if told is not None:
        return (name, *told)
    try:
        return (name, *source_of(name.partition(":")[0]))
    except ConfigError as error:
        raise ConfigError(f"{name!r}: {error}") from error
