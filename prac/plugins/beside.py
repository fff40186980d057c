"""Modules of the user's beside the folder that a command is typed in."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from prac.plugins.source import find

_NAMED = re.compile(r"(?<![\w.])([A-Za-z_][\w.]*):[A-Za-z_]")


def find_beside(words: Iterable[str]) -> None:
    """Let `package.module:name` in words that somebody typed or consented to be found in the
    working folder, here and in processes that are started from here.

    Only where the module is nowhere else and its file is there: what lies in a folder never takes
    the place of what is installed, and a name that a file brings is not looked for without consent.
    """
    try:
        folder = Path.cwd()
    except FileNotFoundError:
        return  # it is gone: whoever needs it says so
    for module in {name for word in words for name in _NAMED.findall(word)}:
        place = folder.joinpath(*module.split("."))
        there = place.with_suffix(".py").is_file() or (place / "__init__.py").is_file()
        if there and str(folder) not in sys.path and find(module) is None:
            sys.path.append(str(folder))
            paths = [os.environ.get("PYTHONPATH", ""), str(folder)]
            os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
