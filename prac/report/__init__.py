"""Reports: results -> verdicts, tables, figures, one HTML page."""

from __future__ import annotations

import os
from importlib.metadata import entry_points
from importlib.util import find_spec

_BACKENDS = frozenset(
    {"agg", "cairo", "macosx", "nbagg", "notebook", "pdf", "pgf", "ps", "svg", "template", "wx"}
    | {f"{kit}agg" for kit in ("gtk3", "gtk4", "qt", "qt5", "tk", "web", "wx")}
    | {f"{kit}cairo" for kit in ("gtk3", "gtk4", "qt", "qt5", "tk", "wx")}
)
"""Those that matplotlib brings."""


def _is_known(backend: str) -> bool:
    module = backend.partition("module://")[2]
    if module:
        return find_spec(module.partition(".")[0]) is not None
    others = {found.name for found in entry_points(group="matplotlib.backend")}
    return backend.lower() in _BACKENDS | others


# Jupyter names its own backend in the environment of what it starts, and old login files name some
# that are gone: matplotlib refuses to be imported where it doesn't know it. Figures here are drawn
# without any.
if (_named := os.environ.get("MPLBACKEND")) and not _is_known(_named):
    del os.environ["MPLBACKEND"]
