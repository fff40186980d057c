"""Reports: results -> verdicts, tables, figures, one HTML page."""

from __future__ import annotations

import os
from importlib.util import find_spec

# Jupyter names its own backend in the environment of what it starts, and matplotlib refuses to be
# imported where it isn't installed. Figures here are drawn without any.
_backend = os.environ.get("MPLBACKEND", "").partition("module://")[2]
if _backend and find_spec(_backend.partition(".")[0]) is None:
    del os.environ["MPLBACKEND"]
