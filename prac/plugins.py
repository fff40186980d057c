"""What a user adds in one file and names as `package.module:name`."""

from __future__ import annotations

import difflib
import hashlib
import importlib
import re
import sys
from operator import attrgetter
from pathlib import Path
from typing import Any

from prac.errors import ConfigError

_SPECIFICATION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


def is_custom(name: str) -> bool:
    """Whether a name has the form `package.module:name`; nothing is imported."""
    return _SPECIFICATION.fullmatch(name) is not None


def load_custom(kind: str, name: str) -> Any:
    """Import what `package.module:name` stands for. Raises ConfigError in one line."""
    module_name, _, attribute = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # SystemExit: a script that runs when it is imported
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise ConfigError(
            f"{kind} {name!r}: module {module_name!r} can't be imported: {reason}; "
            "is it installed or on PYTHONPATH?"
        ) from error
    try:
        return attrgetter(attribute)(module)
    except AttributeError as error:
        close = difflib.get_close_matches(attribute, dir(module), n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ConfigError(
            f"{kind} {name!r}: module {module_name!r} has no {attribute!r}{hint}"
        ) from error


def identity(name: str) -> tuple[str, ...]:
    """What of a strategy goes into a stage's key: its name, and for one of the user's the source.

    The source is that of the whole module, so a changed helper in the same file counts; what the
    module imports from elsewhere is not seen, nor is a module without a source file.
    """
    if not is_custom(name):
        return (name,)
    module_name = name.partition(":")[0]
    module = sys.modules.get(module_name) or importlib.import_module(module_name)
    file = getattr(module, "__file__", None)
    if file is None or Path(file).suffix != ".py":
        return (name,)
    return (name, hashlib.sha256(Path(file).read_bytes()).hexdigest())
