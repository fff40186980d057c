"""Reports: results -> verdicts, tables, figures, one HTML page. Nothing heavy is imported early."""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from prac.report.compare import Comparison, MethodSummary, comparisons, noise_points, summaries
from prac.report.csv_files import write_csv
from prac.report.equal_steps import EqualSteps, equal_steps
from prac.report.tables import bill_table, judging_table, key_rows
from prac.report.verdict import Verdict, verdicts

if TYPE_CHECKING:
    from prac.report.figures import Drawing, drawings
    from prac.report.html import write_report
    from prac.report.terminal import print_table

__all__ = [
    "Comparison",
    "Drawing",
    "EqualSteps",
    "MethodSummary",
    "Verdict",
    "bill_table",
    "comparisons",
    "drawings",
    "equal_steps",
    "judging_table",
    "key_rows",
    "noise_points",
    "print_table",
    "summaries",
    "verdicts",
    "write_csv",
    "write_report",
]

# Jupyter names its own backend in the environment of what it starts, and matplotlib refuses to be
# imported where it isn't installed. Figures here are drawn without any.
_backend = os.environ.get("MPLBACKEND", "").partition("module://")[2]
if _backend and find_spec(_backend.partition(".")[0]) is None:
    del os.environ["MPLBACKEND"]

# matplotlib and jinja2 take most of a second to import; a run that prints a table needs neither.
_LATE = {
    "Drawing": "prac.report.figures",
    "drawings": "prac.report.figures",
    "print_table": "prac.report.terminal",
    "write_report": "prac.report.html",
}


def __getattr__(name: str) -> Any:
    if name in _LATE:
        return getattr(import_module(_LATE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
